//! The service refuses: for good, whatever the status, and only then.

use broker_core::{ErrorKind, Hint, TokenRequest};
use chrono::TimeDelta;

use super::{Subject, afresh, is_final, leave, logged_in, make_due, refusal, token};
use crate::World;

pub(super) async fn ended_grant_needs_a_login<S: Subject>(subject: &S) {
    let broker = logged_in(subject).await;
    let held = token(&broker).await.expect("a token");
    let grant = subject.world().record().expect("a record")["grant"].is_object();
    if !subject.end_grant() {
        assert!(!grant, "ended: there is a grant, so `end_grant` ends it");
        return;
    }
    let forced = broker.token(World::NAME, &TokenRequest::new().force()).await.expect_err("refused");
    assert_eq!(forced.kind(), ErrorKind::LoginRequired, "ended: {forced}");
    let still = afresh(subject).await.expect("the held token still serves");
    assert!(still.secret().same_as(held.secret()), "ended: the held token");
    leave(subject, &held, TimeDelta::seconds(-1));
    subject.service().forget_seen();
    let error = afresh(subject).await.expect_err("a login is needed");
    assert_eq!(error.kind(), ErrorKind::LoginRequired, "ended: {error}");
    assert_eq!(error.hint(), Some(&Hint::LogIn), "a new login is needed");
    assert!(subject.service().seen().is_empty(), "ended: a refused grant is not tried again");
    let broker = logged_in(subject).await;
    token(&broker).await.expect("a new login mends it");
}

/// A refusal that is not of the grant: final, and what is held still serves.
pub(super) async fn refusal_is_final<S: Subject>(subject: &S) {
    let broker = logged_in(subject).await;
    let held = token(&broker).await.expect("a token");
    make_due(subject, &held);
    subject.service().fault_always(subject.renewal_route(), refusal(401, "invalid_client", "unknown client"));
    let forced = broker.token(World::NAME, &TokenRequest::new().force()).await.expect_err("refused");
    assert!(is_final(&forced), "refused: {forced}");
    let still = afresh(subject).await.expect("refused: the held token still serves");
    assert!(still.secret().same_as(held.secret()), "refused: the held token");
    leave(subject, &held, TimeDelta::seconds(-1));
    let error = afresh(subject).await.expect_err("refused");
    assert!(is_final(&error), "refused: {error}");
    subject.service().clear_faults();
    let mended = token(&logged_in(subject).await).await.expect("refused: a new login mends it");
    assert!(!mended.secret().same_as(held.secret()), "refused: another token");
}
