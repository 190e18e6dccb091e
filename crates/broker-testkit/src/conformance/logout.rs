//! Tests that a logout revokes the grant at the service and then deletes the record.

use broker_core::ErrorKind;

use super::{Subject, expire, token, token_of_new_process, with_token};
use crate::{Fault, World};

pub(super) async fn deletes_record<S: Subject>(subject: &S) {
    let (broker, stored) = with_token(subject).await;
    let path = subject.world().record_path();
    let before = std::fs::read(&path).expect("a record");
    let has_grant = subject.world().record().expect("a record")["grant"].is_object();
    let out = broker.logout(World::NAME).await.expect("a logout");
    assert!(out.had_login, "failed test of a logout: `LoggedOut::had_login` should be true");
    assert!(!path.exists(), "failed test of a logout: the record still exists");
    if !has_grant {
        let next = token_of_new_process(subject)
            .await
            .expect("failed test of a logout: no token for the configured secret");
        assert!(
            !next.secret().same_as(stored.secret()),
            "failed test of a logout: the deleted token was returned"
        );
        return;
    }
    let error = token(&broker).await.expect_err("logged out");
    assert_eq!(error.kind(), ErrorKind::LoginRequired, "failed test of a logout: {error}");
    if !out.at_service.revoked {
        return;
    }
    // A copy of the deleted record must not work, because its grant is revoked.
    std::fs::write(&path, before).expect("a record");
    expire(subject, &stored);
    let error = token_of_new_process(subject)
        .await
        .expect_err("failed test of a logout: the service still accepts the grant");
    assert_eq!(error.kind(), ErrorKind::LoginRequired, "failed test of a logout: {error}");
}

pub(super) async fn keeps_unrevoked_grant<S: Subject>(subject: &S) {
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
    assert_eq!(error.kind(), ErrorKind::Unavailable, "failed test of a logout: {error}");
    let still = token_of_new_process(subject)
        .await
        .expect("failed test of a failed logout: the stored token was lost");
    assert!(
        still.secret().same_as(stored.secret()),
        "failed test of a failed logout: the stored token was replaced"
    );
    let local = broker
        .provider(World::NAME)
        .expect("a provider")
        .logout_locally()
        .await
        .expect("logout without revocation failed");
    assert!(
        local.had_login,
        "failed test of a logout without revocation: `LoggedOut::had_login` should be true"
    );
    assert!(
        subject.world().record().is_none(),
        "failed test of a logout without revocation: the record still exists"
    );
}
