//! Tests that text from files, records, services and plugins cannot control the terminal or begin a line, and that
//! queries of URLs, which may contain keys, are not shown.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use broker_core::is_unsafe;
use broker_e2e::{Run, Sandbox};
use broker_testkit::{EarthScopeOptions, Fault, TokenService, TokenServiceOptions};
use serde_json::{Value, json};

use crate::stage::{carbonmapper, earthscope, write_script};

/// Control sequences, text-direction characters, invisible characters, and a line of its own.
const FOREIGN: &str = "E\u{1b}]0;pwn\u{7}\u{1b}[2J\u{9b}31m\u{202e}gnp\u{2066}\u{8}\0\r\nINJECTED error: fake\u{7f}\
                       \u{200b}\u{feff}\u{ad}\u{e0041}\u{2028}INJECTED";

/// Asserts that all output of a command is safe for a terminal.
#[track_caller]
fn assert_clean(run: &Run, what: &str) {
    for text in [&run.out, &run.err, &run.log] {
        let unsafe_char = text.chars().find(|c| *c != '\n' && is_unsafe(*c));
        assert_eq!(unsafe_char, None, "{what}: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("INJECTED")), "{what}: {text}");
    }
}

/// Runs commands, separated by `;`, and asserts that their output is safe. Returns all output.
#[track_caller]
fn clean(sandbox: &Sandbox, commands: &str) -> String {
    let mut all = String::new();
    for command in commands.split(';') {
        let words: Vec<_> = command.split_whitespace().collect();
        let run = sandbox.broker(&words);
        assert_clean(&run, command);
        all += &(run.out + &run.err + &run.log);
    }
    all
}

const ALL: &str = "status;status lab -v;status lab --json;list;list --json;inspect lab;inspect lab --json;store status;\
                   store status --json;doctor lab --offline;doctor lab --offline --json;token lab -vvv;\
                   token lab --scope x -vvv;token lab --format json;config show;config check;logout lab --local -v";

/// An unsigned JWT with foreign text in its claims.
fn jwt(service: &str) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({
        "iss": service, "sub": format!("u{FOREIGN}"), "email": FOREIGN, "aud": ["x", FOREIGN], FOREIGN: FOREIGN,
        "client_id": FOREIGN, "scope": FOREIGN, "exp": 4_000_000_000_u64, "iat": 1, "nested": { FOREIGN: [FOREIGN] },
    });
    format!("{}.{}.c2ln", part(&json!({ "alg": "RS256", "kid": FOREIGN })), part(&claims))
}

fn lab(url: &str, more: &str) -> Sandbox {
    let config =
        format!("[providers.lab]\nkind = \"oauth2\"\nclient_id = \"c\"\ntoken_url = \"{url}\"\n{more}\n");
    Sandbox::new().with_config(&config)
}

#[test]
fn text_of_records_is_shown_without_control_characters() {
    let url = "http://127.0.0.1:1/token";
    let issuer = json!({ "kind": "oauth2", "flow": "refresh_token", "endpoint": url, "client_id": "c" });
    let (at, later) = ("2026-01-01T00:00:00Z", "2096-01-01T00:00:00Z");
    let now = chrono::Utc::now();
    let soon = (now + chrono::TimeDelta::minutes(1)).to_rfc3339();
    let base = json!({ "version": 1, "provider": "lab", "revision": 1, "issuer": issuer, "tokens": {},
                       "grant": { "secret": "R", "issued_at": at } });
    let failure = json!({ "at": now.to_rfc3339(), "kind": "unavailable", "message": FOREIGN, "retry_at": soon,
                          "resume_at": soon });
    let token = json!({ "secret": jwt(url), "token_type": FOREIGN, "scope": FOREIGN, "issued_at": at, "expires_at": later });
    let other = json!({ "kind": FOREIGN, "flow": FOREIGN, "endpoint": format!("https://e/{FOREIGN}"),
                        "client_id": FOREIGN, "audience": FOREIGN });
    for (field, value) in [
        ("account", json!(FOREIGN)),
        ("failures", json!({ "": failure, FOREIGN: failure, "aws:r?x": failure })),
        ("tokens", json!({ "": token, "x": token, FOREIGN: token, (format!("aws:{FOREIGN}")): token })),
        ("issuer", other),
        ("provider", json!(FOREIGN)),
        ("grant", json!({ "secret": FOREIGN, "issued_at": FOREIGN })),
        ("shared", json!({ "path": FOREIGN, "fingerprint": FOREIGN })),
        ("kept", json!({ FOREIGN: FOREIGN })),
        (FOREIGN, json!(FOREIGN)),
        ("version", json!(FOREIGN)),
    ] {
        let mut record = base.clone();
        record[field] = value;
        let sandbox = lab(url, "flow = \"refresh_token\"");
        sandbox.write(&sandbox.record_path("lab"), &record.to_string());
        let _ = clean(&sandbox, ALL);
    }
    let sandbox = lab(url, "flow = \"refresh_token\"");
    for version in [json!(1), json!(2), json!(FOREIGN)] {
        let sealed = json!({ "version": version, "provider": FOREIGN, "with": FOREIGN, "key": FOREIGN, "nonce": FOREIGN,
                             "sealed": FOREIGN });
        sandbox.write(&sandbox.record_path("lab"), &sealed.to_string());
        let _ = clean(&sandbox, ALL);
    }
}

