//! All three services on this machine, without an account: `cargo run --example demo` types the commands for you,
//! `cargo run --example demo -- --shell` opens a shell to type them in yourself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a demonstration that cannot go on should say so at once, on the terminal"
)]

use std::io::IsTerminal;
use std::process::{Command, Stdio};
use std::time::Duration;

use broker_e2e::{Sandbox, broker_binary};
use broker_testkit::{
    CarbonMapper, CarbonMapperOptions, EarthDaily, EarthDailyOptions, EarthScope, EarthScopeOptions, Rotation,
};
use chrono::TimeDelta;

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "standin-password";
const API_TOKEN: &str = "standin-api-token";

/// The fake servers, and a home whose configuration names them.
struct Stage {
    earthscope: EarthScope,
    carbonmapper: CarbonMapper,
    _earthdaily: EarthDaily,
    sandbox: Sandbox,
}

fn main() {
    println!("Building the broker and starting fake servers of the three services …");
    let stage = Stage::set();
    if std::env::args().any(|word| word == "--shell") { stage.shell() } else { stage.play() }
}

impl Stage {
    fn set() -> Self {
        let options = EarthScopeOptions {
            rotation: Rotation::RotateDetectReuse,
            interval: Some(2),
            ..Default::default()
        };
        let earthscope = EarthScope::start(options);
        let earthdaily = EarthDaily::start(EarthDailyOptions::default());
        let carbonmapper = CarbonMapper::start(CarbonMapperOptions::default());
        let sandbox = Sandbox::new();
        let config = format!(
            "# The services, played by this machine.\n\
             [providers.earthscope]\ndomain = \"{}\"\nsdk_home = \"{}\"\n\n\
             [providers.earthdaily]\nauth_url = \"{}\"\nclient_secret = {{ env = \"EDS_SECRET\" }}\n\n\
             [providers.carbonmapper]\nbase_url = \"{}\"\nemail = \"{EMAIL}\"\n",
            earthscope.url(),
            // Even in a shell with the person's home, their own login is left alone.
            sandbox.home().join(".earthscope").display(),
            earthdaily.auth_url(),
            carbonmapper.base_url(),
        );
        let sandbox = sandbox.with_config(&config).with_env("EDS_SECRET", API_TOKEN);
        let sandbox =
            ["TERM", "NO_COLOR"].into_iter().fold(sandbox, |sandbox, name| match std::env::var(name) {
                Ok(value) => sandbox.with_env(name, &value),
                Err(_) => sandbox,
            });
        Self { earthscope, carbonmapper, _earthdaily: earthdaily, sandbox }
    }

    /// The commands a person would type, one after the other.
    fn play(&self) {
        heading("EarthScope: you log in once, in a browser on any device");
        self.approve_when_polled();
        self.types(&["token", "earthscope"]);
        remark(
            "Held: the same token again, without a request. A day later (the demo turns the record's clock back):",
        );
        self.sandbox.age("earthscope", TimeDelta::hours(25));
        self.types(&["status", "earthscope"]);
        self.types(&["token", "earthscope", "--format", "json"]);
        remark("Renewed with the refresh token, which this service replaces each time.");

        heading("EarthDaily: a secret in EDS_SECRET is all it takes");
        self.types(&["token", "earthdaily"]);
        self.types(&["token", "earthdaily", "--format", "header"]);

        heading("Carbon Mapper: a password once, then scoped tokens that are shown once and kept");
        self.types_with_input(&["login", "carbonmapper", "--password-stdin"], PASSWORD);
        self.types(&["token", "carbonmapper", "--scope", "stac", "--expires", "7d"]);
        remark("Again: reused, nothing new on the account.");
        self.types(&["token", "carbonmapper", "--scope", "stac", "--expires", "7d"]);
        println!("(tokens minted at the service: {})", self.carbonmapper.mints());

        heading("What is held, and how it ends");
        self.types(&["status"]);
        for provider in ["earthscope", "earthdaily", "carbonmapper"] {
            self.types(&["logout", provider]);
        }
        self.types(&["token", "earthscope"]);
        remark("Exit code 3: the command that mends it is named. That is all; nothing is left behind.");
    }

    /// `broker login earthscope`, and the click of a person who sees its code.
    fn approve_when_polled(&self) {
        show(&["login", "earthscope"]);
        let mut login =
            self.sandbox.command(&["login", "earthscope", "--no-browser"]).spawn().expect("it runs");
        assert!(
            self.earthscope.wait_for("token", 1, Duration::from_mins(1)),
            "the broker asks for its token"
        );
        self.earthscope.approve_all();
        let ended = login.wait().expect("it ends");
        assert!(ended.success(), "logged in");
        remark("(The demo clicked \"approve\" for you.)");
    }

    fn types(&self, words: &[&str]) {
        show(words);
        let _ = self.sandbox.command(words).status().expect("it runs");
    }

    fn types_with_input(&self, words: &[&str], input: &str) {
        println!("\n$ printf %s \"$PASSWORD\" | broker {}", words.join(" "));
        let run = self.sandbox.broker_reading(words, input).ends(0);
        print!("{}{}", run.out, run.err);
    }

    /// A shell in which `broker` is the one of this build, with the fake servers for services.
    fn shell(&self) {
        let folder = broker_binary().parent().expect("a folder").to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(folder).chain(std::env::split_paths(&path));
        let path = std::env::join_paths(paths).expect("a PATH");
        println!("This shell has `broker`, a configuration, and the fake servers. For example:\n");
        println!("  broker login earthscope      approve at its page, in a browser or from");
        println!("                               another terminal: curl -X POST 'PAGE'");
        println!("  broker token earthscope");
        println!("  broker token earthdaily      the API token is in $EDS_SECRET");
        println!("  broker login carbonmapper    the password is {PASSWORD}");
        println!("  broker token carbonmapper --scope stac --expires 7d");
        println!("  broker status; broker logout earthscope; exit\n");
        let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
        let mut command = Command::new(shell);
        for (name, _) in std::env::vars_os() {
            if is_of_a_service(&name.to_string_lossy().to_ascii_uppercase()) {
                command.env_remove(&name);
            }
        }
        let status = command
            .env("PATH", path)
            // EarthScope's first tools kept a login elsewhere; it is not for a fake server.
            .env("APP_DIRECTORY", self.sandbox.home())
            .env("BROKER_CONFIG", self.sandbox.config_path())
            .env("BROKER_STATE_DIR", self.sandbox.state())
            .env("EDS_SECRET", API_TOKEN)
            .stdin(Stdio::inherit())
            .status();
        let _ = status.expect("a shell");
    }
}

/// Whether a variable may name a real account, or change the demo's configuration.
fn is_of_a_service(name: &str) -> bool {
    let families = ["ES_", "EDS_", "CARBONMAPPER_", "BROKER_"];
    families.iter().any(|family| name.starts_with(family))
}

fn show(words: &[&str]) {
    println!("\n$ broker {}", words.join(" "));
}

fn heading(text: &str) {
    let (bold, plain) = if std::io::stdout().is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    println!("\n{bold}── {text}{plain}");
}

fn remark(text: &str) {
    println!("\n  {text}");
}
