//! Tests that a JSON error response of the service is final: the broker does not retry.

use broker_core::{ErrorKind, Hint, TokenRequest};

use super::{
    Subject, assert_kind, assert_new, assert_silent, assert_stored, expire, grant, is_final, logged_in,
    make_due, refusal, token, token_of_new_process, with_token,
};
use crate::World;

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
