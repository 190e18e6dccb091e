//! Tests of the requests of `kind = "login"`: encoding, redaction, and the use of stored tokens.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use broker_core::{Error, ErrorKind, Login, WITHHELD};
use broker_testkit::{Seen, World};
use chrono::TimeDelta;
use serde_json::json;

use crate::recording_server::RecordingServer;
use crate::{broker, token};

/// A password with special characters of JSON, forms, paths, queries and headers, and with placeholders.
const EVIL: &str = "KANARIE\"'\\&a=b;{token}{{secrets.other}} %2F+/?#é\u{1f30d}";

/// Logs in with a `login` table of these keys, and returns the request that the server received.
async fn sent(username: &str, password: &str, keys: &str) -> Result<Seen, Error> {
    let mut world = World::new();
    world.env = world.env.with("PASSWORD", password);
    world.person = world.person.answering(username);
    let server = RecordingServer::returning(200, r#"{"access_token":"KANARIE-1"}"#).await;
    let toml = format!("password = {{ env = \"PASSWORD\" }}\n[login]\n{}", keys.replace("HOST", &server.url));
    broker(&world, &toml).login(World::NAME, Login::Usual).await?;
    Ok(server.only())
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
async fn special_characters_in_forms_and_queries_are_encoded() {
    let keys = "url = \"HOST/login?v=1\"\nform = { user = \"{username}\", pass = \"{password}\", n = 7, t = true }\n\
                query = { key = \"{password}\", braces = \"{{}}\" }";
    let request = sent("ada&admin=1", EVIL, keys).await.expect("a login");
    let fields = [("n", "7"), ("pass", EVIL), ("t", "true"), ("user", "ada&admin=1")];
    assert_eq!(request.form(), fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let query = Seen { body: request.query.clone(), ..request.clone() }.form();
    let fields = [("braces", "{}"), ("key", EVIL), ("v", "1")];
    assert_eq!(query, fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let sent = |text: &str| text.split('&').count();
    assert_eq!((sent(&request.body), sent(&request.query)), (4, 3), "no field is sent twice");
    assert_eq!(request.path, "/login");
}

#[tokio::test]
async fn username_in_url_cannot_add_or_remove_path_segments() {
    let keys = "url = \"HOST/users/{username}/token?user={username}\"";
    for (name, encoded) in [
        ("a/b", "a%2Fb"),
        ("a?b=c", "a%3Fb%3Dc"),
        ("a#b", "a%23b"),
        ("a%2Fb", "a%252Fb"),
        ("../admin", "..%2Fadmin"),
        ("é", "%C3%A9"),
        ("a\\b", "a%5Cb"),
        ("@evil.example/", "%40evil.example%2F"),
    ] {
        let request = sent(name, "x", keys).await.expect("a login");
        assert_eq!(request.path, format!("/users/{encoded}/token"), "{name}");
        assert_eq!(request.query, format!("user={encoded}"), "{name}");
    }
    for name in ["..", "."] {
        let error = sent(name, "x", keys).await.expect_err(name);
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
        let error = sent("", bad, keys).await.expect_err(bad);
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        assert!(!error.to_string().contains("Evil"), "{error}");
    }
}

#[tokio::test]
async fn basic_header_contains_unescaped_username_and_password() {
    let mut world = World::new();
    world.env = world.env.with("PASSWORD", "pa:ss wörd+KANARIE");
    let answer =
        json!({ "access_token": "KANARIE-1", "token_type": "Bearer", "expiration_date": "05/06/2031" });
    let server = RecordingServer::returning(200, &answer.to_string()).await;
    // The configuration for NASA's Earthdata Login.
    let toml = format!(
        "username = \"ada\"\npassword = {{ env = \"PASSWORD\" }}\n[login]\n\
         url = \"{}/api/users/find_or_create_token\"\nauth = \"basic\"\n\
         expires = \"expiration_date\"\nexpires_as = \"MM/DD/YYYY\"\n",
        server.url
    );
    let token = token(&world, &toml).await.expect("a token without a login");
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
        let error = broker(&world, &toml).login(World::NAME, Login::Usual).await.expect_err("refused");
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{text}");
        let basic = STANDARD.encode("ada:KANARIE & \"co\"");
        assert!(text.contains(WITHHELD) && !text.contains("KANARIE") && !text.contains(&basic), "{text}");
    }
}

#[tokio::test]
async fn error_does_not_show_a_secret_in_the_query() {
    let mut world = World::new();
    world.env = world.env.with("KEY", "KANARIE");
    world.timeout = std::time::Duration::from_millis(500);
    let toml = "secrets = { key = { env = \"KEY\" } }\n[login]\nmethod = \"GET\"\n\
                url = \"http://127.0.0.1:9/login?key={secrets.key}\"\nquery = { again = \"{secrets.key}\" }\n";
    let error = token(&world, toml).await.expect_err("no server");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("127.0.0.1:9/login"), "{error}");
    assert!(!format!("{error} {error:?} {:?}", error.hint()).contains("KANARIE"), "{error}");
}

#[tokio::test]
async fn refresh_token_is_not_sent_to_changed_refresh_host() {
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
    broker(&world, &toml(&own.url)).login(World::NAME, Login::Usual).await.expect("a login");
    world.clock.advance(TimeDelta::hours(1));
    let error = token(&world, &toml(&other.url)).await.expect_err("no login at the other host");
    assert_eq!(error.kind(), ErrorKind::LoginRequired);
    assert!(other.requests().is_empty(), "{:?}", other.requests());
    let token = token(&world, &toml(&own.url)).await.expect("a token by the stored login");
    assert_eq!(token.secret().expose(), "b-KANARIE");
}

#[tokio::test]
async fn stored_token_is_not_used_if_login_or_mint_table_changed() {
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
        // A change of the key `refused` does not invalidate the stored token.
        ("token = \"id\"\nrefused = [400]\n".to_owned(), "login-2"),
        (format!("token = \"id\"\n{mint}"), "minted-1"),
        (format!("token = \"id\"\n{mint}token = \"id\"\n"), "minted-2"),
        (String::new(), "login-1"),
    ] {
        let toml = format!("username = \"ada\"\n[login]\nurl = \"{}/login\"\n{keys}", server.url);
        let token = token(&world, &toml).await.expect("a token");
        assert_eq!(token.secret().expose(), expected, "{keys}");
    }
    let mint_requests = server.requests().into_iter().filter(|request| request.path == "/mint");
    assert_eq!(mint_requests.count(), 2);
}

#[tokio::test]
async fn toml_dates_in_a_request_table_are_sent_as_text() {
    let keys =
        "url = \"HOST/login\"\njson = { user = \"{username}\", day = 2027-01-31, l = [{ d = 2027-01-31 }] }";
    let request = sent("ada", "x", keys).await.expect("a login");
    assert_eq!(request.json(), json!({ "user": "ada", "day": "2027-01-31", "l": [{ "d": "2027-01-31" }] }));
}

#[tokio::test]
async fn secret_identifies_the_account_if_no_username_is_set() {
    for (key, placeholder) in [
        ("password = { env = \"KEY\" }", "{password}"),
        ("secrets = { key = { env = \"KEY\" } }", "{secrets.key}"),
    ] {
        let server = RecordingServer::start(|request| {
            (200, json!({ "access_token": format!("for-{}", request.json()["k"]) }).to_string())
        })
        .await;
        let mut world = World::new();
        let toml =
            format!("{key}\n[login]\nurl = \"{}/login\"\njson = {{ k = \"{placeholder}\" }}\n", server.url);
        for secret in ["one", "two", "one"] {
            world.env = world.env.clone().with("KEY", secret);
            let token = token(&world, &toml).await.expect("a token");
            assert_eq!(token.secret().expose(), format!("for-\"{secret}\""), "{key}");
        }
        assert_eq!(server.requests().len(), 2, "{key}: the first token is still stored");
    }
}
