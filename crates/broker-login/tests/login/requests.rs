//! Tests that requests match the configuration, whatever characters the inserted values contain.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use broker_core::{Error, ErrorKind, Login, TokenRequest};
use broker_testkit::World;
use chrono::TimeDelta;
use serde_json::json;

use crate::provider;
use crate::recording_server::{ReceivedRequest, RecordingServer};

/// A value with special characters of JSON, forms, paths, queries and headers, and with a placeholder.
const EVIL: &str = "KANARIE\"'\\\n\r&a=b;{token}{{secrets.other}} %2F+/?#é\u{1f30d}";

/// Logs in with a login table of these keys, and returns the request.
async fn sent(username: &str, password: &str, keys: &str) -> Result<ReceivedRequest, Error> {
    let mut world = World::new();
    world.env = world.env.with("PASSWORD", password);
    world.person = world.person.answering(username);
    let server = RecordingServer::returning(200, r#"{"access_token":"KANARIE-1"}"#).await;
    let toml = format!("password = {{ env = \"PASSWORD\" }}\n[login]\n{}", keys.replace("HOST", &server.url));
    world.broker(provider(&world, &toml)).login(World::NAME, Login::Usual).await?;
    Ok(server.only())
}

fn form(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .map(|pair| pair.split_once('=').expect("a pair"))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let (digits, after) = rest.split_at(2);
                rest = after;
                u8::from_str_radix(std::str::from_utf8(digits).expect("digits"), 16).expect("a byte")
            }
            other => other,
        });
    }
    String::from_utf8(bytes).expect("UTF-8")
}

#[tokio::test]
async fn json_body_contains_values_unchanged() {
    let keys = "url = \"HOST/login\"\n\
                json = { user = { name = \"{username}\", pass = \"a{password}b\" }, n = 7, l = [\"{username}\", true] }";
    let request = sent("ada\"}", EVIL, keys).await.expect("a login");
    let pass = format!("a{EVIL}b");
    let body = json!({ "user": { "name": "ada\"}", "pass": pass }, "n": 7, "l": ["ada\"}", true] });
    assert_eq!(request.json(), body);
    assert_eq!((request.method.as_str(), request.header("content-type")), ("POST", Some("application/json")));
}

#[tokio::test]
async fn forms_and_queries_contain_values_unchanged() {
    let keys = "url = \"HOST/login?v=1\"\nform = { user = \"{username}\", pass = \"{password}\", n = 7, t = true }\n\
                query = { key = \"{password}\", braces = \"{{}}\" }";
    let request = sent("ada&admin=1", EVIL, keys).await.expect("a login");
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut fields = form(&request.body);
    fields.sort();
    assert_eq!(fields, [pair("n", "7"), pair("pass", EVIL), pair("t", "true"), pair("user", "ada&admin=1")]);
    let mut query = form(&request.query);
    query.sort();
    assert_eq!(query, [pair("braces", "{}"), pair("key", EVIL), pair("v", "1")]);
    assert_eq!(request.path, "/login");
}

#[tokio::test]
async fn inserted_values_cannot_add_or_remove_path_segments() {
    let keys = "url = \"HOST/users/{username}/token?user={username}\"";
    for name in ["a/b", "a?b=c", "a#b", "a%2Fb", "../admin", "é", "a\\b", "@evil.example/"] {
        let request = sent(name, "x", keys).await.expect("a login");
        assert_eq!(request.path.matches('/').count(), 3, "{name}: {}", request.path);
        assert_eq!(decoded(&request.path), format!("/users/{name}/token"), "{name}");
        assert_eq!(form(&request.query), [("user".to_owned(), name.to_owned())], "{name}");
    }
    for way in ["..", "."] {
        let error = sent(way, "x", keys).await.expect_err(way);
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    }
}

#[tokio::test]
async fn header_values_with_line_ends_are_rejected() {
    let keys = "url = \"HOST/login\"\nheaders = { X-Api-Key = \"key {password}\", Accept = \"text/x\" }";
    let request = sent("", "{token} \"x\"", keys).await.expect("a login");
    assert_eq!(request.header("x-api-key"), Some("key {token} \"x\""));
    assert_eq!(request.header("accept"), Some("text/x"));
    for bad in ["a\nX-Evil: 1", "a\rb", "\0", "é"] {
        let error = sent("", bad, keys).await;
        let error = error.expect_err("no header");
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        assert!(!error.to_string().contains("Evil"), "{error}");
    }
}

