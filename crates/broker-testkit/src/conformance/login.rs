//! Tests of failed logins, and that a logout revokes the grant at the service and then deletes the record.

use broker_core::{Clock, Error, ErrorKind};

use super::{
    Subject, assert_kind, assert_new, assert_stored, expire, grant, is_final, log_in, logged_in, refusal,
    token, token_of_new_process, with_token,
};
use crate::{Fault, World};

/// Checks that a login fails with a final error if the service responds with `access_denied`.
pub(super) async fn denied<S: Subject>(subject: &S) {
    let secrets = subject.login_secrets().join(" ");
    let denied = refusal(403, "access_denied", &format!("not for you {secrets}"));
    fails_without_loss(subject, "denied", subject.login_route(), denied, is_final).await;
}

/// Checks the error of a device login that the user does not approve before the code expires.
pub(super) async fn never_approved<S: Subject>(subject: &S) {
    logged_in(subject).await;
    if !subject.world().person.told().iter().any(|told| told.starts_with("code ")) {
        return;
    }
    let route = subject.renewal_route();
    for code in ["authorization_pending", "expired_token"] {
        let ends_login = |error: &_| Error::kind(error) == ErrorKind::LoginRequired;
        fails_without_loss(subject, code, route, refusal(400, code, "not approved"), ends_login).await;
    }
    fails_without_loss(subject, "denied late", route, refusal(400, "access_denied", "no"), is_final).await;
}

/// Checks that a login fails with a transient error, not as denied, if the service is unreachable.
pub(super) async fn fault_is_transient<S: Subject>(subject: &S, name: &str, fault: Fault) {
    let transient = |error: &_| Error::kind(error) == ErrorKind::Unavailable;
    fails_without_loss(subject, name, "*", fault, transient).await;
}

async fn fails_without_loss<S: Subject>(
    subject: &S,
    name: &str,
    route: &str,
    fault: Fault,
    fits: impl Fn(&Error) -> bool,
) {
    let (_, stored) = with_token(subject).await;
    let before = grant(subject);
    subject.service().fault_always(route, fault);
    let Err(error) = log_in(subject).await else {
        panic!("login ({name}): no error despite the fault on `{route}`: correct `Subject::login_route`");
    };
    assert!(fits(&error), "failed login ({name}): unexpected error kind {:?}: {error}", error.kind());
    let output = format!("{error} {error:?} {:?}", subject.world().person.told());
    for secret in subject.login_secrets() {
        assert!(!output.contains(&secret), "failed login ({name}): the output contains a secret: {output}");
    }
    assert_eq!(
        before["secret"],
        grant(subject)["secret"],
        "failed login ({name}): the stored login was replaced"
    );
    subject.service().clear_faults();
    // Polling during the login advances the test clock, so the stored token may now be due for renewal.
    let next = token_of_new_process(subject).await;
    let next = next.unwrap_or_else(|error| panic!("failed login ({name}): the old login is lost: {error}"));
    let now = subject.world().clock.now();
    let valid = stored.window().renews_at().is_some_and(|due| now < due);
    assert!(!valid || next.secret().same_as(stored.secret()), "failed login ({name}): token was replaced");
    logged_in(subject).await;
}

pub(super) async fn logout_deletes_record<S: Subject>(subject: &S) {
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

pub(super) async fn failed_logout_keeps_grant<S: Subject>(subject: &S) {
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
