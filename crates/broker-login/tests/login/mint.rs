//! Tests of minting and revocation.

use broker_core::{Clock, ErrorKind, Lifetime, Login, NextExchange, Record, TokenRequest};
use broker_testkit::{Seen, World};
use chrono::TimeDelta;
use serde_json::json;

use crate::recording_server::RecordingServer;
use crate::{broker, provider, token};

/// Starts a service whose login returns a session token for 10 minutes. Minted tokens last one hour.
async fn service() -> RecordingServer {
    let count = std::sync::atomic::AtomicUsize::new(0);
    RecordingServer::start(move |request: &Seen| {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        match request.path.as_str() {
            "/login" => (200, json!({ "session": format!("session-{n}"), "ttl": 600 }).to_string()),
            "/token" if request.header("x-session").is_some_and(|id| id.starts_with("session-")) => {
                (200, json!({ "access_token": format!("token-{n}"), "expires_in": 3600 }).to_string())
            }
            "/logout" => (200, String::new()),
            _ => (401, "{}".to_owned()),
        }
    })
    .await
}

fn toml(server: &RecordingServer, more: &str) -> String {
    let url = &server.url;
    format!(
        "username = \"ada\"\npassword = \"KANARIE\"\n\
         [login]\nurl = \"{url}/login\"\njson = {{ u = \"{{username}}\", p = \"{{password}}\" }}\n\
         token = \"session\"\nexpires = \"ttl\"\n\
         [mint]\nurl = \"{url}/token\"\nmethod = \"GET\"\nheaders = {{ X-Session = \"{{token}}\" }}\n\
         expires = \"expires_in\"\n{more}"
    )
}

fn paths(server: &RecordingServer) -> Vec<String> {
    server.requests().into_iter().map(|request| request.path).collect()
}

#[tokio::test]
async fn unscoped_token_is_minted_if_mint_table_has_no_scopes() {
    let (world, server) = (World::new(), service().await);
    let toml = toml(&server, "");
    let request = async |request: &TokenRequest| broker(&world, &toml).token(World::NAME, request).await;
    let usual = TokenRequest::new();
    for _ in 0..2 {
        assert_eq!(request(&usual).await.expect("a token").secret().expose(), "token-1");
    }
    assert_eq!(paths(&server), ["/login", "/token"]);
    // The login's token from `/login` is still valid, so a forced request only gets a new token from `/token`.
    world.clock.advance(TimeDelta::minutes(5));
    let token = request(&usual.clone().force()).await.expect("a token");
    assert_eq!((token.secret().expose(), paths(&server).len()), ("token-2", 3));
    // After two hours, the login's token from `/login` and the minted token from `/token` have expired.
    world.clock.advance(TimeDelta::hours(2));
    request(&usual).await.expect("a token");
    assert_eq!(paths(&server)[3..], ["/login", "/token"]);
    // The record stores the login's token under the scope `(login)`, which no caller may request.
    let session = TokenRequest::new().scope("(login)");
    for unsupported in [session, usual.expires("7d".parse().expect("a lifetime"))] {
        assert_eq!(request(&unsupported).await.expect_err("unsupported").kind(), ErrorKind::Usage);
    }
}

#[tokio::test]
async fn token_request_after_login_returns_a_minted_token() {
    let (world, server) = (World::new(), service().await);
    let toml = toml(&server, "");
    broker(&world, &toml).login(World::NAME, Login::Usual).await.expect("a login");
    assert_eq!(token(&world, &toml).await.expect("a token").secret().expose(), "token-1");
    assert_eq!(paths(&server), ["/login", "/token"]);
}

#[tokio::test]
async fn mint_request_contains_the_expiry_to_the_second() {
    let (world, server) = (World::new(), service().await);
    let toml = toml(&server, "query = { until = \"{expires:YYYY-MM-DD HH:mm:ss}\" }\nlife = \"3h\"\n");
    let broker = broker(&world, &toml);
    let until = |request: Seen| request.query.replace("%3A", ":").replace('+', " ");
    let at = |hours| (world.clock.now() + TimeDelta::hours(hours)).format("until=%F %T").to_string();
    broker.token(World::NAME, &TokenRequest::new()).await.expect("a token");
    assert_eq!(until(server.requests().pop().expect("a request")), at(3));
    let request = TokenRequest::new().expires("36h".parse().expect("a lifetime")).force();
    world.clock.advance(TimeDelta::seconds(1));
    broker.token(World::NAME, &request).await.expect("a token");
    assert_eq!(until(server.requests().pop().expect("a request")), at(36));
    let today = TokenRequest::new().expires(Lifetime::Until(world.clock.now().date_naive())).force();
    assert_eq!(broker.token(World::NAME, &today).await.expect_err("in the past").kind(), ErrorKind::Usage);
}

