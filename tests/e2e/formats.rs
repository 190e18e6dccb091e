//! Tests each output format of `broker token` with the programs that read the format.

mod derived;
mod hosts;
mod output;
mod requests;
mod shells;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use broker_e2e::{Run, Sandbox};
use broker_testkit::{EarthDaily, Fault};

use crate::stage::earthdaily;

/// A token with characters that shells, JSON and other formats must quote.
const HARD: &str = r#"KANARIE it's "two" \ \\n 'x'' $HOME ${HOME} $(id) `id` %41 {x} #é ’q‘ ;&|<>(*?)~!"#;

/// An EarthDaily fake server that issues one fixed token, and a sandbox whose configuration names the server.
struct Stage {
    service: EarthDaily,
    sandbox: Sandbox,
}

impl Stage {
    fn with(token: &'static str) -> Self {
        Self::of(token, "Bearer")
    }

    fn of(token: &'static str, token_type: &'static str) -> Self {
        let (service, sandbox) = earthdaily("");
        let fixed_token = Fault::edit(move |answer| {
            answer["access_token"] = token.into();
            answer["token_type"] = token_type.into();
        });
        service.fault_always("token", fixed_token);
        let stage = Self { service, sandbox };
        stage.hosts(r#"["127.0.0.1"]"#);
        stage
    }

    /// Sets the provider's key `hosts`: the hosts to which programs may send the token.
    fn hosts(&self, hosts: &str) {
        let url = self.service.auth_url();
        self.sandbox
            .write_config(&format!("[providers.earthdaily]\nauth_url = \"{url}\"\nhosts = {hosts}\n"));
    }

    /// Runs `broker token earthdaily` followed by `words`.
    #[track_caller]
    fn token(&self, words: &[&str]) -> Run {
        self.sandbox.broker(&[&["token", "earthdaily"], words].concat())
    }

    /// Returns the output of `broker token earthdaily` in this format.
    #[track_caller]
    fn format(&self, format: &str) -> String {
        self.token(&["--format", format]).ends(0).out
    }

    /// Runs `broker token earthdaily` with this format, and writes the output to a file. Returns the path.
    #[track_caller]
    fn file(&self, format: &str) -> PathBuf {
        let path = self.sandbox.home().join(format!("as-{format}"));
        let words = ["--format", format, "--output", path.to_str().expect("a path")];
        assert_eq!(self.token(&words).ends(0).out, "", "nothing on stdout");
        path
    }

    /// Returns the URL of a resource on the fake server that requires the token.
    fn url(&self) -> String {
        format!("{}/platform/v1/stac", self.service.url())
    }

    /// Returns the `Authorization` header of the last request for the fake server's resource.
    #[track_caller]
    fn authorization(&self) -> String {
        let seen = self.service.seen();
        let asked = seen.iter().rfind(|seen| seen.path == "/platform/v1/stac").expect("a request");
        asked.header("authorization").expect("a token").to_owned()
    }
}

/// Fails if a program is not installed.
#[track_caller]
fn need(words: &[&str]) {
    let found = Command::new(words[0]).args(&words[1..]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(found.is_ok_and(|status| status.success()), "install what `{}` needs", words.join(" "));
}

#[track_caller]
fn printed(command: &mut Command, input: &str) -> String {
    let (stdin, mut writer) = std::io::pipe().expect("a pipe");
    std::io::Write::write_all(&mut writer, input.as_bytes()).expect("less than a pipe holds");
    drop(writer);
    // The tested programs must not send requests for loopback to a proxy.
    let command = command.stdin(stdin).env("LC_ALL", "C.UTF-8").env("no_proxy", "*");
    let output = command.output().expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    assert!(output.status.success(), "{command:?}: {}", text(output.stderr));
    text(output.stdout)
}

#[track_caller]
fn python(script: &str, words: &[&str]) -> String {
    printed(Command::new("python3").args(["-c", script]).args(words), "")
}

#[test]
fn template_format_fills_in_token_fields() {
    let stage = Stage::with(HARD);
    let filled = |template: &str| stage.token(&["--template", template]).ends(0).out;
    assert_eq!(filled("X-Token: {token}"), format!("X-Token: {HARD}\n"), "a template implies its format");
    assert_eq!(filled("{{token}} }}{{{provider}é"), "{token} }{earthdailyé\n");
    let json = stage.token(&["--format", "json"]).json();
    let at = json["expires_at"].as_str().expect("a time");
    assert_eq!(filled("{token_type}|{scope}|{expires_at}"), format!("Bearer||{at}\n"));
    assert!((3500..=3600).contains(&filled("{expires_in}").trim().parse::<u64>().expect("seconds")));
    assert_eq!(stage.token(&["--format", "template", "--template", ""]).ends(0).out, "\n");
    for bad in ["{secret}", "{token", "a } b", "{}", "{ token }"] {
        let _ = stage.token(&["--template", bad]).ends(2).fails_with("usage_invalid").says("{token_type}");
    }
}

#[test]
fn conflicting_format_flags_fail_without_a_request() {
    let stage = Stage::with(HARD);
    for (words, says) in [
        (&["--shell", "fish"][..], "env, gdal"),
        (&["--shell", "sh", "--format", "curl"], "env, gdal"),
        (&["--format", "template"], "--template"),
        (&["--format", "json", "--template", "{token}"], "--format json"),
        (&["--format", "aws"], "aws"),
        (&["--format", "header", "--role", "r"], "--role"),
        (&["--template", "{token}", "--role", "r"], "--role"),
        (&["--format", "cookies", "--scope", "s"], "--scope"),
        (&["--role", "r", "--scope", "s"], "--scope"),
        (&["--param", "a=b"], "--role"),
        (&["--role", "r", "--param", "a"], "NAME=VALUE"),
        (&["--refresh-token", "--format", "json"], "--refresh-token"),
        (&["--format", "yaml"], "exec-credential"),
        (&["--format", "env", "--shell", "csh"], "powershell"),
    ] {
        let run = stage.token(words).ends(2).says(says);
        assert_eq!(run.out, "");
    }
    assert_eq!(stage.service.exchanges(), 0);
}

#[test]
fn token_unsuitable_for_a_format_is_an_error() {
    let blank = Stage::with("KANARIE ");
    for format in ["header", "curl", "wget", "gdal", "gdal-headers", "duckdb", "exec-credential"] {
        let _ = blank.token(&["--format", format]).ends(1).fails_with("format_unsuitable");
    }
    assert_eq!(blank.format("env"), "export EDS_TOKEN='KANARIE '\n");
    let other = Stage::of("KANARIE", "DPoP");
    for format in ["gdal", "duckdb", "exec-credential"] {
        let _ = other.token(&["--format", format]).ends(1).fails_with("format_unsuitable").says("DPoP");
    }
    assert_eq!(other.format("curl"), "header = \"Authorization: DPoP KANARIE\"\n");
}

#[test]
fn long_help_of_token_describes_each_format() {
    let sandbox = Sandbox::new();
    let (short, long) = (sandbox.broker(&["token", "-h"]).ends(0).out, sandbox.broker(&["token", "--help"]));
    let long = long.ends(0).out;
    for format in ["text", "gdal-headers", "exec-credential", "cookies", "template"] {
        assert!(short.contains(format) && !short.contains(&format!("- {format}:")), "{short}");
        assert!(long.contains(&format!("- {format}:")), "{long}");
    }
}
