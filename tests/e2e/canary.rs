//! Tests that the search for leaked secrets works on the broker's output and files, and that child processes get no
//! secrets.

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use broker_e2e::{MARK, Sandbox, assert_no_secret, broker_binary, secret_in};
use broker_testkit::{
    CarbonMapper, CarbonMapperOptions, EarthDaily, EarthDailyOptions, EarthScope, EarthScopeOptions, Rotation,
};
use chrono::TimeDelta;

use crate::stage::{program, set_mode, write_script};

const CLIENT_SECRET: &str = "m2m-KANARIE";

/// Three fake services, a sandbox configured for them, and an strace log of all programs that the broker starts.
struct Watched {
    seismic: EarthScope,
    methane: CarbonMapper,
    _imagery: EarthDaily,
    sandbox: Sandbox,
    trace: PathBuf,
    /// The environment variables that the test sets, as `NAME=VALUE`.
    env: Vec<String>,
}

impl Watched {
    fn new() -> Self {
        let options = EarthScopeOptions {
            rotation: Rotation::Rotate,
            interval: Some(1),
            client_secret: Some(CLIENT_SECRET.into()),
            ..EarthScopeOptions::default()
        };
        let (seismic, imagery) =
            (EarthScope::start(options), EarthDaily::start(EarthDailyOptions::default()));
        let methane = CarbonMapper::start(CarbonMapperOptions::default());
        seismic.approve_all();
        let sandbox = Sandbox::new();
        let file = sandbox.home().join("secret");
        sandbox.write(&file, "standin-api-token\n");
        sandbox.write(&sandbox.home().join("machine"), CLIENT_SECRET);
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
        // The leak search skips files that a test writes. The strace log contains secrets, so the test creates it.
        sandbox.write(&trace, "");
        Self { seismic, methane, _imagery: imagery, sandbox, trace, env: Vec::new() }
    }

    /// Sets an environment variable.
    fn with_env(mut self, name: &str, value: &str) -> Self {
        self.sandbox = self.sandbox.with_env(name, value);
        self.env.push(format!("{name}={value}"));
        self
    }

    /// Runs `broker -vvv` under strace, and checks that only the output of `broker token` contains a secret.
    fn run(&self, words: &[&str], input: &str) {
        let options = ["-f", "-qq", "-v", "-A", "-e", "trace=execve", "-s", "100000", "-o"];
        let mut strace = program(&self.sandbox, "strace", &options);
        strace.arg(&self.trace).arg(broker_binary()).args(words).arg("-vvv");
        strace.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = strace.spawn().expect("strace runs");
        child.stdin.take().expect("the stdin of strace").write_all(input.as_bytes()).expect("written");
        let output = child.wait_with_output().expect("strace exits");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{words:?}: {err}");
        assert_no_secret("stderr", &err);
        if words[0] == "token" {
            assert!(secret_in(&out).is_some(), "the search does not find a token: {out}");
        } else {
            assert_no_secret("stdout", &out);
        }
    }

    /// Returns the path, arguments and environment of each program that the broker started.
    fn started(&self) -> Vec<[Vec<String>; 3]> {
        let trace = std::fs::read_to_string(&self.trace).expect("a trace");
        trace.lines().filter_map(|line| Some(lists(line.split_once("execve(")?.1))).collect()
    }
}

/// Parses the arguments of execve(2) in an strace log: `"PATH", ["WORD", …], ["NAME=VALUE", …]`.
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

/// Fails without strace or root. Only root can trace `broker`, which is not dumpable (`PR_SET_DUMPABLE`).
fn need_strace() {
    crate::strace::need_strace();
    assert!(rustix::process::geteuid().is_root(), "run this test as root");
}

/// Adds a fake browser to the sandbox: a script that exits at once.
fn with_browser(watched: Watched) -> Watched {
    let browser = watched.sandbox.home().join("browser");
    write_script(&watched.sandbox, &browser, "#!/bin/sh\nexit 0\n");
    let browser = browser.display().to_string();
    watched.with_env("DISPLAY", ":99").with_env("BROWSER", &browser)
}