#[test]
fn programs_get_foreign_text_whole_in_json() {
    let url = "http://127.0.0.1:1/token";
    let sandbox = lab(url, "flow = \"refresh_token\"");
    let (at, later) = ("2026-01-01T00:00:00Z", "2096-01-01T00:00:00Z");
    let token = json!({ "secret": jwt(url), "token_type": "Bearer", "scope": FOREIGN, "issued_at": at, "expires_at": later });
    let issuer = json!({ "kind": "oauth2", "flow": "refresh_token", "endpoint": url, "client_id": "c" });
    let record = json!({ "version": 1, "provider": "lab", "issuer": issuer, "tokens": { "": token } });
    sandbox.write(&sandbox.record_path("lab"), &record.to_string());
    assert_eq!(sandbox.broker(&["token", "lab", "--format", "json"]).json()["scope"], FOREIGN);
    assert_eq!(sandbox.broker(&["inspect", "lab", "--json"]).json()["claims"][FOREIGN], FOREIGN);
}

#[test]
fn text_of_services_is_shown_without_control_characters() {
    let service = TokenService::start(TokenServiceOptions::default());
    let url = format!("{}/token", service.url());
    let commands = "token lab -vvv;status lab;doctor lab --offline;token lab --force;token lab --format json;inspect lab";
    for (status, body) in [
        (400, json!({ "error": format!("x{FOREIGN}"), "error_description": FOREIGN, "error_uri": FOREIGN })),
        (401, json!({ "error": "invalid_client", "error_description": FOREIGN })),
        (403, json!({ "message": FOREIGN, "detail": [{ "loc": [FOREIGN], "msg": FOREIGN }] })),
        (500, json!({ "title": FOREIGN })),
        (
            200,
            json!({ "access_token": jwt("x"), "token_type": FOREIGN, "scope": FOREIGN, "expires_in": 600 }),
        ),
        (
            200,
            json!({ "access_token": jwt("x"), "scope": FOREIGN, "id_token": jwt("x"), "refresh_token": "R", FOREIGN: 1 }),
        ),
        (200, json!({ "access_token": FOREIGN, "expires_in": FOREIGN })),
    ] {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        service.fault_always("token", Fault::Answer { status, headers, body: body.to_string() });
        let _ = clean(
            &lab(&url, "flow = \"client_credentials\"\nclient_secret = \"standin-long-secret\""),
            commands,
        );
    }
    let (service, sandbox) = carbonmapper("");
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    service.fault_always(
        "*",
        Fault::Answer { status: 400, headers, body: json!({ "detail": FOREIGN }).to_string() },
    );
    assert_clean(&sandbox.broker_reading(&["login", "carbonmapper", "--password-stdin"], "word"), "login");
}