#[tokio::test]
async fn mint_request_contains_expiry_in_configured_pattern() {
    let (world, server) = (World::new(), service().await);
    let toml =
        toml(&server, "query = { d = \"{expires:MM/DD/YYYY}\", s = \"{scope}\" }\nscopes = [\"a\", \"b\"]\n");
    let request = TokenRequest::new().scope("b").scope("a").expires("7d".parse().expect("a lifetime"));
    let token = broker(&world, &toml).token(World::NAME, &request).await.expect("a token");
    assert_eq!(token.scope(), Some("a b"));
    let day = (world.clock.now() + TimeDelta::days(7)).format("d=%m%%2F%d%%2F%Y&s=a+b").to_string();
    assert_eq!(server.requests().pop().expect("a request").query, day);
}

#[tokio::test]
async fn refresh_token_is_spent_if_login_token_expires_soon() {
    let server = RecordingServer::start(|request| match request.path.as_str() {
        "/login" => (200, json!({ "session": "s", "ttl": 600, "refresh_token": "KANARIE" }).to_string()),
        _ => (200, json!({ "access_token": "t" }).to_string()),
    })
    .await;
    let refresh =
        format!("[refresh]\nurl = \"{}/refresh\"\nform = {{ t = \"{{refresh_token}}\" }}\n", server.url);
    let world = World::new();
    let provider = provider(&world, &toml(&server, &refresh));
    let (usual, began) = (TokenRequest::new(), world.clock.now());
    world.broker(provider.clone()).login(World::NAME, Login::Usual).await.expect("a login");
    let record: Record = serde_json::from_value(world.record().expect("a record")).expect("a record");
    let next = |seconds| provider.next_exchange(&record, &usual, began + TimeDelta::seconds(seconds));
    assert_eq!(
        [500, 515, 600].map(next),
        [NextExchange::KeepsGrant, NextExchange::SendsGrant, NextExchange::SendsGrant]
    );
}

#[tokio::test]
async fn logout_sends_the_configured_revoke_request() {
    let (world, server) = (World::new(), service().await);
    let revoke =
        format!("[revoke]\nurl = \"{}/logout\"\nheaders = {{ X-Session = \"{{token}}\" }}\n", server.url);
    let toml = toml(&server, &revoke);
    let logout = async || broker(&world, &toml).logout(World::NAME).await.expect("logged out");
    token(&world, &toml).await.expect("a token");
    assert!(logout().await.at_service.revoked);
    let last = server.requests().pop().expect("a request");
    assert_eq!((last.path.as_str(), last.header("x-session")), ("/logout", Some("session-0")));
    token(&world, &toml).await.expect("a token");
    world.clock.advance(TimeDelta::hours(2));
    let before = server.requests().len();
    let done = logout().await;
    assert!(!done.at_service.revoked && done.at_service.note.is_some());
    assert_eq!(server.requests().len(), before, "a logout sends no request for an expired session");
}

/// Starts a server that answers the revoke request with `status` and `body`. Also returns the provider's configuration.
async fn revoking(status: u16, body: &'static str) -> (RecordingServer, String) {
    let server = RecordingServer::start(move |request| match request.path.as_str() {
        "/logout" => (status, body.to_owned()),
        _ => (200, json!({ "access_token": "KANARIE" }).to_string()),
    })
    .await;
    let url = &server.url;
    let toml = format!(
        "[login]\nurl = \"{url}/login\"\n[revoke]\nurl = \"{url}/logout\"\nauth = \"bearer\"\nerror = \"code\"\n\
         error_final = [\"OVER\"]\n"
    );
    (server, toml)
}

#[tokio::test]
async fn logout_revokes_the_login_if_response_has_no_error() {
    for (body, revoked) in [
        ("", true),
        ("OK", true),
        ("true", true),
        ("[]", true),
        ("{}", true),
        (r#"{"code":null}"#, true),
        (r#"{"code":"OVER"}"#, false),
    ] {
        let (_server, toml) = revoking(200, body).await;
        let world = World::new();
        token(&world, &toml).await.expect("a token");
        let done = broker(&world, &toml).logout(World::NAME).await.expect(body);
        assert_eq!(done.at_service.revoked, revoked, "{body}");
    }
}

#[tokio::test]
async fn failed_revocation_keeps_the_login() {
    for (status, body) in [
        (200, "<html>"),
        (200, r#"{"code":"DOWN"}"#),
        (200, "{\"half"),
        (503, ""),
        (400, r#"{"message":"no"}"#),
    ] {
        let (world, (_server, toml)) = (World::new(), revoking(status, body).await);
        token(&world, &toml).await.expect("a token");
        broker(&world, &toml).logout(World::NAME).await.expect_err(body);
        assert!(world.record().is_some(), "{status} {body}");
    }
}
