//! What is kept apart: issuers and scopes.

use broker_core::{Clock, ErrorKind, TokenRequest};
use chrono::TimeDelta;

use super::{Subject, afresh, leave, logged_in, token};
use crate::World;

pub(super) async fn other_issuer_gets_nothing<S: Subject>(subject: &S) {
    let broker = logged_in(subject).await;
    let held = token(&broker).await.expect("a token");
    subject.service().forget_seen();
    let elsewhere = subject.world().broker(subject.elsewhere());
    if let Ok(got) = token(&elsewhere).await {
        assert!(!got.secret().same_as(held.secret()), "issuer: not the other's token");
    }
    let sent = format!("{:?}", subject.service().seen());
    assert!(!sent.contains(held.secret().expose()), "issuer: nothing of the other's is sent");
    // Back again, nothing is lost.
    let back = afresh(subject).await.expect("the held token");
    assert!(back.secret().same_as(held.secret()), "issuer: what was held is still held");
}

/// A scope that no service gives.
const UNKNOWN: &str = "conformance-unknown";

/// A token for a scope is held beside the usual one, and under its own scope only.
pub(super) async fn scopes_are_kept_apart<S: Subject>(subject: &S) {
    let broker = logged_in(subject).await;
    let usual = token(&broker).await.expect("a token");
    let mut held = vec![usual.clone()];
    for scope in subject.scopes().unwrap_or(&[UNKNOWN]) {
        let request = TokenRequest::new().scope(scope);
        let takes = subject.provider().check(&request, subject.world().clock.now());
        subject.service().forget_seen();
        match (takes, broker.token(World::NAME, &request).await) {
            (Ok(()), Ok(new)) => {
                assert!(
                    held.iter().all(|old| !old.secret().same_as(new.secret())),
                    "scope {scope}: its own token"
                );
                subject.service().forget_seen();
                let again = subject.world().broker(subject.provider()).token(World::NAME, &request).await;
                let again = again.unwrap_or_else(|error| panic!("scope {scope}: held: {error}"));
                assert!(again.secret().same_as(new.secret()), "scope {scope}: the held one");
                assert!(subject.service().seen().is_empty(), "scope {scope}: held: no request");
                held.push(new);
            }
            (Ok(()), Err(error)) => {
                assert!(subject.scopes().is_none(), "scope {scope}: {error}");
                // A plugin is asked before it is known what it can.
                let told = matches!(error.kind(), ErrorKind::Refused | ErrorKind::Usage);
                assert!(told, "scope {scope}: {error}");
            }
            (Err(_), got) => {
                assert!(subject.scopes().is_none(), "scope {scope}: `check` refuses it");
                let error = got.expect_err("a scope that `check` refuses");
                assert_eq!(error.kind(), ErrorKind::Usage, "scope {scope}: {error}");
                assert!(subject.service().seen().is_empty(), "scope {scope}: the service is not asked");
            }
        }
    }
    let still = afresh(subject).await.expect("scopes: the usual token is still there");
    assert!(still.secret().same_as(usual.secret()), "scopes: the usual token is as it was");
    leave(subject, &usual, TimeDelta::seconds(-1));
    let renewed = afresh(subject).await.expect("scopes: renewed");
    assert!(held.iter().all(|old| !old.secret().same_as(renewed.secret())), "scopes: no other's token");
}
