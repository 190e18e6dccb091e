//! Tests renewals under a fault of service or network: the error is transient, and stored token and grant remain. A
//! refusal in JSON is final: the broker does not retry.

use std::time::Duration;

use broker_core::{Broker, ErrorKind, Hint, TokenRequest};
use chrono::TimeDelta;

use super::{
    Subject, assert_kind, assert_new, assert_silent, assert_stored, expire, grant, is_final, logged_in,
    make_due, refusal, token, token_of_new_process, with_expired_token, with_token,
};
use crate::{Fault, World};

/// Returns faults that prevent the service from processing a request.
pub(super) fn before() -> Vec<(&'static str, Fault)> {
    let later = vec![("retry-after".to_owned(), "3600".to_owned())];
    let answer = |status, body: &str| Fault::Answer { status, headers: vec![], body: body.to_owned() };
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
        ("an empty body", Fault::Empty(200)),
        ("10 MB", Fault::Huge(10_000_000)),
        ("a redirect", Fault::Redirect("https://elsewhere.example/token".to_owned())),
        ("half a response", answer(200, "{\"access")),
        ("a JSON response without a token", answer(200, "{}")),
        ("invalid_grant with 503", answer(503, "{\"error\":\"invalid_grant\"}")),
    ]
}

pub(super) async fn fault_is_transient<S: Subject>(subject: &S, name: &str, fault: Fault) {
    let case = format!("fault {name}");
    let _ = with_expired_token(subject).await;
    let before = grant(subject);
    subject.service().fault_always(subject.renewal_route(), fault);
    let broker = subject.world().broker(subject.provider());
    let error = token(&broker).await.expect_err(name);
    assert_kind(&error, ErrorKind::Unavailable, &case);
    let after = grant(subject);
    for key in ["secret", "issued_at", "refused_at"] {
        assert_eq!(before[key], after[key], "failed test of {case}: `grant.{key}` changed");
    }
    if name == "hang" && after.is_object() {
        assert!(after["sent_at"].is_string(), "failed test of {case}: the record lacks `grant.sent_at`");
    }
    subject.service().clear_faults();
    if let Some(wait) = error.retry_after() {
        pause_is_respected(subject, &case, wait).await;
    }
    token(&broker).await.unwrap_or_else(|error| panic!("failed test of {case}: no renewal after: {error}"));
    assert!(grant(subject)["sent_at"].is_null(), "failed test of {case}: the record keeps `grant.sent_at`");
}

/// Checks that another process sends no request until the service's `Retry-After` has passed. Then advances the clock.
async fn pause_is_respected<S: Subject>(subject: &S, case: &str, wait: Duration) {
    subject.service().forget_seen();
    let error = token_of_new_process(subject).await.expect_err("too early");
    assert_kind(&error, ErrorKind::Unavailable, case);
    let remains = error.retry_after().is_some_and(|left| left <= wait);
    assert!(remains, "failed test of {case}: no remaining `Retry-After`");
    assert_silent(subject, case);
    subject.world().clock.advance(TimeDelta::from_std(wait).expect("a wait"));
}

pub(super) async fn fault_keeps_stored_token<S: Subject>(subject: &S, name: &str, fault: Fault) {
    let (_, stored) = with_token(subject).await;
    make_due(subject, &stored);
    subject.service().forget_seen();
    subject.service().fault_always(subject.renewal_route(), fault);
    for round in 0..3 {
        assert_stored(subject, &stored, &format!("fault {name}")).await;
        let sent = subject.service().count(subject.renewal_route());
        assert!(
            (1..=3).contains(&sent),
            "failed test of fault {name}: call {round}: {sent} requests, not 1 to 3"
        );
    }
}

/// Returns faults that lose the response after the service has processed the request.
pub(super) fn after() -> Vec<(&'static str, Fault)> {
    vec![("cut after", Fault::CutAfter), ("hang after", Fault::HangAfter), ("cut within", Fault::Truncated)]
}

