//! Requests go out as they are described, whatever is in the values.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use broker_core::{Error, ErrorKind, Login, TokenRequest};
use broker_testkit::World;
use chrono::TimeDelta;
use serde_json::json;

use crate::provider;
use crate::stand::{Asked, Stand};

/// What would break out of JSON, forms, paths, queries and headers, and be a placeholder.
const EVIL: &str = "KANARIE\"'\\\n\r&a=b;{token}{{secrets.other}} %2F+/?#é\u{1f30d}";

/// What a login with these keys and values sent; the values are from the environment, where they can be anything.
async fn sent(username: &str, password: &str, keys: &str) -> Result<Asked, Error> {
    let mut world = World::new();
    world.env = world.env.with("PASSWORD", password);
    world.person = world.person.answering(username);
    let stand = Stand::saying(200, r#"{"access_token":"KANARIE-1"}"#).await;
    let toml = format!("password = {{ env = \"PASSWORD\" }}\n[login]\n{}", keys.replace("HOST", &stand.url));
    world.broker(provider(&world, &toml)).login(World::NAME, Login::Usual).await?;
    Ok(stand.only())
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
async fn json_has_values_as_they_are() {
    let keys = "url = \"HOST/login\"\n\
                json = { user = { name = \"{username}\", pass = \"a{password}b\" }, n = 7, l = [\"{username}\", true] }";
    let asked = sent("ada\"}", EVIL, keys).await.expect("a login");
    let pass = format!("a{EVIL}b");
    let body = json!({ "user": { "name": "ada\"}", "pass": pass }, "n": 7, "l": ["ada\"}", true] });
    assert_eq!(asked.json(), body);
    assert_eq!((asked.method.as_str(), asked.header("content-type")), ("POST", Some("application/json")));
}

#[tokio::test]
async fn forms_and_queries_have_values_as_they_are() {
    let keys = "url = \"HOST/login?v=1\"\nform = { user = \"{username}\", pass = \"{password}\", n = 7, t = true }\n\
                query = { key = \"{password}\", braces = \"{{}}\" }";
    let asked = sent("ada&admin=1", EVIL, keys).await.expect("a login");
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut fields = form(&asked.body);
    fields.sort();
    assert_eq!(fields, [pair("n", "7"), pair("pass", EVIL), pair("t", "true"), pair("user", "ada&admin=1")]);
    let mut query = form(&asked.query);
    query.sort();
    assert_eq!(query, [pair("braces", "{}"), pair("key", EVIL), pair("v", "1")]);
    assert_eq!(asked.path, "/login");
}

#[tokio::test]
async fn a_value_changes_no_path() {
    let keys = "url = \"HOST/users/{username}/token?user={username}\"";
    for name in ["a/b", "a?b=c", "a#b", "a%2Fb", "../admin", "é", "a\\b", "@evil.example/"] {
        let asked = sent(name, "x", keys).await.expect("a login");
        assert_eq!(asked.path.matches('/').count(), 3, "{name}: {}", asked.path);
        assert_eq!(decoded(&asked.path), format!("/users/{name}/token"), "{name}");
        assert_eq!(form(&asked.query), [("user".to_owned(), name.to_owned())], "{name}");
    }
    for way in ["..", "."] {
        let error = sent(way, "x", keys).await.expect_err(way);
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    }
}

#[tokio::test]
async fn headers_carry_no_line_end() {
    let keys = "url = \"HOST/login\"\nheaders = { X-Api-Key = \"key {password}\", Accept = \"text/x\" }";
    let asked = sent("", "{token} \"x\"", keys).await.expect("a login");
    assert_eq!(asked.header("x-api-key"), Some("key {token} \"x\""));
    assert_eq!(asked.header("accept"), Some("text/x"));
    for bad in ["a\nX-Evil: 1", "a\rb", "\0", "é"] {
        let error = sent("", bad, keys).await;
        let error = error.expect_err("no header");
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        assert!(!error.to_string().contains("Evil"), "{error}");
    }
}

#[tokio::test]
async fn basic_is_the_pair_as_it_is() {
    // As NASA's Earthdata Login gives tokens: an empty POST, and the end as a date.
    let mut world = World::new();
    world.env = world.env.with("PASSWORD", "pa:ss wörd+KANARIE");
    let answer =
        json!({ "access_token": "KANARIE-1", "token_type": "Bearer", "expiration_date": "05/06/2031" });
    let stand = Stand::saying(200, &answer.to_string()).await;
    let toml = format!(
        "username = \"ada\"\npassword = {{ env = \"PASSWORD\" }}\n[login]\n\
         url = \"{}/api/users/find_or_create_token\"\nauth = \"basic\"\n\
         expires = \"expiration_date\"\nexpires_as = \"MM/DD/YYYY\"\n",
        stand.url
    );
    let broker = world.broker(provider(&world, &toml));
    let token =
        broker.token(World::NAME, &TokenRequest::new()).await.expect("a token, without a login command");
    assert_eq!(token.expires_at().map(|at| at.to_string()).as_deref(), Some("2031-05-06 00:00:00 UTC"));
    let asked = stand.only();
    let basic = format!("Basic {}", STANDARD.encode("ada:pa:ss wörd+KANARIE"));
    assert_eq!(asked.header("authorization"), Some(basic.as_str()));
    assert_eq!((asked.method.as_str(), asked.body.as_str()), ("POST", ""));
}

#[tokio::test]
async fn what_a_service_says_back_is_redacted() {
    for auth in ["auth = \"basic\"", "json = { p = \"{password}\", k = \"{secrets.key}\" }"] {
        let mut world = World::new();
        world.env = world.env.with("PASSWORD", "KANARIE & \"co\"").with("KEY", "second-KANARIE");
        let stand = Stand::start(|asked| {
            let heard = format!("{} {}", asked.header("authorization").unwrap_or_default(), asked.body);
            (401, json!({ "message": heard }).to_string())
        })
        .await;
        let toml = format!(
            "username = \"ada\"\npassword = {{ env = \"PASSWORD\" }}\nsecrets = {{ key = {{ env = \"KEY\" }} }}\n\
             [login]\nurl = \"{}/login\"\n{auth}\n",
            stand.url
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
async fn a_secret_in_a_query_is_not_shown() {
    let mut world = World::new();
    world.env = world.env.with("KEY", "KANARIE");
    world.timeout = std::time::Duration::from_millis(500);
    // Nobody listens there.
    let toml = "secrets = { key = { env = \"KEY\" } }\n[login]\nmethod = \"GET\"\n\
                url = \"http://127.0.0.1:9/login?key={secrets.key}\"\nquery = { again = \"{secrets.key}\" }\n";
    let error = world.broker(provider(&world, toml)).token(World::NAME, &TokenRequest::new()).await;
    let error = error.expect_err("nobody");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("127.0.0.1:9/login"), "{error}");
    assert!(!format!("{error} {error:?} {:?}", error.hint()).contains("KANARIE"), "{error}");
}

/// What was had for one host is not sent to another that the configuration names later.
#[tokio::test]
async fn a_refresh_token_goes_to_no_other_host() {
    let service = || {
        Stand::start(|asked| match asked.path.as_str() {
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
    assert!(other.asked().is_empty(), "{:?}", other.asked());
    let token = world.broker(provider(&world, &toml(&own.url))).token(World::NAME, &usual).await;
    assert_eq!(token.expect("the login is kept").secret().expose(), "b-KANARIE");
}

#[tokio::test]
async fn a_corrected_table_does_not_serve_the_old_token() {
    let stand = Stand::start(|asked| {
        let token = if asked.path == "/login" { "login" } else { "minted" };
        (200, json!({ "access_token": format!("{token}-1"), "id": format!("{token}-2") }).to_string())
    })
    .await;
    let world = World::new();
    let mint = format!("[mint]\nurl = \"{}/mint\"\nauth = \"bearer\"\n", stand.url);
    for (keys, expected) in [
        (String::new(), "login-1"),
        ("token = \"id\"\n".to_owned(), "login-2"),
        // Of what changes nothing of it, the token stays.
        ("token = \"id\"\nrefused = [400]\n".to_owned(), "login-2"),
        (format!("token = \"id\"\n{mint}"), "minted-1"),
        (format!("token = \"id\"\n{mint}token = \"id\"\n"), "minted-2"),
        (String::new(), "login-1"),
    ] {
        let toml = format!("username = \"ada\"\n[login]\nurl = \"{}/login\"\n{keys}", stand.url);
        let token = world.broker(provider(&world, &toml)).token(World::NAME, &TokenRequest::new()).await;
        assert_eq!(token.expect("a token").secret().expose(), expected, "{keys}");
    }
    let paths: Vec<_> = stand.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(paths.iter().filter(|path| *path == "/mint").count(), 2, "{paths:?}");
}

#[tokio::test]
async fn another_password_without_a_username_is_another_account() {
    let stand = Stand::start(|asked| {
        (200, json!({ "access_token": format!("for-{}", asked.json()["k"]) }).to_string())
    })
    .await;
    let mut world = World::new();
    let toml = format!(
        "password = {{ env = \"KEY\" }}\n[login]\nurl = \"{}/login\"\njson = {{ k = \"{{password}}\" }}\n",
        stand.url
    );
    for key in ["one", "two"] {
        world.env = world.env.clone().with("KEY", key);
        let token = world.broker(provider(&world, &toml)).token(World::NAME, &TokenRequest::new()).await;
        assert_eq!(token.expect("a token").secret().expose(), format!("for-\"{key}\""));
    }
}

#[tokio::test]
async fn a_date_of_toml_is_sent_as_text() {
    let keys =
        "url = \"HOST/login\"\njson = { user = \"{username}\", day = 2027-01-31, l = [{ d = 2027-01-31 }] }";
    let asked = sent("ada", "x", keys).await.expect("a login");
    assert_eq!(asked.json(), json!({ "user": "ada", "day": "2027-01-31", "l": [{ "d": "2027-01-31" }] }));
}

#[tokio::test]
async fn another_key_is_another_account() {
    let stand = Stand::start(|asked| {
        (200, json!({ "access_token": format!("for-{}", asked.json()["k"]) }).to_string())
    })
    .await;
    let mut world = World::new();
    let toml = format!(
        "secrets = {{ key = {{ env = \"KEY\" }} }}\n[login]\nurl = \"{}/login\"\njson = {{ k = \"{{secrets.key}}\" }}\n",
        stand.url
    );
    for key in ["one", "two", "one"] {
        world.env = world.env.clone().with("KEY", key);
        let token = world.broker(provider(&world, &toml)).token(World::NAME, &TokenRequest::new()).await;
        assert_eq!(token.expect("a token").secret().expose(), format!("for-\"{key}\""));
    }
    assert_eq!(stand.asked().len(), 2, "what was given for the first is still held");
}