#[test]
#[ignore = "needs strace and root"]
fn no_child_process_gets_secrets_in_arguments_or_env() {
    need_strace();
    let watched = Watched::new();
    let bootstrap = watched.seismic.issue_refresh_token();
    let watched = with_browser(watched.with_env("A_SECRET", "standin-api-token"))
        .with_env("CARBONMAPPER_PASSWORD", "standin-password")
        .with_env("ES_OAUTH2__REFRESH_TOKEN", &bootstrap);
    let stac = ["token", "carbonmapper", "--scope", "stac"];
    let forced = ["token", "earthscope", "--force"];
    for words in [&["token", "earthscope"][..], &forced, &["login", "earthscope"], &forced] {
        watched.run(words, "");
    }
    let other = watched.seismic.issue_refresh_token();
    watched.run(&["login", "earthscope", "--refresh-token-stdin"], &other);
    for provider in ["machine", "earthdaily", "from-env"] {
        watched.run(&["token", provider, "--format", "json"], "");
        watched.run(&["login", provider], "");
    }
    watched.run(&["login", "carbonmapper", "--password-stdin"], "standin-password\n");
    watched.run(&stac, "");
    watched.sandbox.age("carbonmapper", TimeDelta::minutes(6));
    watched.run(&["token", "carbonmapper", "--format", "env"], "");
    for words in ["status", "status --json", "list", "config show", "config check"] {
        watched.run(&words.split(' ').collect::<Vec<_>>(), "");
    }
    for provider in ["earthscope", "machine", "earthdaily", "from-env", "carbonmapper"] {
        watched.run(&["logout", provider], "");
    }
    assert_eq!(watched.methane.mints(), 1);
    check(&watched);
}

fn check(watched: &Watched) {
    let started = watched.started();
    let (mut programs, mut from_the_test) = (Vec::new(), 0);
    for [path, words, env] in &started {
        programs.extend(path.iter().filter_map(|path| path.rsplit('/').next()));
        assert_no_secret("the arguments of a program", &words.join(" "));
        assert!(env.iter().any(|value| value.starts_with("HOME=")), "the trace has no environment: {env:?}");
        for value in env {
            if watched.env.contains(value) {
                from_the_test += usize::from(secret_in(value).is_some());
            } else {
                assert_no_secret("the environment of a program", value);
            }
        }
    }
    for program in ["broker", "cat", "browser"] {
        assert!(programs.contains(&program), "{program} was not started: {programs:?}");
    }
    assert!(from_the_test >= started.len(), "too few secrets from the test's variables: {from_the_test}");
}

#[test]
fn every_secret_of_a_fake_server_contains_a_canary() {
    let watched = Watched::new();
    let run = |words: &[&str]| watched.sandbox.broker(words).ends(0);
    let _ = run(&["login", "earthscope"]);
    let login = ["login", "carbonmapper", "--password-stdin"];
    let _ = watched.sandbox.broker_reading(&login, "standin-password").ends(0);
    for words in [&["token", "earthdaily"][..], &["token", "carbonmapper", "--scope", "stac"]] {
        assert!(run(words).out.contains(MARK), "{words:?}");
    }
    for provider in ["earthscope", "carbonmapper"] {
        let record = watched.sandbox.record(provider);
        for secret in [&record["grant"]["secret"], &record["tokens"][""]["secret"]] {
            let secret = secret.as_str().expect("a secret");
            assert!(secret.contains(MARK), "{provider}");
            // The claims of a JWT must contain a canary too, because a leak may contain only part of the JWT.
            let claims = secret.split('.').nth(1).expect("claims");
            assert!(secret_in(claims).is_some(), "{provider}: {secret}");
        }
    }
    let polls = watched.seismic.seen().into_iter().filter(|seen| seen.route == "token");
    let codes: Vec<_> = polls.filter_map(|seen| seen.form().remove("device_code")).collect();
    assert!(!codes.is_empty() && codes.iter().all(|code| code.contains(MARK)), "{codes:?}");
}

#[test]
fn leak_search_finds_base64_encoded_secrets() {
    // Base64 of `ID:SECRET`, as in HTTP Basic. The id's length changes the encoding of the secret.
    for basic in ["eDpLQU5BUklF", "aWQ6S0FOQVJJRQ==", "aWQxOktBTkFSSUUx"] {
        assert!(secret_in(basic).is_some(), "{basic}");
    }
    assert_eq!(secret_in("the standin-api token, KANARI, a2FuYXJpZQ"), None);
    for plain in ["a KANARIE b", "x=standin-password"] {
        assert!(secret_in(plain).is_some(), "{plain}");
    }
}

#[test]
#[should_panic(expected = "contains a secret and has mode 644")]
fn leak_search_finds_a_secret_in_a_world_readable_file() {
    let sandbox = Sandbox::new();
    let file = sandbox.home().join("copy.json");
    std::fs::write(&file, MARK).expect("a file");
    set_mode(&file, 0o644);
}

#[test]
#[should_panic(expected = "a secret (KANARIE…) is in stderr")]
fn leak_search_finds_a_secret_on_stderr() {
    let _ = Sandbox::new().broker(&["token", MARK]);
}

#[test]
#[should_panic(expected = "a secret is in stdout")]
fn leak_search_finds_a_secret_on_stdout() {
    // `config show` prints the client id, which is not secret.
    let config = format!("[providers.earthdaily]\nclient_id = \"{MARK}\"\n");
    let _ = Sandbox::new().with_config(&config).broker(&["config", "show"]);
}
