//! Demonstrates the broker with three fake services, which need no account. `cargo run --example demo` runs `broker`
//! commands; `cargo run --example demo -- --shell` opens a shell in which the user types them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a demonstration that cannot go on should say so at once, on the terminal"
)]

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use broker_e2e::Sandbox;
use broker_testkit::{
    CarbonMapper, CarbonMapperOptions, EarthDaily, EarthDailyOptions, EarthScope, EarthScopeOptions, Rotation,
};
use chrono::TimeDelta;

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "standin-password";
const API_TOKEN: &str = "standin-api-token";

/// The fake servers, and a home folder configured for them.
struct Demo {
    earthscope: EarthScope,
    carbonmapper: CarbonMapper,
    _earthdaily: EarthDaily,
    sandbox: Sandbox,
}

fn main() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    if Path::new(&called).file_name().is_some_and(|name| name == "broker") {
        return earthbroker_cli::main();
    }
    let demo = Demo::start();
    if std::env::args().any(|word| word == "--shell") {
        demo.shell();
    } else {
        demo.play();
    }
    ExitCode::SUCCESS
}

impl Demo {
    fn start() -> Self {
        let rotation = Rotation::RotateDetectReuse;
        let earthscope =
            EarthScope::start(EarthScopeOptions { rotation, interval: Some(1), ..Default::default() });
        let earthdaily = EarthDaily::start(EarthDailyOptions::default());
        let carbonmapper = CarbonMapper::start(CarbonMapperOptions::default());
        let sandbox = Sandbox::new();
        let config = format!(
            "# The three services, played by this machine.\n\
             [providers.earthscope]\ndomain = \"{}\"\nsdk_home = \"{}\"\n\n\
             [providers.earthdaily]\nauth_url = \"{}\"\nclient_secret = {{ env = \"EDS_SECRET\" }}\n\n\
             [providers.carbonmapper]\nbase_url = \"{}\"\nemail = \"{EMAIL}\"\n",
            earthscope.url(),
            // Without `sdk_home`, `broker` in the demo's shell would change the user's real EarthScope login.
            sandbox.home().join(".earthscope").display(),
            earthdaily.auth_url(),
            carbonmapper.base_url(),
        );
        let sandbox = sandbox.with_config(&config).with_env("EDS_SECRET", API_TOKEN);
        let demo = Self { earthscope, carbonmapper, _earthdaily: earthdaily, sandbox };
        let this = std::env::current_exe().expect("the path of this program");
        symlink(this, demo.broker()).expect("a link named `broker` to this program");
        demo
    }

    /// Returns the path of a link named `broker` to this program. Under that name, the program runs as `broker`.
    fn broker(&self) -> PathBuf {
        self.sandbox.home().join("broker")
    }

    fn play(&self) {
        step("EarthScope: log in once with a browser; the demo approves the code for you");
        self.log_in_with_browser();
        self.run(&["token", "earthscope"], "");
        step("The same token again: stored, no request to the service");
        self.run(&["token", "earthscope"], "");
        self.sandbox.age("earthscope", TimeDelta::hours(25));
        step("A day later the token has expired: it is renewed automatically");
        self.run(&["token", "earthscope"], "");
        step("EarthDaily: a secret in EDS_SECRET, no login");
        self.run(&["token", "earthdaily"], "");
        step("Carbon Mapper: a password once, then a scoped token for 7 days");
        self.run(&["login", "carbonmapper", "--password-stdin"], PASSWORD);
        let scoped = ["token", "carbonmapper", "--scope", "stac", "--expires", "7d"];
        self.run(&scoped, "");
        step("The same scoped token again: the service shows it once, the broker stores it");
        self.run(&scoped, "");
        assert_eq!(self.carbonmapper.mints(), 1, "one scoped token for two calls");
        step("Log out: the login is revoked at the service, and the next call says what to do");
        self.run(&["logout", "earthscope"], "");
        self.run(&["token", "earthscope"], "");
    }

    /// Runs `broker login earthscope`, and approves the login in place of the user.
    fn log_in_with_browser(&self) {
        let words = ["login", "earthscope", "--no-browser"];
        show(&words, "");
        let mut login = self.command(&words).stderr(Stdio::piped()).spawn().expect("broker runs");
        let stderr = BufReader::new(login.stderr.take().expect("its stderr"));
        let polls = self.earthscope.wait_for("token", 1, Duration::from_mins(1));
        assert!(polls, "the broker polls for its token");
        self.earthscope.approve_all();
        for line in stderr.lines() {
            println!("{}", line.expect("a line"));
        }
        assert!(login.wait().expect("broker ends").success(), "logged in");
    }

    fn run(&self, words: &[&str], input: &str) {
        show(words, input);
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("broker runs");
        child.stdin.take().expect("its stdin").write_all(input.as_bytes()).expect("the input is read");
        let output = child.wait_with_output().expect("broker ends");
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            println!("{}", shortened(line));
        }
        print!("{}", String::from_utf8_lossy(&output.stderr));
    }

    fn command(&self, words: &[&str]) -> Command {
        self.sandbox.inside(Command::new(self.broker()), words)
    }

    /// Opens a shell in which `broker` uses the fake servers.
    fn shell(&self) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(self.sandbox.home()).chain(std::env::split_paths(&path));
        let path = std::env::join_paths(paths).expect("a PATH");
        println!("This shell has `broker`, a configuration, and the fake servers. For example:\n");
        println!("  broker login earthscope      approve on its page, in a browser or from");
        println!("                               another terminal: curl -X POST 'PAGE'");
        println!("  broker token earthscope");
        println!("  broker token earthdaily      the API token is in $EDS_SECRET");
        println!("  broker login carbonmapper    the password is {PASSWORD}");
        println!("  broker token carbonmapper --scope stac --expires 7d");
        println!("  broker status; broker logout earthscope; exit\n");
        let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
        let mut command = Command::new(shell);
        for (name, _) in std::env::vars_os() {
            // The demo's shell must not get the user's variables: they may contain real secrets or change settings.
            let upper = name.to_string_lossy().to_ascii_uppercase();
            if ["ES_", "EDS_", "CARBONMAPPER_", "BROKER_"].iter().any(|prefix| upper.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        let status = command
            .env("PATH", path)
            // `APP_DIRECTORY` hides the login of EarthScope's older tools: the fake server must not get this login.
            .env("APP_DIRECTORY", self.sandbox.home())
            .env("BROKER_CONFIG", self.sandbox.config_path())
            .env("BROKER_STATE_DIR", self.sandbox.state())
            .env("EDS_SECRET", API_TOKEN)
            .status();
        let _ = status.expect("a shell");
    }
}

/// Shortens a token to its first and last characters, which are enough to compare two tokens.
fn shortened(line: &str) -> String {
    match (line.get(..10), line.get(line.len().saturating_sub(6)..)) {
        (Some(start), Some(end)) if line.len() > 24 => format!("{start}…{end}"),
        _ => line.to_owned(),
    }
}

fn show(words: &[&str], input: &str) {
    let input = if input.is_empty() { "" } else { "printf %s \"$PASSWORD\" | " };
    println!("$ {input}broker {}", words.join(" "));
}

fn step(text: &str) {
    let (bold, plain) = if std::io::stdout().is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    println!("{bold}# {text}{plain}");
}
