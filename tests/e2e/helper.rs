//! Tests `broker helper` with git, cargo, kubectl and other programs, as configured in docs/programs.md.

mod cargo;
mod git;
mod kubectl;
mod web_server;

use std::os::unix::fs::symlink;
use std::process::{Command, Output};

use broker_e2e::{Sandbox, broker_binary};
use broker_testkit::EarthDaily;
use serde_json::Value;

use crate::stage::{earthdaily, program, with_path};

/// Returns an EarthDaily fake server, and a sandbox with the provider key `hosts` and with `broker` in PATH.
fn imagery(hosts: &[&str]) -> (EarthDaily, Sandbox) {
    let (service, sandbox) = earthdaily(&format!("hosts = {hosts:?}\n"));
    let programs = sandbox.home().join("bin");
    std::fs::create_dir(&programs).expect("a folder");
    for name in ["broker", "git-credential-broker", "docker-credential-broker", "cargo-credential-broker"] {
        symlink(broker_binary(), programs.join(name)).expect("a link");
    }
    (service, with_path(sandbox, &programs))
}

#[track_caller]
fn need(name: &str) {
    let found = Command::new("sh").args(["-c", &format!("command -v {name}")]).output().expect("a shell");
    assert!(found.status.success(), "install {name}");
}

/// Returns stdout and stderr of a program. Asserts that neither contains a secret.
#[track_caller]
fn texts(output: &Output) -> (String, String) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    broker_e2e::assert_no_secret("stdout", &out);
    broker_e2e::assert_no_secret("stderr", &err);
    (out.into_owned(), err.into_owned())
}

/// Asserts that docs/programs.md contains `text`. Returns `text` with the test's host as the example host.
#[track_caller]
fn documented(text: &str, host: &str) -> String {
    let page = include_str!("../../docs/programs.md");
    assert!(page.contains(text), "not in docs/programs.md: {text}");
    text.replace("https://data.example.org", &format!("http://{host}")).replace("data.example.org", host)
}

#[test]
fn docker_helper_gives_tokens_only_to_configured_hosts() {
    let (service, sandbox) = imagery(&["registry.example.org", "*.example.net", "127.0.0.1:5000"]);
    let docker =
        |operation: &str, input: &str| sandbox.broker_reading(&["helper", "docker", operation], input);
    assert_eq!(docker("list", "").ends(0).out, "{}\n", "nothing is stored");
    let token = sandbox.broker(&["token", "earthdaily"]).token();
    for server in
        ["registry.example.org", "https://registry.example.org/v2/", "a.example.net:443\n", "127.0.0.1:5000"]
    {
        let json = docker("get", server).json();
        assert_eq!((&json["ServerURL"], &json["Secret"]), (&server.trim().into(), &token.clone().into()));
        assert_eq!(json["Username"], "oauth2accesstoken");
    }
    for server in [
        "docker.io",
        "https://index.docker.io/v1/",
        "registry.example.org.evil.example",
        "https://registry.example.org\\@evil.example/",
        "https://registry.exam\tple.org/",
        "https://registry.example.org@evil.example/",
        "evil.example/registry.example.org",
        "127.0.0.1:5001",
        "",
    ] {
        let run = docker("get", server).ends(1);
        let seen = (run.out.as_str(), run.err.as_str());
        assert_eq!(seen, ("credentials not found in native keychain\n", ""), "{server}");
    }
    let run = docker("get", "http://registry.example.org").ends(1).says("http://registry.example.org");
    assert_eq!(run.out, "credentials not found in native keychain\n");
    let json = docker("list", "").json();
    let user = Value::from("oauth2accesstoken");
    assert_eq!(json, serde_json::json!({"127.0.0.1:5000": user, "registry.example.org": user}));
    for operation in ["store", "erase"] {
        let run = docker(operation, "{\"ServerURL\":\"x\",\"Username\":\"y\",\"Secret\":\"z\"}").ends(0);
        assert_eq!(run.out + &run.err, "");
    }
    let _ = docker("frob", "").ends(2);
    assert_eq!(service.exchanges(), 1);
}

#[test]
fn docker_credential_helper_prints_errors_on_stdout() {
    let (service, sandbox) = imagery(&["registry.example.org"]);
    let _ = documented("{ \"credHelpers\": { \"data.example.org\": \"broker\" } }", "");
    service.fault_always("token", broker_testkit::Fault::Status(503));
    let script = "echo registry.example.org | docker-credential-broker get";
    let output = program(&sandbox, "sh", &["-c", script]).output().expect("a shell");
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(4));
    assert!(
        out.starts_with("earthdaily: ") && err.starts_with("error[service_unavailable]: earthdaily: "),
        "{out}{err}"
    );
}

#[test]
fn helper_aws_prints_the_same_as_token_format_aws() {
    let (_service, sandbox) = imagery(&[]);
    let role = ["--role", "s3-miniseed-v2", "--param", "year=2024", "--param", "network=FDSN:UO"];
    let helper = sandbox.broker(&[&["helper", "aws", "earthdaily"], &role[..]].concat());
    let format = sandbox.broker(&[&["token", "earthdaily", "--format", "aws"], &role[..]].concat());
    assert_eq!((helper.code, helper.out, helper.err), (format.code, format.out, format.err));
    let _ = sandbox.broker(&["helper", "aws", "earthdaily"]).ends(2).says("--role");
}

#[test]
fn git_helper_skips_a_misconfigured_provider() {
    let (_service, sandbox) = imagery(&["127.0.0.1"]);
    sandbox
        .write_config(&(sandbox.config() + "[providers.cluster]\nkind = \"earthscope\"\ndomian = \"x\"\n"));
    let asked = "protocol=https\nhost=127.0.0.1\n\n";
    let run = sandbox.broker_reading(&["helper", "git", "get"], asked).ends(0).says("warning: cluster: ");
    assert!(run.out.contains("password="));
}
