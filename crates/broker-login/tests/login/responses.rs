//! Tests of reading responses: token, expiry and refusals.

use broker_core::{Clock, ErrorKind, Login, Result, Token, TokenRequest, WITHHELD};
use broker_testkit::World;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use crate::broker;
use crate::recording_server::RecordingServer;

/// Returns a configuration with these keys in the `login` table.
fn config(server: &RecordingServer, keys: &str) -> String {
    format!(
        "username = \"ada\"\npassword = \"KANARIE\"\n[login]\nurl = \"{}/login\"\n\
         json = {{ user = \"{{username}}\", pass = \"{{password}}\" }}\n{keys}\n",
        server.url
    )
}

/// Gets a token from a service that always responds with `answer` and status 200.
async fn token(world: &World, keys: &str, answer: &str) -> Result<Token> {
    let server = RecordingServer::returning(200, answer).await;
    crate::token(world, &config(&server, keys)).await
}

/// Returns the expiry of a token that a service issues with the response `answer`.
async fn expiry(world: &World, keys: &str, answer: &serde_json::Value) -> DateTime<Utc> {
    let token = token(world, keys, &answer.to_string()).await.expect("a token");
    assert_eq!(token.secret().expose(), "KANARIE-1");
    token.expires_at().expect("an expiry")
}

#[tokio::test]
async fn token_expiry_is_parsed_in_every_configurable_format() {
    let end = DateTime::parse_from_rfc3339("2031-05-06T07:08:09Z").expect("a time").to_utc();
    let day = DateTime::parse_from_rfc3339("2031-05-06T00:00:00Z").expect("a time").to_utc();
    for (form, written, expected) in [
        ("epoch", json!(end.timestamp()), end),
        ("epoch", json!(end.timestamp().to_string()), end),
        ("epoch_ms", json!(end.timestamp_millis()), end),
        ("rfc3339", json!("2031-05-06T07:08:09Z"), end),
        ("rfc3339", json!("2031-05-06T09:08:09+02:00"), end),
        ("rfc3339", json!("2031-05-06 07:08:09"), end),
        ("MM/DD/YYYY", json!("05/06/2031"), day),
        ("YYYY-MM-DD HH:mm:ss", json!("2031-05-06 07:08:09"), end),
        ("%d.%m.%Y", json!("06.05.2031"), day),
    ] {
        let world = World::new();
        let keys = format!("expires = \"data.end\"\nexpires_as = \"{form}\"");
        let answer = json!({ "access_token": "KANARIE-1", "data": { "end": written } });
        assert_eq!(expiry(&world, &keys, &answer).await, expected, "{form} {written}");
    }
}

#[tokio::test]
async fn token_lifetime_starts_when_the_request_is_sent() {
    for written in [json!(3600), json!("3600"), json!(3600.0)] {
        let world = World::new();
        let answer = json!({ "access_token": "KANARIE-1", "expires_in": written });
        let end = expiry(&world, "expires = \"expires_in\"", &answer).await;
        assert_eq!(end, world.clock.now() + TimeDelta::hours(1), "{written}");
    }
}

#[tokio::test]
async fn missing_expiry_uses_configured_or_default_lifetime() {
    for (keys, expires, minutes) in [
        ("life = \"12h\"", json!(null), 12 * 60),
        ("", json!(null), 5),
        // An expiry that does not match the configured format is ignored.
        ("life = \"1h\"\nexpires = \"end\"\nexpires_as = \"MM/DD/YYYY\"", json!("31.12.2030"), 60),
    ] {
        let world = World::new();
        let answer = json!({ "access_token": "KANARIE-1", "end": expires });
        let end = expiry(&world, keys, &answer).await;
        assert_eq!(end, world.clock.now() + TimeDelta::minutes(minutes), "{keys}");
    }
}

