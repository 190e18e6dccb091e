//! Tests of requests with a lifetime, and of refused scopes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use broker_core::{Broker, Error, ErrorCode, RecordUpdate, Token, TokenRequest};
use broker_testkit::World;
use chrono::TimeDelta;

use crate::broker::{Scripted, token};

/// A service whose tokens last at most seven days. If `days` is negative, the service fails.
fn seven_days(days: &Arc<AtomicI64>) -> Arc<Scripted> {
    let days = days.clone();
    Scripted::new(move |number, context, _, request| match days.load(Ordering::SeqCst) {
        days @ 0.. => {
            let token = token(context, &number.to_string(), TimeDelta::days(days));
            Ok(RecordUpdate::token(request.scopes(), token))
        }
        _ => Err(Error::unavailable("down")),
    })
}

fn expiring_in(lifetime: &str) -> TokenRequest {
    TokenRequest::new().scope("stac").expires(lifetime.parse().expect("a lifetime"))
}

async fn get(broker: &Broker, request: &TokenRequest) -> Token {
    broker.token(World::NAME, request).await.expect("a token")
}

#[tokio::test]
async fn each_longer_lifetime_request_replaces_the_token_once() {
    let (world, days) = (World::new(), Arc::new(AtomicI64::new(7)));
    let provider = seven_days(&days);
    let plain = TokenRequest::new().scope("stac");
    // Each row: a request, and the total number of exchanges after that request.
    let calls = [
        (plain.clone(), 1),
        (expiring_in("7d"), 1),
        (expiring_in("12h"), 1),
        (expiring_in("30d"), 2),
        (expiring_in("30d"), 2),
        (expiring_in("29d"), 2),
        (plain, 2),
        (expiring_in("60d"), 3),
        (expiring_in("60d"), 3),
        (expiring_in("30d"), 3),
        (expiring_in("9999-12-31"), 4),
        (expiring_in("9999-12-31"), 4),
        (expiring_in("20000years"), 4),
        (expiring_in("20000years"), 4),
    ];
    for (request, exchanges) in calls {
        // A new broker has only the stored record, which must contain the requested lifetime.
        get(&world.broker(provider.clone()), &request).await;
        let login = world.broker(provider.clone()).token_or_login(World::NAME, &request).await;
        assert!(login.expect("a token").1.is_none());
        assert_eq!(provider.exchanges(), exchanges, "{request:?}");
    }
}

#[tokio::test]
async fn token_up_to_a_day_shorter_than_requested_is_used() {
    let (world, days) = (World::new(), Arc::new(AtomicI64::new(29)));
    let provider = seven_days(&days);
    get(&world.broker(provider.clone()), &TokenRequest::new().scope("stac")).await;
    get(&world.broker(provider.clone()), &expiring_in("30d")).await;
    assert_eq!(provider.exchanges(), 1);
    get(&world.broker(provider.clone()), &expiring_in("31d")).await;
    assert_eq!(provider.exchanges(), 2);
}

#[tokio::test]
async fn one_hour_token_is_not_used_for_a_12_hour_request() {
    let world = World::new();
    let provider = Scripted::new(|number, context, _, request| {
        let token = token(context, &number.to_string(), TimeDelta::hours(1));
        Ok(RecordUpdate::token(request.scopes(), token))
    });
    get(&world.broker(provider.clone()), &TokenRequest::new().scope("stac")).await;
    get(&world.broker(provider.clone()), &expiring_in("12h")).await;
    assert_eq!(provider.exchanges(), 2);
}

#[tokio::test]
async fn token_shorter_than_requested_is_used_on_service_error() {
    let (world, days) = (World::new(), Arc::new(AtomicI64::new(7)));
    let provider = seven_days(&days);
    let old = get(&world.broker(provider.clone()), &TokenRequest::new().scope("stac")).await;
    days.store(-1, Ordering::SeqCst);
    for _ in 0..3 {
        let token = get(&world.broker(provider.clone()), &expiring_in("30d")).await;
        assert!(token.secret().same_as(old.secret()));
    }
    assert_eq!(provider.exchanges(), 2, "not asked again during the pause");
    let forced = world.broker(provider.clone()).token(World::NAME, &expiring_in("30d").force()).await;
    assert_eq!(forced.expect_err("no new token").code(), ErrorCode::ServiceUnavailable);
    world.clock.advance(TimeDelta::minutes(11));
    days.store(7, Ordering::SeqCst);
    let token = get(&world.broker(provider), &expiring_in("30d")).await;
    assert!(!token.secret().same_as(old.secret()));
}

/// A service that refuses every request with scopes by the given error.
fn no_scopes(error: fn() -> Error) -> Arc<Scripted> {
    Scripted::new(move |_, context, _, request| {
        if request.scopes().is_empty() {
            return Ok(RecordUpdate::token(request.scopes(), token(context, "t", TimeDelta::hours(1))));
        }
        Err(error())
    })
}

#[tokio::test]
async fn refused_scope_is_not_shown_as_login_failure() {
    let world = World::new();
    let broker = world.broker(no_scopes(|| Error::refused("no such scope")));
    for login_first in [false, true] {
        if login_first {
            get(&broker, &TokenRequest::new()).await;
        }
        for scope in ["typo", "another"] {
            let error = broker.token(World::NAME, &TokenRequest::new().scope(scope)).await.expect_err(scope);
            assert_eq!(error.code(), ErrorCode::RequestRefused);
        }
        assert!(broker.status(World::NAME).expect("a status").last_failure.is_none());
        let failures = &world.record().expect("a record")["failures"];
        assert_eq!(failures.as_object().expect("failures").len(), 1, "only the newest: {failures}");
    }
}

#[tokio::test]
async fn refused_client_is_shown_as_login_failure() {
    let world = World::new();
    let broker = world.broker(no_scopes(|| Error::new(ErrorCode::ClientRefused, "wrong secret")));
    let request = TokenRequest::new().scope("stac");
    broker.token(World::NAME, &request).await.expect_err("refused");
    let failure = broker.status(World::NAME).expect("a status").last_failure.expect("a failure");
    assert_eq!(failure.code, Some(ErrorCode::ClientRefused));
    // A token that is issued later shows that the failure is resolved.
    world.clock.advance(TimeDelta::seconds(1));
    get(&broker, &TokenRequest::new()).await;
    assert!(broker.status(World::NAME).expect("a status").last_failure.is_none());
}
