//! Tests prompts and logins on a terminal, which `script` (bsdutils, util-linux) provides.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use broker_e2e::{Sandbox, assert_no_secret, broker_binary, is_log, louder};
use broker_testkit::{EarthScope, EarthScopeOptions};

use crate::stage::{carbonmapper, earthscope, fast_polling, program, write_script};

/// A command that runs on its own terminal.
pub(crate) struct Screen {
    child: Child,
    keys: ChildStdin,
    output: ChildStdout,
    seen: String,
}

impl Screen {
    pub(crate) fn run(sandbox: &Sandbox, words: &str) -> Self {
        Self::after(sandbox, ":", words)
    }

    /// Starts `broker` with the arguments `words` on a terminal of this size.
    pub(crate) fn sized(sandbox: &Sandbox, columns: usize, rows: usize, words: &str) -> Self {
        Self::after(sandbox, &format!("stty columns {columns} rows {rows}"), words)
    }

    fn after(sandbox: &Sandbox, before: &str, words: &str) -> Self {
        let louder = louder(&words.split(' ').collect::<Vec<_>>()).join(" ");
        let line = format!("{before}; exec {} {words} {louder}", broker_binary().display());
        // A test that waits for text that never appears must fail.
        let script = ["2m", "script", "--quiet", "--return", "--command", &line, "/dev/null"];
        let mut command = program(sandbox, "timeout", &script);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("`script` runs");
        let (keys, output) = (child.stdin.take().expect("keys"), child.stdout.take().expect("a screen"));
        Self { child, keys, output, seen: String::new() }
    }

    pub(crate) fn wait_for(&mut self, words: &str) {
        let mut buffer = [0; 4096];
        while !self.seen.contains(words) {
            let read = self.output.read(&mut buffer).expect("a screen");
            assert!(read > 0, "`{words}` never came: {}", self.seen);
            self.seen += &String::from_utf8_lossy(&buffer[..read]);
        }
    }

    pub(crate) fn seen(&self) -> &str {
        &self.seen
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("keys");
    }

    /// Waits until the command exits, and returns the exit code and all output.
    pub(crate) fn ends(mut self) -> (Option<i32>, String) {
        let mut rest = Vec::new();
        self.output.read_to_end(&mut rest).expect("a screen");
        drop(self.keys);
        let code = self.child.wait().expect("it ends").code();
        let seen = self.seen + &String::from_utf8_lossy(&rest);
        assert_no_secret("the screen", &seen);
        (code, seen)
    }
}

#[test]
#[ignore = "needs script"]
fn login_asks_for_email_and_hides_the_password() {
    let (service, sandbox) = carbonmapper("");
    let mut screen = Screen::run(&sandbox, "login carbonmapper");
    screen.wait_for("Carbon Mapper email: ");
    screen.types("ada@example.org\n");
    screen.wait_for("Carbon Mapper password of ada@example.org: ");
    screen.types("standin-password\n");
    let (code, seen) = screen.ends();
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("logged in as ada@example.org"), "{seen}");
    assert_eq!(service.pairs(), 1);
}

#[test]
#[ignore = "needs script"]
fn ctrl_c_at_a_prompt_exits_with_130() {
    let (service, sandbox) = carbonmapper("");
    let sandbox = sandbox.with_env("CARBONMAPPER_EMAIL", "ada@example.org");
    let mut screen = Screen::run(&sandbox, "login carbonmapper");
    screen.wait_for("password of ada@example.org: ");
    screen.types("\u{3}");
    let (code, seen) = screen.ends();
    assert_eq!(code, Some(130), "{seen}");
    assert!(service.seen().is_empty());
}

#[test]
#[ignore = "needs script"]
fn login_shows_qr_code_and_countdown() {
    let (service, sandbox) = earthscope(fast_polling(), "");
    let sandbox = sandbox.with_env("TERM", "xterm").with_env("LANG", "C.UTF-8");
    let mut screen = Screen::run(&sandbox, "login earthscope");
    screen.wait_for("left (Ctrl-C to stop)");
    service.approve_all();
    let (code, seen) = screen.ends();
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains('█') && seen.contains("min"), "a QR code and a countdown: {seen}");
    assert!(seen.trim_end().lines().last().is_some_and(|line| line.contains("logged in as")), "{seen}");
}

