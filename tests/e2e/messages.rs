//! Snapshots of all command-line messages, to review their wording. Other tests assert codes and data.
//!
//! After a change, run `INSTA_UPDATE=always cargo test -p broker-e2e messages` and read the difference.

use std::fmt::Write;

use broker_e2e::{Run, Sandbox};
use broker_testkit::{EarthScopeOptions, Fault};
use chrono::TimeDelta;

use crate::stage::{carbonmapper, earthdaily, earthscope};

/// Commands with their exit codes and output, as a terminal without colour shows them.
#[derive(Default)]
struct Transcript(String);

impl Transcript {
    fn run(&mut self, sandbox: &Sandbox, args: &[&str]) {
        self.add(sandbox, &args.join(" "), &sandbox.broker(args));
    }

    fn run_reading(&mut self, sandbox: &Sandbox, args: &[&str], input: &str) {
        self.add(sandbox, &format!("{} < INPUT", args.join(" ")), &sandbox.broker_reading(args, input));
    }

    fn add(&mut self, sandbox: &Sandbox, args: &str, run: &Run) {
        let text = format!("$ broker {args}\n{}{}[exit {}]\n\n", run.out, run.err, run.code);
        let text = text.replace(&sandbox.home().display().to_string(), "~");
        self.0.push_str(&without_changing_parts(&text));
    }

    fn heading(&mut self, heading: &str) {
        writeln!(self.0, "## {heading}\n").expect("a string");
    }
}

/// Replaces port numbers, which differ in each run.
fn without_changing_parts(text: &str) -> String {
    let mut parts = text.split("127.0.0.1:");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        clean.push_str("127.0.0.1:PORT");
        clean.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    clean
}

#[test]
fn messages_about_wrong_usage_match_the_snapshot() {
    let mut transcript = Transcript::default();
    let sandbox = Sandbox::new();
    transcript.heading("Nothing is configured");
    for args in [
        &["token", "earthscope"][..],
        &["token", "earthdaily"],
        &["token", "carbonmapper"],
        &["inspect", "earthscope"],
        &["status"],
        &["logout", "earthscope"],
    ] {
        transcript.run(&sandbox, args);
    }
    transcript.heading("Names");
    for args in [
        &["token", "earthscop"][..],
        &["token", "EarthScope"],
        &["token", "sentinelhub"],
        &["token", "something"],
        &["add", "nasa"],
        &["add", "xyz"],
    ] {
        transcript.run(&sandbox, args);
    }
    transcript.heading("Flags that a provider does not support");
    for args in [
        &["token", "earthdaily", "--scope", "read"][..],
        &["token", "earthdaily", "--expires", "7d"],
        &["token", "earthdaily", "--name", "paper"],
        &["token", "earthdaily", "--format", "aws", "--role", "r"],
        &["token", "carbonmapper", "--scope", "typo"],
        &["token", "carbonmapper", "--expires", "7d"],
        &["token", "earthscope", "--format", "aws"],
        &["token", "earthscope", "--format", "cookies"],
        &["token", "earthscope", "--format", "template"],
        &["exec", "earthscope", "python3", "-c", "print(1)"],
        &["login", "earthdaily", "--password-stdin"],
        &["login", "carbonmapper", "--refresh-token-stdin"],
    ] {
        transcript.run_reading(&sandbox, args, "secret\n");
    }
    insta::assert_snapshot!(transcript.0);
}

#[test]
fn messages_about_missing_secrets_match_the_snapshot() {
    let mut transcript = Transcript::default();
    for secret in ["{ enviroment = \"NOPE\" }", "{ env = \"NOPE\" }", "{ file = \"/nonexistent/secret\" }"] {
        transcript.heading(&format!("client_secret = {secret}"));
        let sandbox =
            Sandbox::new().with_config(&format!("[providers.earthdaily]\nclient_secret = {secret}\n"));
        transcript.run(&sandbox, &["token", "earthdaily"]);
    }
    transcript.heading("A state folder that cannot be created");
    let sandbox = Sandbox::new().with_env("EDS_SECRET", "standin-api-token");
    transcript.run(&sandbox, &["token", "earthdaily", "--state-dir", "/proc/broker"]);
    insta::assert_snapshot!(transcript.0);
}

#[test]
fn messages_about_service_faults_match_the_snapshot() {
    let mut transcript = Transcript::default();
    transcript.heading("Client credentials");
    let (service, sandbox) = earthdaily("timeout = \"1s\"\n");
    let wrong = Sandbox::new().with_config(&sandbox.config()).with_env("EDS_SECRET", "wrong-secret");
    transcript.run(&wrong, &["token", "earthdaily"]);
    let faults = [
        ("a web page", Fault::Html(200)),
        ("HTTP 503", Fault::Status(503)),
        ("a redirect", Fault::Redirect("https://elsewhere.example/".to_owned())),
        ("a cut connection", Fault::CutBefore),
        ("garbage", Fault::Garbage),
    ];
    for (name, fault) in faults {
        transcript.heading(&format!("The service answers with {name}"));
        service.fault_always("token", fault);
        transcript.run(&sandbox, &["token", "earthdaily"]);
    }
    drop(service);
    transcript.heading("No service listens");
    transcript.run(&sandbox, &["token", "earthdaily"]);

    transcript.heading("A password");
    let (service, sandbox) = carbonmapper("");
    let sandbox = sandbox.with_env("CARBONMAPPER_EMAIL", "ada@example.org");
    let login = ["login", "carbonmapper", "--password-stdin"];
    transcript.run_reading(&sandbox, &login, "wrong\n");
    transcript.run_reading(&sandbox, &login, "standin-password\n");
    service.revoke_refresh_tokens();
    sandbox.age("carbonmapper", TimeDelta::days(1));
    transcript.run(&sandbox, &["token", "carbonmapper"]);
    insta::assert_snapshot!(transcript.0);
}

#[test]
fn messages_after_a_refused_login_match_the_snapshot() {
    let mut transcript = Transcript::default();
    let (service, sandbox) = earthscope(EarthScopeOptions::default(), "");
    let login = ["login", "earthscope", "--refresh-token-stdin"];
    transcript.run_reading(&sandbox, &login, "wrong\n");
    transcript.run_reading(&sandbox, &login, &service.issue_refresh_token());
    transcript.run(&sandbox, &["logout", "earthscope"]);
    transcript.run(&sandbox, &["token", "earthscope"]);
    insta::assert_snapshot!(transcript.0);
}
