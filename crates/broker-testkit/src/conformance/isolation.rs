//! Tests that a token of one issuer or scope is not used for another.

use broker_core::{Clock, ErrorKind, Token, TokenRequest};

use super::{Subject, expire, token, token_of_new_process, with_token};
use crate::World;

pub(super) async fn issuers_are_isolated<S: Subject>(subject: &S) {
    let (_, stored) = with_token(subject).await;
    subject.service().forget_seen();
    let elsewhere = subject.world().broker(subject.elsewhere());
    if let Ok(got) = token(&elsewhere).await {
        assert!(
            !got.secret().same_as(stored.secret()),
            "failed test of issuers: the token of another issuer was returned"
        );
    }
    let sent = format!("{:?}", subject.service().seen());
    assert!(
        !sent.contains(stored.secret().expose()),
        "failed test of issuers: the token was sent to another issuer"
    );
    let back = token_of_new_process(subject).await.expect("the stored token");
    assert!(
        back.secret().same_as(stored.secret()),
        "failed test of issuers: the token of another issuer replaced the stored token"
    );
}

/// A scope that every service rejects.
const UNKNOWN: &str = "conformance-unknown";

/// Checks that a token for one scope is stored apart from other tokens, and is returned for this scope only.
pub(super) async fn scopes_are_isolated<S: Subject>(subject: &S) {
    let (broker, usual) = with_token(subject).await;
    let mut tokens = vec![usual.clone()];
    for scope in subject.scopes().unwrap_or(&[UNKNOWN]) {
        let request = TokenRequest::new().scope(scope);
        let accepted = subject.provider().check(&request, subject.world().clock.now());
        subject.service().forget_seen();
        match (accepted, broker.token(World::NAME, &request).await) {
            (Ok(()), Ok(new)) => {
                assert!(!contains(&tokens, &new), "scope {scope}: a token of other scopes was returned");
                subject.service().forget_seen();
                let again = subject.world().broker(subject.provider()).token(World::NAME, &request).await;
                let again = again.unwrap_or_else(|error| panic!("scope {scope}: token was lost: {error}"));
                assert!(again.secret().same_as(new.secret()), "scope {scope}: a valid token was replaced");
                assert!(subject.service().seen().is_empty(), "scope {scope}: request despite a stored token");
                tokens.push(new);
            }
            (Ok(()), Err(error)) => {
                assert!(subject.scopes().is_none(), "scope {scope}: {error}");
                // A plugin's `check` accepts all scopes, because only a request shows which scopes the plugin supports.
                let refused = matches!(error.kind(), ErrorKind::Refused | ErrorKind::Usage);
                assert!(refused, "scope {scope}: {error}");
            }
            (Err(_), got) => {
                assert!(subject.scopes().is_none(), "`Provider::check` refuses the supported scope {scope}");
                let error = got.expect_err("a token was issued for a scope that `Provider::check` refuses");
                assert_eq!(error.kind(), ErrorKind::Usage, "scope {scope}: {error}");
                let seen = subject.service().seen();
                assert!(seen.is_empty(), "scope {scope}: request sent although `Provider::check` failed");
            }
        }
    }
    let still = token_of_new_process(subject).await.expect("a request with a scope lost the stored token");
    assert!(still.secret().same_as(usual.secret()), "a request with a scope replaced the stored token");
    expire(subject, &usual);
    let renewed = token_of_new_process(subject).await.expect("scopes: renewed");
    assert!(!contains(&tokens, &renewed), "scopes: the renewal returned an old token");
}

fn contains(tokens: &[Token], token: &Token) -> bool {
    tokens.iter().any(|old| old.secret().same_as(token.secret()))
}