/// Returns a service that approves each login at the first poll, with a configured sandbox.
fn approving() -> (EarthScope, Sandbox) {
    let (service, sandbox) = earthscope(fast_polling(), "");
    service.approve_all();
    (service, sandbox)
}

/// Runs a successful login on a terminal of this size, and returns the output.
fn screen(sandbox: &Sandbox, columns: usize, rows: usize, words: &str) -> String {
    let (code, seen) = Screen::sized(sandbox, columns, rows, words).ends();
    assert_eq!(code, Some(0), "{seen}");
    // Removes the log lines that `BROKER_E2E_VVV` adds.
    seen.replace('\r', "").split_inclusive('\n').filter(|line| !is_log(line)).collect()
}

/// Returns the width of a line on the screen, without control sequences.
fn width(line: &str) -> usize {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default();
    let rest = parts.filter_map(|part| part.split_once(['m', 'K'])).map(|(_, text)| text);
    rest.chain([first]).map(|text| text.chars().count()).sum()
}

#[test]
#[ignore = "needs script"]
fn login_instructions_fit_the_terminal() {
    let (service, sandbox) = approving();
    let sandbox = sandbox.with_env("LANG", "C.UTF-8");
    for (columns, rows, picture) in
        [(80, 24, true), (60, 20, false), (60, 45, true), (200, 50, true), (45, 24, false)]
    {
        let seen = screen(&sandbox, columns, rows, "login earthscope --no-browser");
        let at = format!("{columns}x{rows}: {seen}");
        let code = service.user_codes().pop().expect("a code");
        let large = code.chars().map(String::from).collect::<Vec<_>>().join(" ");
        assert_eq!(seen.contains('█'), picture, "{at}");
        let url = format!("{}/activate?user_code={code}", service.url());
        for part in [&large, &url, "Waiting, ", "earthscope: logged in as auth0|5f1e"] {
            assert!(seen.contains(part), "`{part}` is not on the screen, {at}");
        }
        let page: Vec<_> = seen.lines().take_while(|line| !line.contains("Waiting")).collect();
        assert!(page.len() < rows, "{} rows, {at}", page.len());
        let wide = |line: &&&str| width(line) > columns && !line.contains("http");
        assert_eq!(page.iter().find(wide), None, "{at}");
    }
}

#[test]
#[ignore = "needs script"]
fn no_color_or_dumb_terminal_gets_no_control_sequences() {
    let (_service, sandbox) = approving();
    let sandbox = sandbox.with_env("NO_COLOR", "1").with_env("LANG", "C.UTF-8");
    let seen = screen(&sandbox, 80, 24, "login earthscope --no-browser --quiet");
    assert!(seen.contains('█') && !seen.contains('\u{1b}'), "{seen}");
    let seen = screen(&sandbox.with_env("TERM", "dumb"), 80, 24, "login earthscope --no-browser");
    assert!(!seen.contains(['█', '\u{1b}', '╭']), "{seen}");
    let lines: Vec<_> = seen.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("To log in, open http"), "{seen}");
}