/// Checks that a lost response ends the login only if the service accepts each refresh token once.
pub(super) async fn lost_response<S: Subject>(subject: &S, name: &str, fault: Fault) {
    let case = format!("fault {name}");
    let (broker, old) = with_expired_token(subject).await;
    let may_end = lost_response_ends_login(subject, &broker).await;
    subject.service().fault(subject.renewal_route(), fault);
    let mut result = token_of_new_process(subject).await;
    if !result.as_ref().is_err_and(is_final) {
        if let Err(error) = result {
            assert_kind(&error, ErrorKind::Unavailable, &case);
        }
        result = token_of_new_process(subject).await;
    }
    match result {
        Err(error) => assert!(may_end && is_final(&error), "failed test of {case}: {error}"),
        Ok(new) => assert_new(&new, &old, &case),
    }
    let next = token(&logged_in(subject).await).await;
    next.unwrap_or_else(|error| panic!("failed test of {case}: no token after a new login: {error}"));
}

/// Returns whether a renewal replaces the stored grant: then the service accepts each grant only once.
/// Moves the clock until the renewed token has expired.
async fn lost_response_ends_login<S: Subject>(subject: &S, broker: &Broker) -> bool {
    let before = grant(subject);
    let renewed = token(broker).await.expect("renewed");
    expire(subject, &renewed);
    before["secret"] != grant(subject)["secret"]
}

/// Checks that a new refresh token in a malformed response is stored, because the old token may be invalid.
pub(super) async fn rotated_grant_is_kept<S: Subject>(subject: &S) {
    let (_, old) = with_expired_token(subject).await;
    let fault = Fault::edit(|answer| answer["error"] = "server_error".into());
    subject.service().fault(subject.renewal_route(), fault);
    if let Err(error) = token_of_new_process(subject).await {
        assert_kind(&error, ErrorKind::Unavailable, "a rotated grant");
    }
    let next = token_of_new_process(subject).await;
    let next = next.unwrap_or_else(|error| panic!("failed test of a rotated grant: it was lost: {error}"));
    assert_new(&next, &old, "a rotated grant");
}

pub(super) async fn ended_grant_needs_a_login<S: Subject>(subject: &S) {
    const CASE: &str = "a refused grant";
    let (broker, stored) = with_token(subject).await;
    let has_grant = grant(subject).is_object();
    if !subject.end_grant() {
        assert!(!has_grant, "`Subject::end_grant` returned false, but the record has a grant");
        return;
    }
    let forced = broker.token(World::NAME, &TokenRequest::new().force()).await.expect_err("refused");
    assert_kind(&forced, ErrorKind::LoginRequired, CASE);
    assert_stored(subject, &stored, CASE).await;
    expire(subject, &stored);
    subject.service().forget_seen();
    let error = token_of_new_process(subject).await.expect_err("a login is needed");
    assert_kind(&error, ErrorKind::LoginRequired, CASE);
    assert_eq!(error.hint(), Some(&Hint::LogIn), "failed test of a refused grant: the hint");
    assert_silent(subject, CASE);
    let renewed = token(&logged_in(subject).await).await;
    renewed.expect("failed test of a refused grant: no token after a new login");
}

/// Checks that `invalid_client` is final, and that the stored token is still used.
pub(super) async fn refusal_is_final<S: Subject>(subject: &S) {
    const CASE: &str = "a refused client";
    let (broker, stored) = with_token(subject).await;
    make_due(subject, &stored);
    subject.service().fault_always(subject.renewal_route(), refusal(401, "invalid_client", "unknown client"));
    let forced = broker.token(World::NAME, &TokenRequest::new().force()).await.expect_err("refused");
    assert!(is_final(&forced), "failed test of {CASE}: {forced}");
    assert_stored(subject, &stored, CASE).await;
    expire(subject, &stored);
    let error = token_of_new_process(subject).await.expect_err("refused");
    assert!(is_final(&error), "failed test of {CASE}: {error}");
    subject.service().clear_faults();
    let renewed = token(&logged_in(subject).await).await;
    let renewed = renewed.expect("failed test of a refused client: no token after a new login");
    assert_new(&renewed, &stored, CASE);
}
