//! What must hold for every provider. Its author says how its service is had ([`Subject`]) and runs the suite:
//!
//! ```text
//! #[tokio::test]
//! async fn conforms() {
//!     broker_testkit::conformance::run(MyService::subject).await;
//! }
//! ```

use std::sync::Arc;
use std::time::Duration;

use broker_core::{Broker, ErrorKind, Login, Provider, Result, Secret, Token, TokenRequest};
use chrono::TimeDelta;

use crate::{Fault, Server, World};

/// A provider and its stand-in, in a world where a login succeeds.
pub trait Subject: Send + Sync {
    /// The world; its clock is the stand-in's too.
    fn world(&self) -> &World;

    /// The provider.
    fn provider(&self) -> Arc<dyn Provider>;

    /// The same provider, configured for another issuer.
    fn elsewhere(&self) -> Arc<dyn Provider>;

    /// Its stand-in.
    fn service(&self) -> &Server;

    /// The route that renews an expired token.
    fn renewal_route(&self) -> &str;

    /// Ends the grant at the service, as an administrator would; `false` if there is no grant.
    fn end_grant(&self) -> bool;

    /// The secrets that a renewal sends beside the grant.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Runs a provider through the suite: each case with a subject of its own.
///
/// # Panics
/// If a case fails, with its name.
pub async fn run<S: Subject>(subject: impl Fn() -> S) {
    held_token_is_used(&subject()).await;
    expired_token_is_renewed(&subject()).await;
    one_exchange_for_all(&subject()).await;
    dropped_call_loses_nothing(&subject()).await;
    for (name, fault) in faults() {
        fault_is_transient(&subject(), name, fault.clone()).await;
        fault_leaves_the_held_token(&subject(), name, fault).await;
    }
    ended_grant_needs_a_login(&subject()).await;
    other_issuer_gets_nothing(&subject()).await;
    secrets_are_not_seen(&subject()).await;
}

fn faults() -> Vec<(&'static str, Fault)> {
    let later = vec![("retry-after".to_owned(), "3600".to_owned())];
    vec![
        ("429", Fault::Answer { status: 429, headers: later, body: String::new() }),
        ("500", Fault::Status(500)),
        ("503", Fault::Status(503)),
        ("hang", Fault::Hang),
        ("cut before", Fault::CutBefore),
        ("garbage", Fault::Garbage),
        ("a web page", Fault::Html(200)),
        ("a web page with 401", Fault::Html(401)),
        ("a web page with 403", Fault::Html(403)),
        ("nothing", Fault::Empty(200)),
        ("10 MB", Fault::Huge(10_000_000)),
        ("a redirect", Fault::Redirect("https://elsewhere.example/token".to_owned())),
        ("half an answer", Fault::Answer { status: 200, headers: vec![], body: "{\"access".to_owned() }),
        ("an object without a token", Fault::Answer { status: 200, headers: vec![], body: "{}".to_owned() }),
        (
            "invalid_grant with 503",
            Fault::Answer { status: 503, headers: vec![], body: "{\"error\":\"invalid_grant\"}".to_owned() },
        ),
    ]
}

async fn logged_in<S: Subject>(subject: &S) -> Broker {
    let broker = subject.world().broker(subject.provider());
    broker.login(World::NAME, Login::Usual).await.expect("a login");
    broker
}

async fn token(broker: &Broker) -> Result<Token> {
    broker.token(World::NAME, &TokenRequest::new()).await
}

/// Moves the clock so that this much of the held token's life is left; negative: so long after its end.
fn leave<S: Subject>(subject: &S, token: &Token, left: TimeDelta) {
    let expires_at = token.expires_at().expect("a token that expires");
    subject.world().clock.advance(expires_at - left - broker_core::Clock::now(&subject.world().clock));
}

async fn held_token_is_used<S: Subject>(subject: &S) {
    let broker = logged_in(subject).await;
    let first = token(&broker).await.expect("a token");
    subject.service().forget_seen();
    // A new process finds it on the disk.
    let second = token(&subject.world().broker(subject.provider())).await.expect("the held token");
    assert!(first.secret().same_as(second.secret()), "held: the same token");
    assert!(subject.service().seen().is_empty(), "held: no request");
}

async fn expired_token_is_renewed<S: Subject>(subject: &S) {
    let broker = logged_in(subject).await;
    let mut last = token(&broker).await.expect("a token");
    for round in 0..3 {
        leave(subject, &last, TimeDelta::seconds(-1));
        let next = token(&broker).await.unwrap_or_else(|error| panic!("renewed, round {round}: {error}"));
        assert!(!next.secret().same_as(last.secret()), "renewed: another token");
        last = next;
    }
}

async fn one_exchange_for_all<S: Subject>(subject: &S) {
    let broker = logged_in(subject).await;
    let old = token(&broker).await.expect("a token");
    leave(subject, &old, TimeDelta::seconds(-1));
    subject.service().forget_seen();
    let asking: Vec<_> = (0..200)
        .map(|_| {
            let broker = broker.clone();
            tokio::spawn(async move { token(&broker).await })
        })
        .collect();
    for asked in asking {
        let new = asked.await.expect("a task").expect("a token");
        assert!(!new.secret().same_as(old.secret()), "all: the new token");
    }
    assert_eq!(subject.service().count(subject.renewal_route()), 1, "all: one exchange");
}

async fn dropped_call_loses_nothing<S: Subject>(subject: &S) {
    let broker = logged_in(subject).await;
    let old = token(&broker).await.expect("a token");
    leave(subject, &old, TimeDelta::seconds(-1));
    subject.service().forget_seen();
    let route = subject.renewal_route();
    subject.service().fault(route, Fault::Delay(Duration::from_millis(50)));
    let asked = tokio::time::timeout(Duration::from_millis(5), token(&broker)).await;
    assert!(asked.is_err(), "dropped: before the answer came");
    broker.settled().await;
    let kept = token(&subject.world().broker(subject.provider())).await.expect("a token");
    assert!(!kept.secret().same_as(old.secret()), "dropped: the new token is there");
    assert_eq!(subject.service().count(route), 1, "dropped: nothing was asked twice");
}

async fn fault_is_transient<S: Subject>(subject: &S, name: &str, fault: Fault) {
    let broker = logged_in(subject).await;
    let old = token(&broker).await.expect("a token");
    let before = subject.world().record().expect("a record");
    leave(subject, &old, TimeDelta::seconds(-1));
    subject.service().fault_always(subject.renewal_route(), fault);
    let broker = subject.world().broker(subject.provider());
    let error = token(&broker).await.expect_err(name);
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{name}: {error}");
    let after = subject.world().record().expect("a record");
    for key in ["secret", "issued_at", "refused_at"] {
        assert_eq!(before["grant"][key], after["grant"][key], "{name}: the grant is as it was: {key}");
    }
    if name == "hang" && after["grant"].is_object() {
        assert!(after["grant"]["sent_at"].is_string(), "{name}: the journal says that the grant was sent");
    }
    subject.service().clear_faults();
    if let Some(wait) = error.retry_after() {
        rest_is_kept(subject, name, wait).await;
    }
    token(&broker).await.unwrap_or_else(|error| panic!("{name}: works again afterwards: {error}"));
    let after = subject.world().record().expect("a record");
    assert!(after["grant"]["sent_at"].is_null(), "{name}: the journal is closed");
}

/// Who asked to be left alone for a while is, also by processes that did not hear it, and not a moment longer.
async fn rest_is_kept<S: Subject>(subject: &S, name: &str, wait: Duration) {
    subject.service().forget_seen();
    let error = token(&subject.world().broker(subject.provider())).await.expect_err("too early");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{name}: {error}");
    assert!(error.retry_after().is_some_and(|left| left <= wait), "{name}: the time is told");
    assert_eq!(subject.service().seen().len(), 0, "{name}: the service is left alone");
    subject.world().clock.advance(TimeDelta::from_std(wait).expect("a wait"));
}

async fn fault_leaves_the_held_token<S: Subject>(subject: &S, name: &str, fault: Fault) {
    let broker = logged_in(subject).await;
    let held = token(&broker).await.expect("a token");
    let advisory = held.window().renews_at().expect("a window") - held.expires_at().expect("an end");
    leave(subject, &held, -advisory - TimeDelta::seconds(1));
    subject.service().forget_seen();
    subject.service().fault_always(subject.renewal_route(), fault);
    for round in 0..3 {
        let got = token(&subject.world().broker(subject.provider())).await;
        let got = got.unwrap_or_else(|error| panic!("{name}: the held token serves: {error}"));
        assert!(got.secret().same_as(held.secret()), "{name}: the held token");
        let asked = subject.service().count(subject.renewal_route());
        assert!((1..=3).contains(&asked), "{name}: round {round}: one try, and what it repeats: {asked}");
    }
}

async fn ended_grant_needs_a_login<S: Subject>(subject: &S) {
    let broker = logged_in(subject).await;
    let held = token(&broker).await.expect("a token");
    if !subject.end_grant() {
        return;
    }
    let forced = broker.token(World::NAME, &TokenRequest::new().force()).await.expect_err("refused");
    assert_eq!(forced.kind(), ErrorKind::LoginRequired, "ended: {forced}");
    let still =
        token(&subject.world().broker(subject.provider())).await.expect("the held token still serves");
    assert!(still.secret().same_as(held.secret()), "ended: the held token");
    leave(subject, &held, TimeDelta::seconds(-1));
    subject.service().forget_seen();
    let error = token(&subject.world().broker(subject.provider())).await.expect_err("a login is needed");
    assert_eq!(error.kind(), ErrorKind::LoginRequired, "ended: {error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("broker login")), "ended: the command is named");
    assert!(subject.service().seen().is_empty(), "ended: a refused grant is not tried again");
    let broker = logged_in(subject).await;
    token(&broker).await.expect("a new login mends it");
}

async fn other_issuer_gets_nothing<S: Subject>(subject: &S) {
    let broker = logged_in(subject).await;
    let held = token(&broker).await.expect("a token");
    subject.service().forget_seen();
    let elsewhere = subject.world().broker(subject.elsewhere());
    if let Ok(got) = token(&elsewhere).await {
        assert!(!got.secret().same_as(held.secret()), "issuer: not the other's token");
    }
    let sent = format!("{:?}", subject.service().seen());
    assert!(!sent.contains(held.secret().expose()), "issuer: nothing of the other's is sent");
    // Back again, nothing is lost.
    let back = token(&subject.world().broker(subject.provider())).await.expect("the held token");
    assert!(back.secret().same_as(held.secret()), "issuer: what was held is still held");
}

async fn secrets_are_not_seen<S: Subject>(subject: &S) {
    let broker = logged_in(subject).await;
    let held = token(&broker).await.expect("a token");
    let record = subject.world().record().expect("a record");
    let mut secrets = subject.secrets();
    secrets.extend(record["grant"]["secret"].as_str().map(str::to_owned));
    // A service can only say back what it is told.
    let echo = secrets.join(" ");
    secrets.push(held.secret().expose().to_owned());
    let status = broker.status(World::NAME).expect("a status");
    let before = format!("{held:?} {status:?} {:?}", Secret::new(held.secret().expose()));
    leave(subject, &held, TimeDelta::seconds(-1));
    let body = serde_json::json!({ "error": "invalid_request", "error_description": echo, "detail": echo });
    let echo = Fault::Answer { status: 400, headers: vec![], body: body.to_string() };
    subject.service().fault_always("*", echo);
    let error = token(&broker).await.expect_err("refused");
    let seen = format!("{before} {error} {error:?} {:?}", subject.world().person.told());
    for secret in secrets {
        assert!(!seen.contains(&secret), "secrets: one is seen in {seen}");
    }
}
