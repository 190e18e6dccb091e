//! Logins of two requests, and what is revoked.

use broker_core::{Clock, ErrorKind, Lifetime, Login, Record, TokenRequest};
use broker_testkit::World;
use chrono::TimeDelta;
use serde_json::json;

use crate::provider;
use crate::stand::{Asked, Stand};

/// A session first, and with it the token; both end, the session sooner.
async fn service() -> Stand {
    let count = std::sync::atomic::AtomicUsize::new(0);
    Stand::start(move |asked: &Asked| {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        match asked.path.as_str() {
            "/login" => (200, json!({ "session": format!("session-{n}"), "ttl": 600 }).to_string()),
            "/token" if asked.header("x-session").is_some_and(|id| id.starts_with("session-")) => {
                (200, json!({ "access_token": format!("token-{n}"), "expires_in": 3600 }).to_string())
            }
            "/logout" => (200, String::new()),
            _ => (401, "{}".to_owned()),
        }
    })
    .await
}

fn toml(stand: &Stand, more: &str) -> String {
    let url = &stand.url;
    format!(
        "username = \"ada\"\npassword = \"KANARIE\"\n\
         [login]\nurl = \"{url}/login\"\njson = {{ u = \"{{username}}\", p = \"{{password}}\" }}\n\
         token = \"session\"\nexpires = \"ttl\"\n\
         [mint]\nurl = \"{url}/token\"\nmethod = \"GET\"\nheaders = {{ X-Session = \"{{token}}\" }}\n\
         expires = \"expires_in\"\n{more}"
    )
}

fn paths(stand: &Stand) -> Vec<String> {
    stand.asked().into_iter().map(|asked| asked.path).collect()
}

#[tokio::test]
async fn without_scopes_two_requests_make_the_usual_token() {
    let (world, stand) = (World::new(), service().await);
    let toml = toml(&stand, "");
    let broker = || world.broker(provider(&world, &toml));
    let usual = TokenRequest::new();
    let token = broker().token(World::NAME, &usual).await.expect("a token");
    assert_eq!(token.secret().expose(), "token-1");
    assert_eq!(broker().token(World::NAME, &usual).await.expect("held").secret().expose(), "token-1");
    assert_eq!(paths(&stand), ["/login", "/token"]);
    // The session still serves.
    world.clock.advance(TimeDelta::minutes(5));
    let token = broker().token(World::NAME, &usual.clone().force()).await.expect("a token");
    assert_eq!((token.secret().expose(), paths(&stand).len()), ("token-2", 3));
    // Both are over.
    world.clock.advance(TimeDelta::hours(2));
    broker().token(World::NAME, &usual).await.expect("a token");
    assert_eq!(paths(&stand)[3..], ["/login", "/token"]);
    // Nobody gets the session for a token.
    let scoped = TokenRequest::new().scope("(login)");
    let error = broker().token(World::NAME, &scoped).await.expect_err("no scopes");
    assert_eq!(error.kind(), ErrorKind::Usage);
    let life = TokenRequest::new().expires("7d".parse().expect("a life"));
    assert_eq!(broker().token(World::NAME, &life).await.expect_err("no").kind(), ErrorKind::Usage);
}

#[tokio::test]
async fn after_a_login_the_first_token_is_no_answer() {
    let (world, stand) = (World::new(), service().await);
    let toml = toml(&stand, "");
    world.broker(provider(&world, &toml)).login(World::NAME, Login::Usual).await.expect("a login");
    let token = world.broker(provider(&world, &toml)).token(World::NAME, &TokenRequest::new()).await;
    assert_eq!(token.expect("a token").secret().expose(), "token-1");
    assert_eq!(paths(&stand), ["/login", "/token"]);
}

#[tokio::test]
async fn an_end_with_a_time_is_the_end_that_is_asked() {
    let (world, stand) = (World::new(), service().await);
    let toml = toml(&stand, "query = { until = \"{expires:YYYY-MM-DD HH:mm:ss}\" }\nlife = \"3h\"\n");
    let broker = world.broker(provider(&world, &toml));
    let until = |asked: Asked| asked.query.replace("%3A", ":").replace('+', " ");
    let at = |hours| (world.clock.now() + TimeDelta::hours(hours)).format("until=%F %T").to_string();
    broker.token(World::NAME, &TokenRequest::new()).await.expect("a token");
    assert_eq!(until(stand.asked().pop().expect("a request")), at(3));
    let request = TokenRequest::new().expires("36h".parse().expect("a life")).force();
    world.clock.advance(TimeDelta::seconds(1));
    broker.token(World::NAME, &request).await.expect("a token");
    assert_eq!(until(stand.asked().pop().expect("a request")), at(36));
    let over = TokenRequest::new().expires(Lifetime::Until(world.clock.now().date_naive())).force();
    assert_eq!(broker.token(World::NAME, &over).await.expect_err("over").kind(), ErrorKind::Usage);
}

