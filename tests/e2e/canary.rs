//! No secret is where it should not be: every run in a sandbox is searched for those that tests use. Here it is shown that
//! there is something to find, and what the programs see that the broker starts.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use broker_e2e::{MARK, Sandbox, assert_no_secret, broker_binary, secret_in};
use broker_testkit::{
    CarbonMapper, CarbonMapperOptions, EarthDaily, EarthDailyOptions, EarthScope, EarthScopeOptions, Rotation,
};
use chrono::TimeDelta;

/// A secret of a machine of EarthScope's.
const MACHINE: &str = "m2m-KANARIE";

/// The services, a home that knows them, and what the broker and its children were started with.
struct Watched {
    seismic: EarthScope,
    methane: CarbonMapper,
    _imagery: EarthDaily,
    sandbox: Sandbox,
    trace: PathBuf,
    /// What the test set, as `NAME=VALUE`.
    env: Vec<String>,
}

impl Watched {
    fn new() -> Self {
        let options = EarthScopeOptions {
            rotation: Rotation::Rotate,
            interval: Some(1),
            client_secret: Some(MACHINE.into()),
            ..EarthScopeOptions::default()
        };
        let (seismic, imagery) =
            (EarthScope::start(options), EarthDaily::start(EarthDailyOptions::default()));
        let methane = CarbonMapper::start(CarbonMapperOptions::default());
        seismic.approve_all();
        let sandbox = Sandbox::new();
        let file = sandbox.home().join("secret");
        sandbox.write(&file, "standin-api-token\n");
        sandbox.write(&sandbox.home().join("machine"), MACHINE);
        sandbox.write_config(&format!(
            "[providers.earthscope]\ndomain = \"{domain}\"\n\
             [providers.machine]\nkind = \"earthscope\"\ndomain = \"{domain}\"\n\
             client_secret = {{ command = [\"cat\", \"{home}/machine\"] }}\n\
             [providers.earthdaily]\nauth_url = \"{imagery}\"\nclient_secret = {{ command = [\"cat\", \"{file}\"] }}\n\
             [providers.from-env]\nkind = \"earthdaily\"\nauth_url = \"{imagery}\"\nclient_secret = {{ env = \"A_SECRET\" }}\n\
             [providers.carbonmapper]\nbase_url = \"{methane}\"\nemail = \"ada@example.org\"\n\
             token_list_path = \"account/tokens\"\ntoken_delete_path = \"account/tokens/{{id}}\"\n",
            domain = seismic.url(),
            home = sandbox.home().display(),
            imagery = imagery.auth_url(),
            file = file.display(),
            methane = methane.base_url(),
        ));
        let trace = sandbox.home().join("trace");
        // It holds the environment that the test itself set.
        sandbox.write(&trace, "");
        Self { seismic, methane, _imagery: imagery, sandbox, trace, env: Vec::new() }
    }

    /// With an environment variable that holds a secret, or not.
    fn with_env(mut self, name: &str, value: &str) -> Self {
        self.sandbox = self.sandbox.with_env(name, value);
        self.env.push(format!("{name}={value}"));
        self
    }

    /// Runs `broker -vvv` under strace. Nothing that it prints has a secret in it but the answer of `token`.
    fn types(&self, words: &[&str], input: &str) {
        let plain = self.sandbox.command(&[]);
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-v", "-A", "-e", "trace=execve", "-s", "100000", "-o"]).arg(&self.trace);
        strace.arg(broker_binary()).args(words).arg("-vvv").env_clear();
        strace.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        strace
            .current_dir(self.sandbox.home())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = strace.spawn().expect("strace runs");
        child.stdin.take().expect("its stdin").write_all(input.as_bytes()).expect("written");
        let output = child.wait_with_output().expect("it ends");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{words:?}: {err}");
        assert_no_secret("stderr", &err);
        if words[0] == "token" {
            assert!(
                secret_in(&out).is_some(),
                "a token of a fake server is not told from other words: {out}"
            );
        } else {
            assert_no_secret("stdout", &out);
        }
    }

    /// What every program was started with: path, arguments, environment.
    fn started(&self) -> Vec<[Vec<String>; 3]> {
        let trace = std::fs::read_to_string(&self.trace).expect("a trace");
        let calls = trace.lines().filter_map(|line| line.split_once("execve(")).map(|(_, call)| lists(call));
        calls.collect()
    }
}

/// The quoted words of `"PATH", ["WORD", …], ["NAME=VALUE", …]`.
fn lists(call: &str) -> [Vec<String>; 3] {
    let mut lists = <[Vec<String>; 3]>::default();
    let (mut at, mut word) = (0, None::<String>);
    let mut chars = call.chars();
    while let Some(c) = chars.next() {
        match (c, word.as_mut()) {
            ('\\', Some(word)) => word.extend(chars.next()),
            ('"', Some(_)) => lists[at].extend(word.take()),
            (c, Some(word)) => word.push(c),
            ('"', None) => word = Some(String::new()),
            ('[', None) if at < 2 => at += 1,
            (_, None) => {}
        }
    }
    lists
}

/// Fails where programs cannot be watched: root alone sees the arguments of a process that is not dumpable.
fn need_strace() {
    crate::strace::need_strace();
    assert!(rustix::process::geteuid().is_root(), "run this test as root");
}

/// A browser that only has to be started.
fn with_browser(watched: Watched) -> Watched {
    let browser = watched.sandbox.home().join("browser");
    std::fs::write(&browser, "#!/bin/sh\nexit 0\n").expect("a script");
    std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let browser = browser.display().to_string();
    watched.with_env("DISPLAY", ":99").with_env("BROWSER", &browser)
}

