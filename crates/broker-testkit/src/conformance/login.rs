//! Tests of failed logins.

use broker_core::{Clock, Error, ErrorKind};

use super::{Subject, grant, is_final, log_in, logged_in, refusal, token_of_new_process, with_token};
use crate::Fault;

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
