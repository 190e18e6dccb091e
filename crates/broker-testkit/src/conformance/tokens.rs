//! Tests which token the broker returns: a stored token is used, an expired token is renewed once for all concurrent
//! callers, and a token of one issuer or scope is not used for another. Errors, `Debug` output, status and messages
//! contain no secret.

use std::time::Duration;

use broker_core::{Clock, ErrorKind, Secret, TokenRequest};

use super::{
    Subject, assert_kind, assert_new, assert_renewals, assert_silent, assert_stored, expire, grant, refusal,
    token, token_of_new_process, with_expired_token, with_token,
};
use crate::{Fault, World};

pub(super) async fn stored_token_is_used<S: Subject>(subject: &S) {
    let (_, stored) = with_token(subject).await;
    subject.service().forget_seen();
    assert_stored(subject, &stored, "a stored token").await;
    assert_silent(subject, "a stored token");
}

pub(super) async fn expired_token_is_renewed<S: Subject>(subject: &S) {
    let (broker, mut last) = with_token(subject).await;
    for round in 0..3 {
        expire(subject, &last);
        let next = token(&broker).await.unwrap_or_else(|error| panic!("renewal {round} failed: {error}"));
        assert_new(&next, &last, "renewals");
        last = next;
    }
}

pub(super) async fn one_exchange_for_all<S: Subject>(subject: &S) {
    let (broker, old) = with_expired_token(subject).await;
    let call = || {
        let broker = broker.clone();
        tokio::spawn(async move { token(&broker).await })
    };
    let calls: Vec<_> = std::iter::repeat_with(call).take(200).collect();
    for call in calls {
        let new = call.await.expect("a task").expect("a token");
        assert_new(&new, &old, "200 concurrent callers");
    }
    assert_renewals(subject, 1, "200 concurrent callers");
}

pub(super) async fn dropped_call_loses_nothing<S: Subject>(subject: &S) {
    let (broker, old) = with_expired_token(subject).await;
    let route = subject.renewal_route();
    let hold = subject.service().hold(route);
    let caller = broker.clone();
    let call = tokio::spawn(async move { token(&caller).await });
    while subject.service().count(route) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    call.abort();
    assert!(call.await.is_err(), "failed test of a cancelled call: the call ended before its cancellation");
    drop(hold);
    broker.wait_idle().await;
    let kept = token_of_new_process(subject).await.expect("a token");
    assert_new(&kept, &old, "a cancelled call");
    assert_renewals(subject, 1, "a cancelled call");
}

pub(super) async fn slow_response_is_awaited<S: Subject>(subject: &S) {
    let (broker, old) = with_expired_token(subject).await;
    let slow = Fault::Delay(Duration::from_millis(100));
    subject.service().fault(subject.renewal_route(), slow);
    let new = token(&broker).await.expect("failed test of a slow service: the broker returned no token");
    assert_new(&new, &old, "a slow service");
    assert_renewals(subject, 1, "a slow service");
}

pub(super) async fn issuers_are_isolated<S: Subject>(subject: &S) {
    let (_, stored) = with_token(subject).await;
    subject.service().forget_seen();
    let elsewhere = subject.world().broker(subject.elsewhere());
    if let Ok(got) = token(&elsewhere).await {
        assert_new(&got, &stored, "issuers");
    }
    let sent = format!("{:?}", subject.service().seen());
    let leaked = sent.contains(stored.secret().expose());
    assert!(!leaked, "failed test of issuers: the token was sent to another issuer");
    assert_stored(subject, &stored, "issuers").await;
}

/// A scope that every service rejects.
const UNKNOWN: &str = "conformance-unknown";

/// Checks that a token for one scope is stored apart from other tokens, and is returned for this scope only.
pub(super) async fn scopes_are_isolated<S: Subject>(subject: &S) {
    let (broker, usual) = with_token(subject).await;
    let mut tokens = vec![usual.clone()];
    for scope in subject.scopes().unwrap_or(&[UNKNOWN]) {
        let request = TokenRequest::new().scope(scope);
        let case = format!("scope {scope}");
        let accepted = subject.provider().check(&request, subject.world().clock.now());
        subject.service().forget_seen();
        match (accepted, broker.token(World::NAME, &request).await) {
            (Ok(()), Ok(new)) => {
                for old in &tokens {
                    assert_new(&new, old, &case);
                }
                subject.service().forget_seen();
                let again = subject.world().broker(subject.provider()).token(World::NAME, &request).await;
                let again = again.unwrap_or_else(|error| panic!("{case}: token was lost: {error}"));
                assert!(again.secret().same_as(new.secret()), "{case}: a valid token was replaced");
                assert_silent(subject, &case);
                tokens.push(new);
            }
            (Ok(()), Err(error)) => {
                assert!(subject.scopes().is_none(), "{case}: {error}");
                // A plugin's `check` accepts all scopes, because only a request shows which scopes the plugin supports.
                let refused = matches!(error.kind(), ErrorKind::Refused | ErrorKind::Usage);
                assert!(refused, "{case}: {error}");
            }
            (Err(_), got) => {
                assert!(subject.scopes().is_none(), "`Provider::check` refuses the supported {case}");
                let error = got.expect_err("a token was issued for a scope that `Provider::check` refuses");
                assert_kind(&error, ErrorKind::Usage, &case);
                assert_silent(subject, &case);
            }
        }
    }
    assert_stored(subject, &usual, "scopes").await;
    expire(subject, &usual);
    let renewed = token_of_new_process(subject).await.expect("scopes: renewed");
    for old in &tokens {
        assert_new(&renewed, old, "scopes");
    }
}

pub(super) async fn secrets_are_not_shown<S: Subject>(subject: &S) {
    let (broker, stored) = with_token(subject).await;
    let mut secrets = subject.secrets();
    secrets.extend(grant(subject)["secret"].as_str().map(str::to_owned));
    // The fake service's error response repeats all secrets of the renewal request.
    let echo = secrets.join(" ");
    secrets.push(stored.secret().expose().to_owned());
    let status = broker.status(World::NAME).expect("a status");
    let before = format!("{stored:?} {status:?} {:?}", Secret::new(stored.secret().expose()));
    expire(subject, &stored);
    subject.service().fault_always("*", refusal(400, "invalid_request", &echo));
    let error = token(&broker).await.expect_err("refused");
    let failures = subject.world().record().expect("a record")["failures"].to_string();
    let messages = subject.world().person.told();
    let output = format!("{before} {error} {error:?} {failures} {messages:?}");
    for secret in secrets {
        assert!(!output.contains(&secret), "failed test of secrets: the output contains a secret: {output}");
    }
}
