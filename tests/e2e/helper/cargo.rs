//! Tests `broker helper` as a cargo credential provider.

use std::path::Path;

use serde_json::{Value, json};

use super::web_server::{Answer, WebServer};
use super::{documented, imagery, program, texts};

/// Starts a registry index with one crate. The index requires a token.
fn index() -> WebServer {
    WebServer::start(|path, authorization| {
        let plain = "Content-Type: text/plain";
        let entry = json!({"name": "demo", "vers": "1.0.0", "deps": [], "features": {}, "yanked": false, "cksum": "0".repeat(64)});
        match path {
            _ if authorization.is_empty() => Answer(401, "WWW-Authenticate: Bearer", String::new()),
            "/index/config.json" => {
                Answer(200, plain, json!({"dl": "http://127.0.0.1:1", "auth-required": true}).to_string())
            }
            "/index/de/mo/demo" => Answer(200, plain, format!("{entry}\n")),
            _ => Answer(404, plain, String::new()),
        }
    })
}

#[test]
fn cargo_gets_a_token_for_a_private_registry_index() {
    for provider in [
        "credential-provider = \"broker\"",
        "credential-provider = [\"broker\", \"helper\", \"cargo\"]",
        "credential-provider = \"cargo-credential-broker\"",
    ] {
        let server = index();
        let (service, sandbox) = imagery(&[&server.host]);
        let registry = "[registries.lab]\nindex = \"sparse+https://data.example.org/index/\"\n";
        let registry = documented(&format!("{registry}credential-provider = \"broker\"\n"), &server.host)
            .replace("credential-provider = \"broker\"", provider);
        let home = sandbox.home();
        sandbox.write(&home.join(".cargo/config.toml"), &registry);
        let manifest = "[package]\nname = \"x\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
                        [dependencies]\ndemo = { version = \"1\", registry = \"lab\" }\n";
        sandbox.write(&home.join("x/Cargo.toml"), manifest);
        sandbox.write(&home.join("x/src/lib.rs"), "");
        let cargo = Path::new(env!("CARGO"));
        let mut command = program(&sandbox, env!("CARGO"), &["generate-lockfile"]);
        command.env("RUSTC", cargo.with_file_name("rustc")).env("CARGO_HOME", home.join(".cargo"));
        let output = command.current_dir(home.join("x")).output().expect("cargo runs");
        let (_, err) = texts(&output);
        assert!(output.status.success(), "{err}");
        let token = sandbox.broker(&["token", "earthdaily"]).token();
        assert_eq!(server.authorizations().pop(), Some(format!("Bearer {token}")));
        assert_eq!(service.exchanges(), 1);
    }
}

#[test]
fn cargo_helper_follows_the_credential_protocol() {
    let (service, sandbox) = imagery(&["data.example.org"]);
    let get =
        |index: &str| json!({"v": 1, "kind": "get", "operation": "read", "registry": {"index-url": index}});
    let index = get("sparse+https://data.example.org/index/");
    let mut login = index.clone();
    login["kind"] = "login".into();
    let mut newer = index.clone();
    newer["v"] = 2.into();
    let requests =
        [&index, &get("https://data.example.org/git"), &get("sparse+https://evil.example/"), &login, &newer];
    let mut input = requests.map(ToString::to_string).join("\n") + "\nno JSON\n";
    input += &get("sparse+http://data.example.org/").to_string();
    let run = sandbox.broker_reading(&["helper", "cargo", "--cargo-plugin"], &input).ends(0);
    let answers: Vec<Value> = run.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let token = sandbox.broker(&["token", "earthdaily", "--format", "json"]).json();
    let expires: chrono::DateTime<chrono::Utc> =
        token["expires_at"].as_str().expect("a time").parse().expect("a time");
    let ok = json!({"Ok": {"kind": "get", "token": format!("Bearer {}", token["token"].as_str().expect("a token")),
        "cache": "expires", "expiration": expires.timestamp(), "operation_independent": true}});
    let err = |kind: &str| json!({"Err": {"kind": kind}});
    let expected = [
        json!({"v": [1]}),
        ok.clone(),
        ok,
        err("url-not-supported"),
        err("operation-not-supported"),
        err("operation-not-supported"),
    ];
    assert_eq!(answers[..6], expected);
    assert_eq!((&answers[6]["Err"]["kind"], &answers[7]), (&"other".into(), &err("url-not-supported")));
    assert!(run.err.contains("http://data.example.org/"), "{}", run.err);
    service.fault_always("token", broker_testkit::Fault::Status(503));
    sandbox.age("earthdaily", chrono::TimeDelta::days(1));
    let run = sandbox.broker_reading(&["--cargo-plugin"], &index.to_string()).ends(0);
    let answer: Value = serde_json::from_str(run.out.lines().nth(1).expect("an answer")).expect("JSON");
    assert_eq!(answer["Err"]["kind"], "other");
    assert!(
        answer["Err"]["message"].as_str().is_some_and(|message| message.starts_with("earthdaily: ")),
        "{answer}"
    );
}