#[test]
#[ignore = "needs script"]
fn login_page_is_ascii_where_the_terminal_is_not_utf8() {
    let cases: [(&[(&str, &str)], bool); 11] = [
        (&[], true),
        (&[("LANG", "C")], true),
        (&[("LC_ALL", "POSIX"), ("LANG", "C.UTF-8")], true),
        (&[("LC_CTYPE", "de_DE.ISO-8859-1"), ("LANG", "de_DE.UTF-8")], true),
        (&[("LANG", "de_DE@euro")], true),
        (&[("LANG", "C.UTF-8"), ("TERM", "linux")], true),
        (&[("LANG", "C.UTF-8"), ("TERM", "vt220")], true),
        (&[("LANG", "C.UTF-8")], false),
        (&[("LC_ALL", ""), ("LC_CTYPE", "en_GB.utf8")], false),
        (&[("LC_ALL", "C.UTF-8"), ("LANG", "C")], false),
        (&[("LANG", "C.UTF-8"), ("TERM", "vte-256color")], false),
    ];
    for (env, ascii) in cases {
        let (service, mut sandbox) = approving();
        for (name, value) in [("TERM", "xterm")].iter().chain(env) {
            sandbox = sandbox.with_env(name, value);
        }
        let seen = screen(&sandbox, 80, 24, "login earthscope --no-browser");
        assert_eq!(seen.is_ascii(), ascii, "{env:?}: {seen}");
        let code = service.user_codes().pop().expect("a code");
        let large = code.chars().map(String::from).collect::<Vec<_>>().join(" ");
        assert!(seen.contains(&large) && seen.contains("logged in as"), "{env:?}: {seen}");
    }
}

#[test]
#[ignore = "needs script"]
fn messages_are_ascii_where_the_terminal_is_not_utf8() {
    let (_service, sandbox) = approving();
    let sandbox = sandbox.with_env("LANG", "C").with_env("TERM", "xterm");
    let config = "[providers.b\u{fc}ro]\nkind = \"static\"\n";
    sandbox.write_config(config);
    let (code, seen) = Screen::sized(&sandbox, 80, 24, "token earthscope").ends();
    assert!(code != Some(0) && seen.is_ascii(), "{seen}");
    let run = sandbox.broker(&["token", "earthscope"]);
    assert!(!run.err.is_ascii(), "a pipe gets the message as it is: {}", run.err);
}

#[test]
fn login_prints_one_line_without_a_terminal() {
    let (service, sandbox) = approving();
    for words in [&["login", "earthscope"][..], &["login", "earthscope", "--quiet"]] {
        let run = sandbox.broker(words).ends(0);
        let code = service.user_codes().pop().expect("a code");
        let url = format!("{}/activate?user_code={code}", service.url());
        let line = format!("To log in, open {url} and check that it shows the code {code}");
        assert_eq!(run.err.lines().next(), Some(line.as_str()));
        assert_eq!(run.err.lines().count(), if words.contains(&"--quiet") { 1 } else { 2 }, "{}", run.err);
        assert_eq!(run.out, "");
    }
    // Without `verification_uri_complete`, the user must type the code.
    let (service, sandbox) = earthscope(EarthScopeOptions { complete_uri: false, ..fast_polling() }, "");
    service.approve_all();
    let run = sandbox.broker(&["login", "earthscope"]).ends(0);
    let code = service.user_codes().pop().expect("a code");
    let _ = run.says(&format!("activate and enter the code {code}\n"));
}

/// Adds a browser that writes the opened URL to a pipe.
fn with_browser(sandbox: Sandbox) -> (Sandbox, std::path::PathBuf) {
    let (pipe, browser) = (sandbox.home().join("pipe"), sandbox.home().join("browser"));
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    write_script(&sandbox, &browser, &format!("#!/bin/sh\nprintf %s \"$1\" > '{}'\n", pipe.display()));
    let browser = browser.display().to_string();
    (sandbox.with_env("DISPLAY", ":99").with_env("BROWSER", &browser), pipe)
}

#[test]
fn login_opens_a_local_browser() {
    let (service, sandbox) = earthscope(fast_polling(), "");
    let (sandbox, pipe) = with_browser(sandbox);
    let login = sandbox.start(&["login", "earthscope"]);
    let page = Command::new("timeout").arg("60").arg("cat").arg(&pipe).output().expect("cat");
    let page = String::from_utf8(page.stdout).expect("text");
    let code = service.user_codes().pop().expect("a code");
    assert_eq!(page, format!("{}/activate?user_code={code}", service.url()));
    service.approve_all();
    let _ = broker_e2e::finish(login).ends(0);
}

#[test]
fn login_opens_no_browser_over_ssh_or_without_display() {
    let (_service, sandbox) = approving();
    let (sandbox, _pipe) = with_browser(sandbox);
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