#[test]
fn text_of_a_login_file_is_shown_without_control_characters() {
    let (service, sandbox) = earthscope(EarthScopeOptions::default(), "");
    let commands = "status;status earthscope -v;token earthscope -vvv;inspect earthscope;inspect earthscope --json;\
                    doctor earthscope --offline;import;import --json;logout earthscope --local";
    for tokens in [
        json!({ "access_token": jwt(service.url()), "id_token": jwt(service.url()), "refresh_token": "R" }),
        json!({ "access_token": jwt(&format!("https://example.org/{FOREIGN}")), "refresh_token": "R", FOREIGN: FOREIGN }),
        json!({ "access_token": FOREIGN, "refresh_token": FOREIGN }),
        json!(FOREIGN),
    ] {
        sandbox.write(&sandbox.tokens_path(), &tokens.to_string());
        let _ = clean(&sandbox, commands);
    }
    sandbox.write(&sandbox.tokens_path(), FOREIGN);
    let _ = clean(&sandbox, commands);
}

#[test]
fn text_of_a_plugin_is_shown_without_control_characters() {
    let sandbox = Sandbox::new();
    let script = sandbox.home().join("plugin.sh");
    sandbox.write_config(&format!(
        "[providers.lab]\nkind = \"exec\"\ncommand = [\"sh\", \"{}\"]\ntimeout = \"5s\"\n",
        script.display()
    ));
    let token = json!({ "secret": "T", "expires_in": 600, "type": FOREIGN, "scope": FOREIGN });
    let code = json!({ "verification_uri": "https://e.example/x", "user_code": FOREIGN, "expires_in": 9 });
    for answer in [
        vec![
            json!({ "err": { "kind": format!("unavailable{FOREIGN}"), "message": FOREIGN, "hint": FOREIGN } }),
        ],
        vec![json!({ "err": { "kind": "refused", "message": FOREIGN, "hint": FOREIGN } })],
        vec![
            json!({ "tell": { "message": FOREIGN } }),
            json!({ "show_code": code }),
            json!({ "ok": { "tokens": [token], "account": FOREIGN, "kept": { "k": FOREIGN }, "note": FOREIGN } }),
        ],
        vec![json!({ "show_page": { "url": format!("https://e.example/{FOREIGN}") } })],
        vec![json!({ FOREIGN: FOREIGN })],
        vec![json!(FOREIGN)],
    ] {
        let lines = answer.iter().map(Value::to_string).collect::<Vec<_>>().join("\n") + "\n";
        sandbox.write(Path::new(&format!("{}.answer", script.display())), &lines);
        sandbox.write(Path::new(&format!("{}.error", script.display())), FOREIGN);
        let describe =
            json!({ "ok": { "issuer": "https://e.example", "actions": ["exchange", "login", "revoke"] } });
        let plugin = format!(
            "#!/bin/sh\necho '{{\"v\":[1]}}'\nwhile read -r line; do\ncat \"$0.error\" >&2\ncase $line in\n\
             *describe*) echo '{describe}';;\n*) cat \"$0.answer\";;\nesac\ndone\n"
        );
        write_script(&sandbox, &script, &plugin);
        let _ = clean(
            &sandbox,
            "token lab -v;login lab --no-browser -vvv;status lab;token lab --format json;doctor lab --offline;logout lab",
        );
    }
}

