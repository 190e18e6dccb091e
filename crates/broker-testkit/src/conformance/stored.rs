//! Tests that the broker returns a stored token, and renews an expired token once for all concurrent callers.

use std::time::Duration;

use super::{
    Subject, assert_new, assert_renewals, assert_silent, assert_stored, expire, token, token_of_new_process,
    with_expired_token, with_token,
};
use crate::Fault;

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