#[tokio::test]
async fn a_date_of_any_pattern_is_asked_for() {
    let (world, stand) = (World::new(), service().await);
    let toml =
        toml(&stand, "query = { d = \"{expires:MM/DD/YYYY}\", s = \"{scope}\" }\nscopes = [\"a\", \"b\"]\n");
    let request = TokenRequest::new().scope("b").scope("a").expires("7d".parse().expect("a life"));
    let token = world.broker(provider(&world, &toml)).token(World::NAME, &request).await.expect("a token");
    assert_eq!(token.scope(), Some("a b"));
    let day = (world.clock.now() + TimeDelta::days(7)).format("d=%m%%2F%d%%2F%Y&s=a+b").to_string();
    assert_eq!(stand.asked().pop().expect("a request").query, day);
}

/// The exchange comes a little after the broker's question whether it would send the refresh token.
#[tokio::test]
async fn what_may_send_the_refresh_token_says_so_before() {
    let stand = Stand::start(|asked| match asked.path.as_str() {
        "/login" => (200, json!({ "session": "s", "ttl": 600, "refresh_token": "KANARIE" }).to_string()),
        _ => (200, json!({ "access_token": "t" }).to_string()),
    })
    .await;
    let refresh =
        format!("[refresh]\nurl = \"{}/refresh\"\nform = {{ t = \"{{refresh_token}}\" }}\n", stand.url);
    let world = World::new();
    let provider = provider(&world, &toml(&stand, &refresh));
    let (usual, began) = (TokenRequest::new(), world.clock.now());
    world.broker(provider.clone()).login(World::NAME, Login::Usual).await.expect("a login");
    let record: Record = serde_json::from_value(world.record().expect("a record")).expect("a record");
    let spends = |seconds| provider.spends_grant(&record, &usual, began + TimeDelta::seconds(seconds));
    // The session mints until half a minute before its end.
    assert!(!spends(500) && spends(515) && spends(600));
}

#[tokio::test]
async fn logout_revokes_what_is_held() {
    let (world, stand) = (World::new(), service().await);
    let revoke =
        format!("[revoke]\nurl = \"{}/logout\"\nheaders = {{ X-Session = \"{{token}}\" }}\n", stand.url);
    let toml = toml(&stand, &revoke);
    let broker = || world.broker(provider(&world, &toml));
    broker().token(World::NAME, &TokenRequest::new()).await.expect("a token");
    let done = broker().logout(World::NAME, false).await.expect("logged out");
    assert!(done.at_service.revoked);
    let last = stand.asked().pop().expect("a request");
    assert_eq!((last.path.as_str(), last.header("x-session")), ("/logout", Some("session-0")));
    // What is over needs no revocation, and no login for it.
    broker().token(World::NAME, &TokenRequest::new()).await.expect("a token");
    world.clock.advance(TimeDelta::hours(2));
    let before = stand.asked().len();
    let done = broker().logout(World::NAME, false).await.expect("logged out");
    assert!(!done.at_service.revoked && done.at_service.note.is_some());
    assert_eq!(stand.asked().len(), before);
}

/// A stand that gives a token and answers this to a logout, and the configuration for it.
async fn revoking(status: u16, body: &'static str) -> (Stand, String) {
    let stand = Stand::start(move |asked| match asked.path.as_str() {
        "/logout" => (status, body.to_owned()),
        _ => (200, json!({ "access_token": "KANARIE" }).to_string()),
    })
    .await;
    let url = &stand.url;
    let toml = format!(
        "[login]\nurl = \"{url}/login\"\n[revoke]\nurl = \"{url}/logout\"\nauth = \"bearer\"\nerror = \"code\"\n\
         error_final = [\"OVER\"]\n"
    );
    (stand, toml)
}

#[tokio::test]
async fn a_success_that_says_nothing_else_is_a_revocation() {
    for (body, revoked) in [
        ("", true),
        ("OK", true),
        ("true", true),
        ("[]", true),
        ("{}", true),
        (r#"{"code":null}"#, true),
        (r#"{"code":"OVER"}"#, false),
    ] {
        let (_stand, toml) = revoking(200, body).await;
        let world = World::new();
        let broker = world.broker(provider(&world, &toml));
        broker.token(World::NAME, &TokenRequest::new()).await.expect("a token");
        let done = broker.logout(World::NAME, false).await.unwrap_or_else(|error| panic!("{body}: {error}"));
        assert_eq!(done.at_service.revoked, revoked, "{body}");
    }
}

#[tokio::test]
async fn a_revocation_that_did_not_work_keeps_the_login() {
    for (status, body) in [
        (200, "<html>"),
        (200, r#"{"code":"DOWN"}"#),
        (200, "{\"half"),
        (503, ""),
        (400, r#"{"message":"no"}"#),
    ] {
        let (world, (_stand, toml)) = (World::new(), revoking(status, body).await);
        let broker = world.broker(provider(&world, &toml));
        broker.token(World::NAME, &TokenRequest::new()).await.expect("a token");
        broker.logout(World::NAME, false).await.expect_err("not logged out");
        assert!(world.record().is_some(), "{status} {body}");
    }
}