#[test]
fn text_of_a_config_file_is_shown_without_control_characters() {
    let text = Value::from(FOREIGN).to_string().replace("\\b", "\\u0008");
    for config in [
        format!(
            "[providers.lab]\nkind = \"oauth2\"\nclient_id = {text}\ntoken_url = \"https://e.example/t\"\n"
        ),
        format!("[providers.lab]\nkind = {text}\n"),
        format!("[providers.lab]\nkind = \"oauth2\"\nclient_id = \"c\"\ntoken_url = {text}\n"),
        format!("[providers.lab]\nkind = \"static\"\ntoken = {{ env = {text} }}\n"),
        format!("[providers.lab]\nkind = \"static\"\ntoken = {{ file = {text} }}\n"),
        format!("[providers.lab]\nkind = \"exec\"\ncommand = [{text}]\n"),
        format!("[providers.lab]\nkind = \"exec\"\ncommand = [\"sh\"]\n{text} = 1\n"),
        format!("[providers.lab.{text}]\nkind = \"exec\"\n"),
        format!("[providers.{text}]\nkind = \"exec\"\n"),
        format!("{text} = 1\n"),
        "[providers.lab]\nkind = \"static\" # \u{202e}\u{2066}\u{200b}\ntokn = \"\u{202e}\u{200b}\"\n"
            .to_owned(),
        "[providers.lab]\nkind = \u{202e}\u{200b}\n".to_owned(),
    ] {
        let _ = clean(&Sandbox::new().with_config(&config), ALL);
    }
    let sandbox = Sandbox::new();
    for words in [
        &["token", FOREIGN][..],
        &["--config", FOREIGN, "list"],
        &["token", "x", "--format", FOREIGN],
        &["token", "x", "--min-ttl", FOREIGN],
        &["token", "x", "--expires", FOREIGN],
        &["token", "x", "--role", "r", "--param", FOREIGN],
        &[FOREIGN],
    ] {
        let words: Vec<_> = words.iter().map(|word| word.replace('\0', "")).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        assert_clean(&sandbox.broker(&words), "arguments");
    }
}

#[test]
fn query_of_a_url_is_not_shown() {
    let service = TokenService::start(TokenServiceOptions::default());
    let url = |key: &str| format!("{}/token?key={key}", service.url());
    let more = "flow = \"refresh_token\"\nrevocation_url = \"https://e.example/r?key=QueryKey\"";
    let sandbox = lab(&url("QueryKey"), more);
    let _ = sandbox.broker_reading(&["login", "lab", "--refresh-token-stdin"], "R");
    let commands = "status lab -v;status lab --json;token lab -vvv --force;doctor lab;doctor lab --json;config show;\
                    inspect lab;list;list --json;config check;import";
    let shown = clean(&sandbox, commands);
    assert!(!shown.contains("QueryKey") && shown.contains("/token?…"), "{shown}");
    for fault in [Fault::Status(500), Fault::Redirect(url("QueryKey")), Fault::CutBefore, Fault::Html(403)] {
        service.fault_always("token", fault);
        let shown = clean(&sandbox, commands);
        assert!(!shown.contains("QueryKey"), "{shown}");
    }
    let issuer = url("QueryKey");
    let discovered = format!("flow = \"device\"\nissuer = \"{issuer}\"");
    sandbox.write_config(&format!("[providers.lab]\nkind = \"oauth2\"\nclient_id = \"c\"\n{discovered}\n"));
    let shown = clean(&sandbox, "login lab --no-browser;token lab -vvv;status lab;doctor lab;config show");
    assert!(!shown.contains("QueryKey"), "{shown}");
    for (config, more) in [
        (url("other"), more),
        ("ftp://e.example/t?key=QueryKey".to_owned(), more),
        ("http://e.example/t?key=QueryKey".to_owned(), more),
        ("https://e.example/t?key=QueryKey#x".to_owned(), more),
        ("https://e.example/t#QueryKey".to_owned(), more),
        ("https://e.example:x/t?key=QueryKey".to_owned(), more),
        ("https://u:QueryKey?QueryKey@e.example/t".to_owned(), more),
        ("http://e.example/t?mail=a@b&key=QueryKey".to_owned(), more),
        ("e.example/t?key=QueryKey".to_owned(), more),
        ("//e.example/t?key=QueryKey".to_owned(), more),
        ("https//e.example/t?key=QueryKey".to_owned(), more),
        ("e.example/t#QueryKey".to_owned(), more),
        ("/t?key=QueryKey".to_owned(), more),
        ("u:QueryKey@e.example".to_owned(), more),
        ("https:u:QueryKey@e.example".to_owned(), more),
        (url("QueryKey"), "flow = \"refresh_token\"\nhosts = [\"e.example/?key=QueryKey\"]"),
        (url("QueryKey"), "flow = \"refresh_token\"\nhosts = [\"u:QueryKey@e.example\"]"),
    ] {
        let other = lab(&config, more);
        sandbox.write_config(&other.config());
        let shown =
            clean(&sandbox, "token lab -vvv;status lab;doctor lab --offline;config check;config show");
        assert!(!shown.contains("QueryKey"), "{config}: {shown}");
    }
}
