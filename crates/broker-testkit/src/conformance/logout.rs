//! Tests that a logout revokes the grant at the service and then deletes the record.

use broker_core::ErrorKind;

use super::{
    Subject, assert_kind, assert_new, assert_stored, expire, grant, token, token_of_new_process, with_token,
};
use crate::{Fault, World};

pub(super) async fn deletes_record<S: Subject>(subject: &S) {
    const CASE: &str = "a logout";
    let (broker, stored) = with_token(subject).await;
    let path = subject.world().record_path();
    let before = std::fs::read(&path).expect("a record");
    let has_grant = grant(subject).is_object();
    let out = broker.logout(World::NAME).await.expect("a logout");
    assert!(out.had_login, "failed test of {CASE}: `LoggedOut::had_login` should be true");
    assert!(!path.exists(), "failed test of {CASE}: the record still exists");
    if !has_grant {
        let next = token_of_new_process(subject).await.expect("a token for the configured secret");
        assert_new(&next, &stored, CASE);
        return;
    }
    let error = token(&broker).await.expect_err("logged out");
    assert_kind(&error, ErrorKind::LoginRequired, CASE);
    if !out.at_service.revoked {
        return;
    }
    // A copy of the deleted record must not work, because its grant is revoked.
    std::fs::write(&path, before).expect("a record");
    expire(subject, &stored);
    let error = token_of_new_process(subject).await;
    let error = error.expect_err("failed test of a logout: the service still accepts the grant");
    assert_kind(&error, ErrorKind::LoginRequired, CASE);
}

pub(super) async fn keeps_unrevoked_grant<S: Subject>(subject: &S) {
    const CASE: &str = "a failed logout";
    let (broker, stored) = with_token(subject).await;
    subject.service().forget_seen();
    subject.service().fault_always("*", Fault::Status(503));
    let out = broker.logout(World::NAME).await;
    let requested = !subject.service().seen().is_empty();
    subject.service().clear_faults();
    let Err(error) = out else {
        assert!(!requested, "failed test of a logout: the revocation failed, but the logout succeeded");
        return;
    };
    assert_kind(&error, ErrorKind::Unavailable, CASE);
    assert_stored(subject, &stored, CASE).await;
    let provider = broker.provider(World::NAME).expect("a provider");
    let local = provider.logout_locally().await.expect("a logout without revocation");
    assert!(local.had_login, "failed test of {CASE}: `LoggedOut::had_login` should be true");
    assert!(subject.world().record().is_none(), "failed test of {CASE}: the record still exists");
}
