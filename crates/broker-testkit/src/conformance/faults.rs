//! Tests renewals under a fault of service or network: the error is transient, and stored token and grant remain.

use std::time::Duration;

use broker_core::{Broker, ErrorKind};
use chrono::TimeDelta;

use super::{
    Subject, expire, is_final, logged_in, make_due, token, token_of_new_process, with_expired_token,
    with_token,
};
use crate::Fault;

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
    let (_, old) = with_token(subject).await;
    let before = subject.world().record().expect("a record");
    expire(subject, &old);
    subject.service().fault_always(subject.renewal_route(), fault);
    let broker = subject.world().broker(subject.provider());
    let error = token(&broker).await.expect_err(name);
    assert_eq!(error.kind(), ErrorKind::Unavailable, "failed test of fault {name}: {error}");
    let after = subject.world().record().expect("a record");
    for key in ["secret", "issued_at", "refused_at"] {
        assert_eq!(
            before["grant"][key], after["grant"][key],
            "failed test of fault {name}: `grant.{key}` changed"
        );
    }
    if name == "hang" && after["grant"].is_object() {
        assert!(
            after["grant"]["sent_at"].is_string(),
            "failed test of fault {name}: the record lacks `grant.sent_at`"
        );
    }
    subject.service().clear_faults();
    if let Some(wait) = error.retry_after() {
        pause_is_respected(subject, name, wait).await;
    }
    let renewed = token(&broker).await;
    renewed.unwrap_or_else(|error| {
        panic!("failed test of fault {name}: the renewal after the fault failed: {error}")
    });
    let after = subject.world().record().expect("a record");
    assert!(
        after["grant"]["sent_at"].is_null(),
        "failed test of fault {name}: the record still contains `grant.sent_at`"
    );
}

/// Checks that another process sends no request until the service's `Retry-After` has passed. Then advances the clock.
async fn pause_is_respected<S: Subject>(subject: &S, name: &str, wait: Duration) {
    subject.service().forget_seen();
    let error = token_of_new_process(subject).await.expect_err("too early");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "failed test of fault {name}: {error}");
    assert!(
        error.retry_after().is_some_and(|left| left <= wait),
        "failed test of fault {name}: no remaining `Retry-After`"
    );
    assert!(
        subject.service().seen().is_empty(),
        "failed test of fault {name}: request sent before `Retry-After` passed"
    );
    subject.world().clock.advance(TimeDelta::from_std(wait).expect("a wait"));
}

pub(super) async fn fault_keeps_stored_token<S: Subject>(subject: &S, name: &str, fault: Fault) {
    let (_, stored) = with_token(subject).await;
    make_due(subject, &stored);
    subject.service().forget_seen();
    subject.service().fault_always(subject.renewal_route(), fault);
    for round in 0..3 {
        let got = token_of_new_process(subject).await;
        let got = got.unwrap_or_else(|error| {
            panic!("failed test of fault {name}: the stored token was lost: {error}")
        });
        assert!(
            got.secret().same_as(stored.secret()),
            "failed test of fault {name}: the stored token was not returned"
        );
        let sent = subject.service().count(subject.renewal_route());
        assert!(
            (1..=3).contains(&sent),
            "failed test of fault {name}: call {round} sent {sent} requests instead of 1 to 3"
        );
    }
}

/// Returns faults that lose the response after the service has processed the request.
pub(super) fn after() -> Vec<(&'static str, Fault)> {
    vec![("cut after", Fault::CutAfter), ("hang after", Fault::HangAfter), ("cut within", Fault::Truncated)]
}

/// Checks that a lost response ends the login only if the service accepts each refresh token once.
pub(super) async fn lost_response<S: Subject>(subject: &S, name: &str, fault: Fault) {
    let (broker, old) = with_expired_token(subject).await;
    let may_end = lost_response_ends_login(subject, &broker).await;
    subject.service().fault(subject.renewal_route(), fault);
    let mut result = token_of_new_process(subject).await;
    if !result.as_ref().is_err_and(is_final) {
        if let Err(error) = result {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "failed test of fault {name}: {error}");
        }
        result = token_of_new_process(subject).await;
    }
    match result {
        Err(error) => {
            assert!(may_end && is_final(&error), "failed test of fault {name}: the renewal failed: {error}");
        }
        Ok(new) => {
            assert!(
                !new.secret().same_as(old.secret()),
                "failed test of fault {name}: expired token was returned"
            );
        }
    }
    let next = token(&logged_in(subject).await).await;
    next.unwrap_or_else(|error| panic!("failed test of fault {name}: no token after a new login: {error}"));
}

/// Returns whether a renewal replaces the stored grant: then the service accepts each grant only once.
/// Moves the clock until the renewed token has expired.
async fn lost_response_ends_login<S: Subject>(subject: &S, broker: &Broker) -> bool {
    let grant = || subject.world().record().expect("a record")["grant"]["secret"].clone();
    let before = grant();
    let renewed = token(broker).await.expect("renewed");
    expire(subject, &renewed);
    before != grant()
}

/// Checks that a new refresh token in a malformed response is stored, because the old token may be invalid.
pub(super) async fn rotated_grant_is_kept<S: Subject>(subject: &S) {
    let (_, old) = with_expired_token(subject).await;
    let fault = Fault::edit(|answer| answer["error"] = "server_error".into());
    subject.service().fault(subject.renewal_route(), fault);
    if let Err(error) = token_of_new_process(subject).await {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "failed test of a rotated grant: {error}");
    }
    let next = token_of_new_process(subject).await;
    let next = next.unwrap_or_else(|error| {
        panic!("failed test of a rotated grant: the new refresh token was lost: {error}")
    });
    assert!(
        !next.secret().same_as(old.secret()),
        "failed test of a rotated grant: the expired token was returned"
    );
}
