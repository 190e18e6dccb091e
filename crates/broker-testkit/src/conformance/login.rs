//! A login that does not come about.

use broker_core::{Clock, Error, ErrorKind};

use super::{Subject, afresh, is_final, log_in, logged_in, refusal, token};
use crate::Fault;

/// The service or the person says no.
pub(super) async fn denied<S: Subject>(subject: &S) {
    let secrets = subject.login_secrets().join(" ");
    let denied = refusal(403, "access_denied", &format!("not for you {secrets}"));
    fails_without_loss(subject, "denied", subject.login_route(), denied, is_final).await;
}

/// A code that nobody approves: it expires on the world's clock. Only logins that show a code have that.
pub(super) async fn never_approved<S: Subject>(subject: &S) {
    logged_in(subject).await;
    if !subject.world().person.told().iter().any(|told| told.starts_with("code ")) {
        return;
    }
    let route = subject.renewal_route();
    for code in ["authorization_pending", "expired_token"] {
        let over = |error: &_| Error::kind(error) == ErrorKind::LoginRequired;
        fails_without_loss(subject, code, route, refusal(400, code, "nobody came"), over).await;
    }
    fails_without_loss(subject, "denied late", route, refusal(400, "access_denied", "no"), is_final).await;
}

/// No answer says nothing about the person.
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
    let held = token(&logged_in(subject).await).await.expect("a token");
    let before = subject.world().record().expect("a record");
    subject.service().fault_always(route, fault);
    let Err(error) = log_in(subject).await else {
        panic!("login {name}: it succeeds though `{route}` says no: `Subject::login_route` names the route");
    };
    assert!(fits(&error), "login {name}: {:?}: {error}", error.kind());
    let seen = format!("{error} {error:?} {:?}", subject.world().person.told());
    for secret in subject.login_secrets() {
        assert!(!seen.contains(&secret), "login {name}: a secret is seen in {seen}");
    }
    let after = subject.world().record().expect("a record");
    assert_eq!(before["grant"]["secret"], after["grant"]["secret"], "login {name}: the one before is kept");
    subject.service().clear_faults();
    // Waiting for an approval may have moved the clock to where it is due.
    let next = afresh(subject).await.unwrap_or_else(|error| panic!("login {name}: nothing is lost: {error}"));
    let now = subject.world().clock.now();
    let lives = held.window().renews_at().is_some_and(|due| now < due);
    assert!(!lives || next.secret().same_as(held.secret()), "login {name}: the held token");
    logged_in(subject).await;
}
