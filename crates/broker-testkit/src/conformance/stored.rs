//! Tests that the broker returns a stored token, and renews an expired token once for all concurrent callers.

use std::time::Duration;

use super::{Subject, expire, token, token_of_new_process, with_expired_token, with_token};
use crate::Fault;

pub(super) async fn stored_token_is_used<S: Subject>(subject: &S) {
    let (_, first) = with_token(subject).await;
    subject.service().forget_seen();
    // A new process reads the token from the record file.
    let second = token_of_new_process(subject).await.expect("the stored token");
    assert!(
        first.secret().same_as(second.secret()),
        "failed test of a stored token: the broker returned another token"
    );
    assert!(
        subject.service().seen().is_empty(),
        "failed test of a stored token: the broker sent a request although the token was valid"
    );
}

pub(super) async fn expired_token_is_renewed<S: Subject>(subject: &S) {
    let (broker, mut last) = with_token(subject).await;
    for round in 0..3 {
        expire(subject, &last);
        let next = token(&broker).await.unwrap_or_else(|error| panic!("renewal {round} failed: {error}"));
        assert!(
            !next.secret().same_as(last.secret()),
            "failed test of renewal {round}: the expired token was returned"
        );
        last = next;
    }
}

pub(super) async fn one_exchange_for_all<S: Subject>(subject: &S) {
    let (broker, old) = with_expired_token(subject).await;
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let broker = broker.clone();
            tokio::spawn(async move { token(&broker).await })
        })
        .collect();
    for call in calls {
        let new = call.await.expect("a task").expect("a token");
        assert!(!new.secret().same_as(old.secret()), "one of 200 concurrent callers got the expired token");
    }
    assert_eq!(subject.service().count(subject.renewal_route()), 1, "200 callers sent several requests");
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
    assert!(
        call.await.is_err(),
        "failed test of a cancelled call: the call ended before the test cancelled it"
    );
    drop(hold);
    broker.wait_idle().await;
    let kept = token_of_new_process(subject).await.expect("a token");
    assert!(
        !kept.secret().same_as(old.secret()),
        "failed test of a cancelled call: the new token was not stored"
    );
    assert_eq!(
        subject.service().count(route),
        1,
        "failed test of a cancelled call: the broker sent more than one request"
    );
}

pub(super) async fn slow_response_is_awaited<S: Subject>(subject: &S) {
    let (broker, old) = with_expired_token(subject).await;
    let slow = Fault::Delay(Duration::from_millis(100));
    subject.service().fault(subject.renewal_route(), slow);
    let new = token(&broker).await.expect("failed test of a slow service: the broker returned no token");
    assert!(
        !new.secret().same_as(old.secret()),
        "failed test of a slow service: the expired token was returned"
    );
    assert_eq!(
        subject.service().count(subject.renewal_route()),
        1,
        "failed test of a slow service: the broker sent a retry"
    );
}