#[test]
#[ignore = "needs strace and root"]
fn no_program_is_started_with_a_secret() {
    need_strace();
    let watched = Watched::new();
    let bootstrap = watched.seismic.issue_refresh_token();
    let watched = with_browser(watched.with_env("A_SECRET", "standin-api-token"))
        .with_env("CARBONMAPPER_PASSWORD", "standin-password")
        .with_env("ES_OAUTH2__REFRESH_TOKEN", &bootstrap);
    let stac = ["token", "carbonmapper", "--scope", "stac"];
    let forced = ["token", "earthscope", "--force"];
    for words in [&["token", "earthscope"][..], &forced, &["login", "earthscope"], &forced] {
        watched.types(words, "");
    }
    let other = watched.seismic.issue_refresh_token();
    watched.types(&["login", "earthscope", "--refresh-token-stdin"], &other);
    for provider in ["machine", "earthdaily", "from-env"] {
        watched.types(&["token", provider, "--format", "json"], "");
        watched.types(&["login", provider], "");
    }
    watched.types(&["login", "carbonmapper", "--password-stdin"], "standin-password\n");
    watched.types(&stac, "");
    watched.sandbox.age("carbonmapper", TimeDelta::minutes(6));
    watched.types(&["token", "carbonmapper", "--format", "env"], "");
    for words in
        [&["status"][..], &["status", "--json"], &["list"], &["config", "show"], &["config", "check"]]
    {
        watched.types(words, "");
    }
    for provider in ["earthscope", "machine", "earthdaily", "from-env", "carbonmapper"] {
        watched.types(&["logout", provider], "");
    }
    assert_eq!(watched.methane.mints(), 1);
    check(&watched);
}

fn check(watched: &Watched) {
    let started = watched.started();
    let (mut programs, mut of_the_test) = (Vec::new(), 0);
    for [path, words, env] in &started {
        programs.extend(path.iter().filter_map(|path| path.rsplit('/').next()));
        assert_no_secret("the arguments of a program", &words.join(" "));
        assert!(env.iter().any(|value| value.starts_with("HOME=")), "the environment is traced: {env:?}");
        for value in env {
            if watched.env.contains(value) {
                of_the_test += usize::from(secret_in(value).is_some());
            } else {
                assert_no_secret("the environment of a program", value);
            }
        }
    }
    for program in ["broker", "cat", "browser"] {
        assert!(programs.contains(&program), "{program} is not seen: {programs:?}");
    }
    assert!(of_the_test >= started.len(), "what the test itself set is found: {of_the_test}");
}

#[test]
fn every_secret_of_a_stand_in_is_marked() {
    let watched = Watched::new();
    let run = |words: &[&str]| watched.sandbox.broker(words).ends(0);
    let _ = run(&["login", "earthscope"]);
    let _ = watched
        .sandbox
        .broker_reading(&["login", "carbonmapper", "--password-stdin"], "standin-password")
        .ends(0);
    for words in [&["token", "earthdaily"][..], &["token", "carbonmapper", "--scope", "stac"]] {
        assert!(run(words).out.contains(MARK), "{words:?}");
    }
    for provider in ["earthscope", "carbonmapper"] {
        let record = watched.sandbox.record(provider);
        for secret in [&record["grant"]["secret"], &record["tokens"][""]["secret"]] {
            let secret = secret.as_str().expect("a secret");
            assert!(secret.contains(MARK), "{provider}");
            // Its claims too, if it is a JWT: a part of it may be shown.
            let claims = secret.split('.').nth(1).expect("claims");
            assert!(secret_in(claims).is_some(), "{provider}: {secret}");
        }
    }
    let polls = watched.seismic.seen().into_iter().filter(|seen| seen.route == "token");
    let codes: Vec<_> = polls.filter_map(|seen| seen.form().remove("device_code")).collect();
    assert!(!codes.is_empty() && codes.iter().all(|code| code.contains(MARK)), "{codes:?}");
}

#[test]
fn a_secret_is_found_however_it_is_written() {
    // The Basic header and the claims that a log line might hold; base64 of the id, a colon, the secret.
    for basic in ["eDpLQU5BUklF", "aWQ6S0FOQVJJRQ==", "aWQxOktBTkFSSUUx"] {
        assert!(secret_in(basic).is_some(), "{basic}");
    }
    assert_eq!(secret_in("the standin-api token, KANARI, a2FuYXJpZQ"), None);
    for plain in ["a KANARIE b", "x=standin-password"] {
        assert!(secret_in(plain).is_some(), "{plain}");
    }
}

#[test]
#[should_panic(expected = "holds a secret and has mode 644")]
fn a_file_with_a_secret_that_others_can_read_is_found() {
    let sandbox = Sandbox::new();
    let file = sandbox.home().join("copy.json");
    std::fs::write(&file, MARK).expect("a file");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("a mode");
}

#[test]
#[should_panic(expected = "a secret (KANARIE…) is in stderr")]
fn a_secret_on_stderr_is_found() {
    let _ = Sandbox::new().broker(&["token", MARK]);
}

#[test]
#[should_panic(expected = "a secret is in stdout")]
fn a_secret_on_stdout_is_found() {
    // What stands under a key that is no secret's is shown.
    let config = format!("[providers.earthdaily]\nclient_id = \"{MARK}\"\n");
    let _ = Sandbox::new().with_config(&config).broker(&["config", "show"]);
}