#[tokio::test]
async fn http_basic_contains_credentials_unchanged() {
    // This configuration is the one for NASA's Earthdata Login.
    let mut world = World::new();
    world.env = world.env.with("PASSWORD", "pa:ss wörd+KANARIE");
    let answer =
        json!({ "access_token": "KANARIE-1", "token_type": "Bearer", "expiration_date": "05/06/2031" });
    let server = RecordingServer::returning(200, &answer.to_string()).await;
    let toml = format!(
        "username = \"ada\"\npassword = {{ env = \"PASSWORD\" }}\n[login]\n\
         url = \"{}/api/users/find_or_create_token\"\nauth = \"basic\"\n\
         expires = \"expiration_date\"\nexpires_as = \"MM/DD/YYYY\"\n",
        server.url
    );
    let broker = world.broker(provider(&world, &toml));
    let token =
        broker.token(World::NAME, &TokenRequest::new()).await.expect("a token, without a login command");
    assert_eq!(token.expires_at().map(|at| at.to_string()).as_deref(), Some("2031-05-06 00:00:00 UTC"));
    let request = server.only();
    let basic = format!("Basic {}", STANDARD.encode("ada:pa:ss wörd+KANARIE"));
    assert_eq!(request.header("authorization"), Some(basic.as_str()));
    assert_eq!((request.method.as_str(), request.body.as_str()), ("POST", ""));
}

#[tokio::test]
async fn secrets_in_error_responses_are_redacted() {
    for auth in ["auth = \"basic\"", "json = { p = \"{password}\", k = \"{secrets.key}\" }"] {
        let mut world = World::new();
        world.env = world.env.with("PASSWORD", "KANARIE & \"co\"").with("KEY", "second-KANARIE");
        let server = RecordingServer::start(|request| {
            let received =
                format!("{} {}", request.header("authorization").unwrap_or_default(), request.body);
            (401, json!({ "message": received }).to_string())
        })
        .await;
        let toml = format!(
            "username = \"ada\"\npassword = {{ env = \"PASSWORD\" }}\nsecrets = {{ key = {{ env = \"KEY\" }} }}\n\
             [login]\nurl = \"{}/login\"\n{auth}\n",
            server.url
        );
        let error =
            world.broker(provider(&world, &toml)).login(World::NAME, Login::Usual).await.expect_err("no");
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Refused, "{text}");
        let basic = STANDARD.encode("ada:KANARIE & \"co\"");
        assert!(text.contains("redacted") && !text.contains("KANARIE") && !text.contains(&basic), "{text}");
    }
}

#[tokio::test]
async fn error_does_not_show_a_secret_in_the_query() {
    let mut world = World::new();
    world.env = world.env.with("KEY", "KANARIE");
    world.timeout = std::time::Duration::from_millis(500);
    // No server listens on this port.
    let toml = "secrets = { key = { env = \"KEY\" } }\n[login]\nmethod = \"GET\"\n\
                url = \"http://127.0.0.1:9/login?key={secrets.key}\"\nquery = { again = \"{secrets.key}\" }\n";
    let error = world.broker(provider(&world, toml)).token(World::NAME, &TokenRequest::new()).await;
    let error = error.expect_err("no server");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("127.0.0.1:9/login"), "{error}");
    assert!(!format!("{error} {error:?} {:?}", error.hint()).contains("KANARIE"), "{error}");
}

