//! What is no answer of the service's is transient, and leaves what is held.

use std::time::Duration;

use broker_core::{Broker, ErrorKind};
use chrono::TimeDelta;

use super::{Subject, afresh, is_final, leave, logged_in, make_due, token};
use crate::Fault;

/// What goes wrong before the service acts.
pub(super) fn before() -> Vec<(&'static str, Fault)> {
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

pub(super) async fn fault_is_transient<S: Subject>(subject: &S, name: &str, fault: Fault) {
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
    let error = afresh(subject).await.expect_err("too early");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{name}: {error}");
    assert!(error.retry_after().is_some_and(|left| left <= wait), "{name}: the time is told");
    assert_eq!(subject.service().seen().len(), 0, "{name}: the service is left alone");
    subject.world().clock.advance(TimeDelta::from_std(wait).expect("a wait"));
}

pub(super) async fn fault_leaves_the_held_token<S: Subject>(subject: &S, name: &str, fault: Fault) {
    let broker = logged_in(subject).await;
    let held = token(&broker).await.expect("a token");
    make_due(subject, &held);
    subject.service().forget_seen();
    subject.service().fault_always(subject.renewal_route(), fault);
    for round in 0..3 {
        let got = afresh(subject).await;
        let got = got.unwrap_or_else(|error| panic!("{name}: the held token serves: {error}"));
        assert!(got.secret().same_as(held.secret()), "{name}: the held token");
        let asked = subject.service().count(subject.renewal_route());
        assert!((1..=3).contains(&asked), "{name}: round {round}: one try, and what it repeats: {asked}");
    }
}

/// What goes wrong when the service has acted.
pub(super) fn after() -> Vec<(&'static str, Fault)> {
    vec![("cut after", Fault::CutAfter), ("hang after", Fault::HangAfter), ("cut within", Fault::Truncated)]
}

/// An answer that is lost on the way costs at most what the service has spent, and is never final otherwise.
pub(super) async fn lost_answer<S: Subject>(subject: &S, name: &str, fault: Fault) {
    let broker = logged_in(subject).await;
    let old = token(&broker).await.expect("a token");
    leave(subject, &old, TimeDelta::seconds(-1));
    let may_end = loses_login(subject, &broker).await;
    subject.service().fault(subject.renewal_route(), fault);
    let first = afresh(subject).await;
    let again = match &first {
        Err(error) if is_final(error) => {
            assert!(may_end, "{name}: the login is still good at the service: {error}");
            None
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{name}: {error}");
            Some(afresh(subject).await)
        }
        Ok(_) => Some(afresh(subject).await),
    };
    match again {
        Some(Err(error)) => assert!(may_end && is_final(&error), "{name}: works again afterwards: {error}"),
        Some(Ok(new)) => assert!(!new.secret().same_as(old.secret()), "{name}: another token"),
        None => {}
    }
    token(&logged_in(subject).await).await.unwrap_or_else(|error| panic!("{name}: a login mends: {error}"));
}

/// Whether the service spends grants: as the subject says, or as a renewal shows. Leaves an expired token.
async fn loses_login<S: Subject>(subject: &S, broker: &Broker) -> bool {
    if let Some(said) = subject.lost_answer_costs_login() {
        return said;
    }
    let grant = || subject.world().record().expect("a record")["grant"]["secret"].clone();
    let before = grant();
    let renewed = token(broker).await.expect("renewed");
    leave(subject, &renewed, TimeDelta::seconds(-1));
    before != grant()
}

/// A new refresh token beside an error is the login now: the one before may be spent.
pub(super) async fn rotated_grant_is_kept<S: Subject>(subject: &S) {
    let broker = logged_in(subject).await;
    let old = token(&broker).await.expect("a token");
    leave(subject, &old, TimeDelta::seconds(-1));
    let troubled = Fault::edit(|answer| answer["error"] = "server_error".into());
    subject.service().fault(subject.renewal_route(), troubled);
    if let Err(error) = afresh(subject).await {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "rotated: {error}");
    }
    let next =
        afresh(subject).await.unwrap_or_else(|error| panic!("rotated: the new grant is kept: {error}"));
    assert!(!next.secret().same_as(old.secret()), "rotated: another token");
}
