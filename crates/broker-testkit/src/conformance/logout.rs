//! Logging out: what can be revoked is revoked, then all is forgotten.

use broker_core::ErrorKind;
use chrono::TimeDelta;

use super::{Subject, afresh, leave, logged_in, token};
use crate::{Fault, World};

pub(super) async fn forgets<S: Subject>(subject: &S) {
    let broker = logged_in(subject).await;
    let held = token(&broker).await.expect("a token");
    let path = subject.world().record_path();
    let before = std::fs::read(&path).expect("a record");
    let had_grant = subject.world().record().expect("a record")["grant"].is_object();
    let out = broker.logout(World::NAME, false).await.expect("a logout");
    assert!(out.had_login, "logout: something was held");
    assert!(!path.exists(), "logout: the record is gone");
    if !had_grant {
        let next = afresh(subject).await.expect("logout: a configured secret still serves");
        assert!(!next.secret().same_as(held.secret()), "logout: the token is forgotten");
        return;
    }
    let error = token(&broker).await.expect_err("logged out");
    assert_eq!(error.kind(), ErrorKind::LoginRequired, "logout: {error}");
    if !out.at_service.revoked {
        return;
    }
    // Whoever has copied the record has nothing.
    std::fs::write(&path, before).expect("a record");
    leave(subject, &held, TimeDelta::seconds(-1));
    let error = afresh(subject).await.expect_err("logout: what is revoked buys nothing");
    assert_eq!(error.kind(), ErrorKind::LoginRequired, "logout: {error}");
}

pub(super) async fn keeps_what_was_not_revoked<S: Subject>(subject: &S) {
    let broker = logged_in(subject).await;
    let held = token(&broker).await.expect("a token");
    subject.service().forget_seen();
    subject.service().fault_always("*", Fault::Status(503));
    let out = broker.logout(World::NAME, false).await;
    let asked = !subject.service().seen().is_empty();
    subject.service().clear_faults();
    let Err(error) = out else {
        assert!(!asked, "logout: the service was asked and did not answer: that is an error");
        return;
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "logout: {error}");
    let still = afresh(subject).await.expect("logout: what was not revoked is kept");
    assert!(still.secret().same_as(held.secret()), "logout: the held token");
    assert!(broker.logout(World::NAME, true).await.expect("a local logout").had_login, "logout: locally");
    assert!(subject.world().record().is_none(), "logout: locally, the record is gone");
}