#[tokio::test]
async fn refresh_token_is_not_sent_to_another_host() {
    let service = || {
        RecordingServer::start(|request| match request.path.as_str() {
            "/login" => {
                (200, json!({ "access_token": "a-KANARIE", "refresh_token": "r-KANARIE" }).to_string())
            }
            _ => (200, json!({ "access_token": "b-KANARIE" }).to_string()),
        })
    };
    let (own, other) = (service().await, service().await);
    let toml = |refresh: &str| {
        format!(
            "[login]\nurl = \"{}/login\"\nform = {{ u = \"{{username}}\" }}\n\
             [refresh]\nurl = \"{refresh}/refresh\"\nform = {{ t = \"{{refresh_token}}\" }}\n",
            own.url
        )
    };
    let mut world = World::new();
    world.person = world.person.answering("ada");
    world.broker(provider(&world, &toml(&own.url))).login(World::NAME, Login::Usual).await.expect("a login");
    world.clock.advance(TimeDelta::hours(1));
    let usual = TokenRequest::new();
    let error = world.broker(provider(&world, &toml(&other.url))).token(World::NAME, &usual).await;
    assert_eq!(error.expect_err("no login there").kind(), ErrorKind::LoginRequired);
    assert!(other.requests().is_empty(), "{:?}", other.requests());
    let token = world.broker(provider(&world, &toml(&own.url))).token(World::NAME, &usual).await;
    assert_eq!(token.expect("the login is kept").secret().expose(), "b-KANARIE");
}

#[tokio::test]
async fn changed_request_table_gets_a_new_token() {
    let server = RecordingServer::start(|request| {
        let token = if request.path == "/login" { "login" } else { "minted" };
        (200, json!({ "access_token": format!("{token}-1"), "id": format!("{token}-2") }).to_string())
    })
    .await;
    let world = World::new();
    let mint = format!("[mint]\nurl = \"{}/mint\"\nauth = \"bearer\"\n", server.url);
    for (keys, expected) in [
        (String::new(), "login-1"),
        ("token = \"id\"\n".to_owned(), "login-2"),
        // The key `refused` does not change the issued token.
        ("token = \"id\"\nrefused = [400]\n".to_owned(), "login-2"),
        (format!("token = \"id\"\n{mint}"), "minted-1"),
        (format!("token = \"id\"\n{mint}token = \"id\"\n"), "minted-2"),
        (String::new(), "login-1"),
    ] {
        let toml = format!("username = \"ada\"\n[login]\nurl = \"{}/login\"\n{keys}", server.url);
        let token = world.broker(provider(&world, &toml)).token(World::NAME, &TokenRequest::new()).await;
        assert_eq!(token.expect("a token").secret().expose(), expected, "{keys}");
    }
    let paths: Vec<_> = server.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(paths.iter().filter(|path| *path == "/mint").count(), 2, "{paths:?}");
}

#[tokio::test]
async fn changed_password_without_username_is_a_new_account() {
    let server = RecordingServer::start(|request| {
        (200, json!({ "access_token": format!("for-{}", request.json()["k"]) }).to_string())
    })
    .await;
    let mut world = World::new();
    let toml = format!(
        "password = {{ env = \"KEY\" }}\n[login]\nurl = \"{}/login\"\njson = {{ k = \"{{password}}\" }}\n",
        server.url
    );
    for key in ["one", "two"] {
        world.env = world.env.clone().with("KEY", key);
        let token = world.broker(provider(&world, &toml)).token(World::NAME, &TokenRequest::new()).await;
        assert_eq!(token.expect("a token").secret().expose(), format!("for-\"{key}\""));
    }
}

#[tokio::test]
async fn toml_dates_in_a_request_table_are_sent_as_text() {
    let keys =
        "url = \"HOST/login\"\njson = { user = \"{username}\", day = 2027-01-31, l = [{ d = 2027-01-31 }] }";
    let request = sent("ada", "x", keys).await.expect("a login");
    assert_eq!(request.json(), json!({ "user": "ada", "day": "2027-01-31", "l": [{ "d": "2027-01-31" }] }));
}

#[tokio::test]
async fn changed_secret_without_username_is_a_new_account() {
    let server = RecordingServer::start(|request| {
        (200, json!({ "access_token": format!("for-{}", request.json()["k"]) }).to_string())
    })
    .await;
    let mut world = World::new();
    let toml = format!(
        "secrets = {{ key = {{ env = \"KEY\" }} }}\n[login]\nurl = \"{}/login\"\njson = {{ k = \"{{secrets.key}}\" }}\n",
        server.url
    );
    for key in ["one", "two", "one"] {
        world.env = world.env.clone().with("KEY", key);
        let token = world.broker(provider(&world, &toml)).token(World::NAME, &TokenRequest::new()).await;
        assert_eq!(token.expect("a token").secret().expose(), format!("for-\"{key}\""));
    }
    assert_eq!(server.requests().len(), 2, "the first token is still stored");
}
