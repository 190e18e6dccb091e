//! Where a person sits: a terminal, prompts, a browser. The terminal is one of `script` (bsdutils, util-linux).

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use broker_e2e::{Sandbox, assert_no_secret, broker_binary, louder};
use broker_testkit::{CarbonMapper, CarbonMapperOptions, EarthScope, EarthScopeOptions};

/// A command on a terminal of its own.
pub(crate) struct Screen {
    child: Child,
    keys: ChildStdin,
    output: ChildStdout,
    seen: String,
}

impl Screen {
    pub(crate) fn run(sandbox: &Sandbox, words: &str) -> Self {
        let mut command = Command::new("script");
        let louder = louder(&[words]).join(" ");
        let line = format!("{} {words} {louder}", broker_binary().display());
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        let as_if = sandbox.command(&[]);
        command.env_clear().envs(as_if.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(sandbox.home()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("`script` runs");
        let (keys, output) = (child.stdin.take().expect("keys"), child.stdout.take().expect("a screen"));
        Self { child, keys, output, seen: String::new() }
    }

    /// Reads until this stands on the screen.
    pub(crate) fn wait_for(&mut self, words: &str) {
        let mut buffer = [0; 4096];
        while !self.seen.contains(words) {
            let read = self.output.read(&mut buffer).expect("a screen");
            assert!(read > 0, "`{words}` never came: {}", self.seen);
            self.seen += &String::from_utf8_lossy(&buffer[..read]);
        }
    }

    /// What stood on the screen so far.
    pub(crate) fn seen(&self) -> &str {
        &self.seen
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("keys");
    }

    /// The exit code, and all that was on the screen.
    pub(crate) fn ends(mut self) -> (Option<i32>, String) {
        let mut rest = Vec::new();
        self.output.read_to_end(&mut rest).expect("a screen");
        drop(self.keys);
        let code = self.child.wait().expect("it ends").code();
        let seen = self.seen + &String::from_utf8_lossy(&rest);
        assert_no_secret("what was on the screen", &seen);
        (code, seen)
    }
}

fn methane() -> (CarbonMapper, Sandbox) {
    let service = CarbonMapper::start(CarbonMapperOptions::default());
    let config = format!("[providers.carbonmapper]\nbase_url = \"{}\"\n", service.base_url());
    (service, Sandbox::new().with_config(&config))
}

#[test]
fn email_and_password_are_asked_and_the_password_is_not_shown() {
    let (service, sandbox) = methane();
    let mut screen = Screen::run(&sandbox, "login carbonmapper");
    screen.wait_for("Carbon Mapper email: ");
    screen.types("ada@example.org\n");
    screen.wait_for("Carbon Mapper password of ada@example.org: ");
    screen.types("standin-password\n");
    let (code, seen) = screen.ends();
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("signed in as ada@example.org"), "{seen}");
    assert_eq!(service.pairs(), 1);
}

#[test]
fn ctrl_c_at_a_prompt_ends_it() {
    let (service, sandbox) = methane();
    let sandbox = sandbox.with_env("CARBONMAPPER_EMAIL", "ada@example.org");
    let mut screen = Screen::run(&sandbox, "login carbonmapper");
    screen.wait_for("password of ada@example.org: ");
    screen.types("\u{3}");
    let (code, seen) = screen.ends();
    assert_eq!(code, Some(130), "{seen}");
    assert!(service.seen().is_empty());
}

#[test]
fn a_login_shows_a_picture_and_the_time_that_is_left() {
    let service = EarthScope::start(EarthScopeOptions { interval: Some(1), ..EarthScopeOptions::default() });
    let config = format!("[providers.earthscope]\ndomain = \"{}\"\n", service.url());
    let sandbox = Sandbox::new().with_config(&config).with_env("TERM", "xterm");
    let mut screen = Screen::run(&sandbox, "login earthscope");
    screen.wait_for("left (Ctrl-C to stop)");
    service.approve_all();
    let (code, seen) = screen.ends();
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains('█') && seen.contains("min"), "a QR code and a countdown: {seen}");
    assert!(seen.trim_end().lines().last().is_some_and(|line| line.contains("signed in as")), "{seen}");
}

/// A browser that tells which page it was sent to, through a pipe.
fn with_browser(sandbox: Sandbox) -> (Sandbox, std::path::PathBuf) {
    use std::os::unix::fs::PermissionsExt;
    let (pipe, browser) = (sandbox.home().join("pipe"), sandbox.home().join("browser"));
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    std::fs::write(&browser, format!("#!/bin/sh\nprintf %s \"$1\" > '{}'\n", pipe.display()))
        .expect("a script");
    std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let browser = browser.display().to_string();
    (sandbox.with_env("DISPLAY", ":99").with_env("BROWSER", &browser), pipe)
}

#[test]
fn a_browser_is_opened_where_it_is_seen() {
    let service = EarthScope::start(EarthScopeOptions { interval: Some(1), ..EarthScopeOptions::default() });
    let config = format!("[providers.earthscope]\ndomain = \"{}\"\n", service.url());
    let (sandbox, pipe) = with_browser(Sandbox::new().with_config(&config));
    let login = sandbox.start(&["login", "earthscope"]);
    let page = Command::new("timeout").arg("60").arg("cat").arg(&pipe).output().expect("cat");
    let page = String::from_utf8(page.stdout).expect("text");
    let code = service.user_codes().pop().expect("a code");
    assert_eq!(page, format!("{}/activate?user_code={code}", service.url()));
    service.approve_all();
    let _ = broker_e2e::finish(login).ends(0);
}

#[test]
fn no_browser_is_opened_from_afar() {
    let service = EarthScope::start(EarthScopeOptions { interval: Some(1), ..EarthScopeOptions::default() });
    service.approve_all();
    let config = format!("[providers.earthscope]\ndomain = \"{}\"\n", service.url());
    let (sandbox, _pipe) = with_browser(Sandbox::new().with_config(&config));
    let opened = sandbox.home().join("opened");
    let browser = sandbox.home().join("browser");
    std::fs::write(&browser, format!("#!/bin/sh\ntouch '{}'\n", opened.display())).expect("a script");
    let _ = sandbox.broker(&["login", "earthscope", "--no-browser"]).ends(0);
    let far = sandbox.with_env("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22");
    let _ = far.broker(&["login", "earthscope"]).ends(0);
    let blind = far.with_env("SSH_CONNECTION", "").with_env("DISPLAY", "");
    let _ = blind.broker(&["login", "earthscope"]).ends(0);
    assert!(!opened.exists());
}