#[tokio::test]
async fn login_by_prompt_without_expiry_lasts_until_rejected() {
    let mut world = World::new();
    world.person = world.person.answering("KANARIE");
    let server = RecordingServer::returning(200, r#"{"access_token":"KANARIE-1"}"#).await;
    let toml = config(&server, "").replace("password = \"KANARIE\"\n", "");
    broker(&world, &toml).login(World::NAME, Login::Usual).await.expect("a login");
    world.clock.advance(TimeDelta::days(1000));
    assert_eq!(crate::token(&world, &toml).await.expect("a token").expires_at(), None);
    let rejected = broker(&world, &toml).replace_rejected(World::NAME, &TokenRequest::new(), None).await;
    assert_eq!(rejected.expect_err("no other token").kind(), ErrorKind::LoginRequired);
}

#[tokio::test]
async fn token_is_read_at_the_configured_path() {
    for (keys, answer) in [
        ("", r#"{"access_token":"KANARIE-1"}"#),
        ("token = \"data\"", r#"{"requestId":1,"data":"KANARIE-1","errorCode":null,"errorMessage":null}"#),
        ("token = \"data.session.key\"", r#"{"data":{"session":{"key":"KANARIE-1"}}}"#),
        ("token = \"0.access_token\"", r#"[{"access_token":"KANARIE-1"},{"access_token":"other"}]"#),
        ("token = \"\"", "\"KANARIE-1\""),
        ("error = \"errorCode\"", r#"{"access_token":"KANARIE-1","errorCode":null}"#),
        ("error = \"errorCode\"", r#"{"access_token":"KANARIE-1","errorCode":""}"#),
    ] {
        let token =
            token(&World::new(), keys, answer).await.unwrap_or_else(|error| panic!("{answer}: {error}"));
        assert_eq!(token.secret().expose(), "KANARIE-1", "{answer}");
    }
}

#[tokio::test]
async fn login_response_without_token_is_a_transient_error() {
    for (keys, answer) in [
        ("", r#"{"token":"KANARIE-1"}"#),
        ("", r#"{"access_token":7}"#),
        ("", r#"{"access_token":""}"#),
        ("", "\"KANARIE-1\""),
        ("", "[]"),
        ("token = \"\"", "KANARIE-1"),
        ("token = \"\"", r#"{"access_token":"KANARIE-1"}"#),
        ("token = \"\"", "<html>\"KANARIE-1\"</html>"),
        ("token = \"0.access_token\"", "[]"),
        ("", "<html></html>"),
        ("", ""),
        ("error = \"errorCode\"", "<html></html>"),
    ] {
        let error = token(&World::new(), keys, answer).await.expect_err(answer);
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{answer}: {error}");
        assert!(!error.to_string().contains("KANARIE"), "{error}");
    }
}

#[tokio::test]
async fn error_code_in_http_200_is_not_retried_if_in_error_final() {
    let answer = json!({ "errorCode": "AUTH_INVALID", "errorMessage": "KANARIE is wrong\u{1b}[2J", "access_token": "x" });
    let world = World::new();
    let server = RecordingServer::returning(200, &answer.to_string()).await;
    let toml = config(&server, "error = \"errorCode\"\nerror_final = [\"AUTH_INVALID\"]");
    for _ in 0..3 {
        let error = crate::token(&world, &toml).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(!error.to_string().contains("KANARIE") && !error.to_string().contains('\u{1b}'), "{error}");
    }
    assert_eq!(server.requests().len(), 1, "a wrong password is tried once");
    let error = broker(&world, &toml).login(World::NAME, Login::Usual).await;
    let error = error.expect_err("refused").to_string();
    assert!(error.contains("AUTH_INVALID") && error.contains(WITHHELD), "{error}");
}

/// A transient error does not count as a refused password, so the next call sends another request.
#[tokio::test]
async fn error_code_in_http_200_is_retried_unless_in_error_final() {
    for (keys, answer) in [
        (
            "error = \"errorCode\"\nerror_final = \"AUTH_INVALID\"",
            r#"{"errorCode":"RATE_LIMIT","data":"KANARIE"}"#,
        ),
        ("error = \"errorCode\"", r#"{"errorCode":"RATE_LIMIT"}"#),
        ("", r#"{"error":"RATE_LIMIT"}"#),
    ] {
        let world = World::new();
        let server = RecordingServer::returning(200, answer).await;
        for n in 1..3 {
            let error = crate::token(&world, &config(&server, keys)).await.expect_err(answer);
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{keys} {answer}: {error}");
            assert!(error.to_string().contains("RATE_LIMIT"), "{error}");
            assert!(error.hint().expect("a hint").to_string().contains("login.error_final"), "{error}");
            assert_eq!(server.requests().len(), n, "each call sends a request");
        }
    }
}

#[tokio::test]
async fn unreadable_token_expiry_causes_a_warning() {
    for (keys, end, warns) in [
        ("expires = \"end\"\nexpires_as = \"MM/DD/YYYY\"\nlife = \"1h\"", json!("31.12.2030"), true),
        ("expires = \"end\"", json!("soon"), true),
        ("expires = \"ends\"", json!(3600), true),
        ("expires = \"ends\"\nlife = \"1h\"", json!(3600), false),
        ("expires = \"end\"", json!(3600), false),
        ("", json!(3600), false),
    ] {
        let world = World::new();
        let answer = json!({ "access_token": "KANARIE-1", "end": end });
        let _ = expiry(&world, keys, &answer).await;
        let notices = world.person.told().join("\n");
        assert_eq!(notices.contains("`login.expires`"), warns, "{keys}: {notices}");
        assert!(notices.is_empty() != warns && !notices.contains("31.12"), "{notices}");
    }
}

#[tokio::test]
async fn status_alone_refuses_a_login_only_if_configured() {
    for (keys, status, body, kind) in [
        ("", 401, "", ErrorKind::Unavailable),
        ("", 401, r#"{"message":"Unauthorized"}"#, ErrorKind::Unavailable),
        ("", 401, r#"{"error":"invalid_credentials"}"#, ErrorKind::Refused),
        ("", 401, r#"{"detail":"no","code":"no_active_account"}"#, ErrorKind::Refused),
        ("", 200, r#"{"success":false,"error":{"code":"invalid_grant"}}"#, ErrorKind::Refused),
        ("error_final = [\"NO\"]", 401, r#"{"error":"invalid_credentials"}"#, ErrorKind::Unavailable),
        ("error_final = [\"NO\"]", 403, r#"{"errors":[{"code":"NO"}]}"#, ErrorKind::Refused),
        ("", 400, r#"{"message":"no"}"#, ErrorKind::Unavailable),
        ("", 400, r#"{"error":"invalid_client"}"#, ErrorKind::Refused),
        ("refused = [400]", 400, r#"{"message":"no"}"#, ErrorKind::Refused),
        ("", 400, "", ErrorKind::Unavailable),
        ("refused = [400]", 400, "", ErrorKind::Refused),
        ("refused = [400]", 400, "Bad credentials", ErrorKind::Refused),
        ("refused = [400]", 400, "{\"half", ErrorKind::Unavailable),
        ("refused = [400]", 400, "<html></html>", ErrorKind::Unavailable),
        ("refused = [401]", 401, "Unauthorized", ErrorKind::Refused),
        ("refused = [400]", 500, "", ErrorKind::Unavailable),
        ("error = \"code\"\nerror_final = [\"NO\"]", 400, r#"{"code":"NO"}"#, ErrorKind::Refused),
        ("error = \"code\"\nerror_final = [\"NO\"]", 400, r#"{"code":"DOWN"}"#, ErrorKind::Unavailable),
        ("error = \"code\"\nerror_final = [\"NO\"]", 503, r#"{"code":"NO"}"#, ErrorKind::Unavailable),
        ("error = \"errorCode\"", 503, r#"{"errorCode":"DOWN"}"#, ErrorKind::Unavailable),
        ("", 429, r#"{"message":"no"}"#, ErrorKind::Unavailable),
    ] {
        let server = RecordingServer::returning(status, body).await;
        let world = World::new();
        let broker = broker(&world, &config(&server, keys));
        let error = broker.login(World::NAME, Login::Usual).await.expect_err(body);
        assert_eq!(error.kind(), kind, "{keys} {status} {body}: {error}");
    }
}

#[tokio::test]
async fn only_the_services_own_word_ends_the_login() {
    let listed = "error = \"errorCode\"\nerror_final = [\"OVER\"]";
    for (keys, status, body, kind) in [
        ("", 401, "{}", ErrorKind::Unavailable),
        ("", 401, "", ErrorKind::Unavailable),
        ("refused = [401]", 401, "{}", ErrorKind::LoginRequired),
        ("", 400, r#"{"error":"invalid_grant"}"#, ErrorKind::LoginRequired),
        ("", 401, r#"{"code":"token_not_valid"}"#, ErrorKind::LoginRequired),
        ("", 401, r#"{"code":"no_active_account"}"#, ErrorKind::Unavailable),
        ("", 400, r#"{"message":"bad"}"#, ErrorKind::Unavailable),
        ("", 400, r#"{"error":"invalid_client"}"#, ErrorKind::Refused),
        ("refused = [400]", 400, r#"{"message":"bad"}"#, ErrorKind::LoginRequired),
        (listed, 200, r#"{"errorCode":"OVER"}"#, ErrorKind::LoginRequired),
        (listed, 200, r#"{"errorCode":"RATE_LIMIT"}"#, ErrorKind::Unavailable),
        ("error = \"errorCode\"", 200, r#"{"errorCode":"DOWN"}"#, ErrorKind::Unavailable),
        ("", 403, "<html></html>", ErrorKind::Unavailable),
    ] {
        let server = RecordingServer::start(move |request| match request.path.as_str() {
            "/login" => {
                (200, json!({ "access_token": "KANARIE-1", "refresh_token": "KANARIE-2" }).to_string())
            }
            _ => (status, body.to_owned()),
        })
        .await;
        let url = &server.url;
        // The configuration has no password, so without the refresh token the user must log in again.
        let toml = format!(
            "[login]\nurl = \"{url}/login\"\nform = {{ u = \"{{username}}\", p = \"{{password}}\" }}\n\
             [refresh]\nurl = \"{url}/refresh\"\nform = {{ token = \"{{refresh_token}}\" }}\n{keys}\n"
        );
        let mut world = World::new();
        world.person = world.person.answering("ada").answering("KANARIE");
        let broker = broker(&world, &toml);
        broker.login(World::NAME, Login::Usual).await.expect("a login");
        world.clock.advance(TimeDelta::hours(1));
        let error = broker.token(World::NAME, &TokenRequest::new()).await.expect_err("no");
        assert_eq!(error.kind(), kind, "{keys} {status} {body}: {error}");
        let sent = server.requests().pop().expect("a request").body;
        assert_eq!(sent, "token=KANARIE-2");
    }
}
