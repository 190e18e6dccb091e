//! A held token is used, an expired one is renewed, once for all who ask.

use std::time::Duration;

use chrono::TimeDelta;

use super::{Subject, afresh, leave, logged_in, token};
use crate::Fault;

pub(super) async fn held_token_is_used<S: Subject>(subject: &S) {
    let broker = logged_in(subject).await;
    let first = token(&broker).await.expect("a token");
    subject.service().forget_seen();
    // A new process finds it on the disk.
    let second = afresh(subject).await.expect("the held token");
    assert!(first.secret().same_as(second.secret()), "held: the same token");
    assert!(subject.service().seen().is_empty(), "held: no request");
}

pub(super) async fn expired_token_is_renewed<S: Subject>(subject: &S) {
    let broker = logged_in(subject).await;
    let mut last = token(&broker).await.expect("a token");
    for round in 0..3 {
        leave(subject, &last, TimeDelta::seconds(-1));
        let next = token(&broker).await.unwrap_or_else(|error| panic!("renewed, round {round}: {error}"));
        assert!(!next.secret().same_as(last.secret()), "renewed: another token");
        last = next;
    }
}

pub(super) async fn one_exchange_for_all<S: Subject>(subject: &S) {
    let broker = logged_in(subject).await;
    let old = token(&broker).await.expect("a token");
    leave(subject, &old, TimeDelta::seconds(-1));
    subject.service().forget_seen();
    let asking: Vec<_> = (0..200)
        .map(|_| {
            let broker = broker.clone();
            tokio::spawn(async move { token(&broker).await })
        })
        .collect();
    for asked in asking {
        let new = asked.await.expect("a task").expect("a token");
        assert!(!new.secret().same_as(old.secret()), "all: the new token");
    }
    assert_eq!(subject.service().count(subject.renewal_route()), 1, "all: one exchange");
}

pub(super) async fn dropped_call_loses_nothing<S: Subject>(subject: &S) {
    let broker = logged_in(subject).await;
    let old = token(&broker).await.expect("a token");
    leave(subject, &old, TimeDelta::seconds(-1));
    subject.service().forget_seen();
    let route = subject.renewal_route();
    subject.service().fault(route, Fault::Delay(Duration::from_millis(50)));
    let asked = tokio::time::timeout(Duration::from_millis(5), token(&broker)).await;
    assert!(asked.is_err(), "dropped: before the answer came");
    broker.wait_idle().await;
    let kept = afresh(subject).await.expect("a token");
    assert!(!kept.secret().same_as(old.secret()), "dropped: the new token is there");
    assert_eq!(subject.service().count(route), 1, "dropped: nothing was asked twice");
}

pub(super) async fn slow_answer_is_waited_for<S: Subject>(subject: &S) {
    let broker = logged_in(subject).await;
    let old = token(&broker).await.expect("a token");
    leave(subject, &old, TimeDelta::seconds(-1));
    subject.service().forget_seen();
    let slow = Fault::Delay(Duration::from_millis(100));
    subject.service().fault(subject.renewal_route(), slow);
    let new = token(&broker).await.expect("slow: the answer is waited for");
    assert!(!new.secret().same_as(old.secret()), "slow: the new token");
    assert_eq!(subject.service().count(subject.renewal_route()), 1, "slow: nothing was asked twice");
}
