//! Tests of requested token lifetimes, and of refused scopes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use broker_core::{Error, ErrorCode, TokenRequest};
use broker_testkit::World;
use chrono::TimeDelta;

use crate::broker::{Scripted, get, issue};

fn expiring_in(lifetime: &str) -> TokenRequest {
    TokenRequest::new().scope("stac").expires(lifetime.parse().expect("a lifetime"))
}

#[tokio::test]
async fn request_for_a_longer_lifetime_replaces_the_token_once() {
    let (world, provider) = (World::new(), Scripted::numbered(TimeDelta::days(7)));
    let plain = TokenRequest::new().scope("stac");
    // Each row: a token request, and how many tokens the provider has issued after this request.
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
        // A new broker has no cache, and reads the stored token's requested lifetime from the record.
        get(&world.broker(provider.clone()), &request).await;
        let login = world
            .broker(provider.clone())
            .provider(World::NAME)
            .expect("a provider")
            .token_or_login(&request)
            .await;
        assert!(login.expect("a token").1.is_none());
        assert_eq!(provider.exchanges(), exchanges, "{request:?}");
    }
}

#[tokio::test]
async fn token_with_nearly_the_requested_lifetime_is_used() {
    let (day, hour) = (TimeDelta::days(1), TimeDelta::hours(1));
    // Each row: the stored token's lifetime, the requested lifetime, and how many tokens the provider has issued.
    for (stored, requested, exchanges) in [(day * 29, "30d", 1), (day * 29, "31d", 2), (hour, "12h", 2)] {
        let (world, provider) = (World::new(), Scripted::numbered(stored));
        get(&world.broker(provider.clone()), &TokenRequest::new().scope("stac")).await;
        get(&world.broker(provider.clone()), &expiring_in(requested)).await;
        assert_eq!(provider.exchanges(), exchanges, "{stored} {requested}");
    }
}

#[tokio::test]
async fn token_shorter_than_requested_is_used_if_service_is_down() {
    let (world, down) = (World::new(), Arc::new(AtomicBool::new(false)));
    let provider = Scripted::new({
        let down = down.clone();
        move |number, operation, _, request| {
            if down.load(Ordering::SeqCst) {
                return Err(Error::unavailable("down"));
            }
            Ok(issue(operation, request, &number.to_string(), TimeDelta::days(7)))
        }
    });
    get(&world.broker(provider.clone()), &TokenRequest::new().scope("stac")).await;
    down.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(get(&world.broker(provider.clone()), &expiring_in("30d")).await, "0");
    }
    assert_eq!(provider.exchanges(), 2, "not asked again during the pause");
    let forced = world.broker(provider.clone()).token(World::NAME, &expiring_in("30d").force()).await;
    assert_eq!(forced.expect_err("no new token").code(), ErrorCode::ServiceUnavailable);
    world.clock.advance(TimeDelta::minutes(11));
    down.store(false, Ordering::SeqCst);
    assert_ne!(get(&world.broker(provider), &expiring_in("30d")).await, "0");
}

/// Creates a provider that returns `error` for a request with scopes, and a token for any other request.
fn no_scopes(error: fn() -> Error) -> Arc<Scripted> {
    Scripted::new(move |_, operation, _, request| {
        if request.scopes().is_empty() {
            return Ok(issue(operation, request, "t", TimeDelta::hours(1)));
        }
        Err(error())
    })
}

#[tokio::test]
async fn status_has_no_login_failure_after_refused_scope() {
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
async fn status_has_login_failure_after_refused_client() {
    let world = World::new();
    let broker = world.broker(no_scopes(|| Error::new(ErrorCode::ClientRefused, "wrong secret")));
    let request = TokenRequest::new().scope("stac");
    broker.token(World::NAME, &request).await.expect_err("refused");
    let failure = broker.status(World::NAME).expect("a status").last_failure.expect("a failure");
    assert_eq!(failure.code, Some(ErrorCode::ClientRefused));
    // A token that is issued after the failure removes the failure from the status.
    world.clock.advance(TimeDelta::seconds(1));
    get(&broker, &TokenRequest::new()).await;
    assert!(broker.status(World::NAME).expect("a status").last_failure.is_none());
}
