//! Tests of the device flow's polls (RFC 8628 section 3.5).

use std::time::Duration;

use broker_core::{ErrorKind, LoggedIn, Login, Result};
use broker_testkit::conformance::Subject;
use broker_testkit::{EarthScopeOptions, Fault, World};

use crate::{TestProvider, approved};

async fn log_in(subject: &TestProvider) -> Result<LoggedIn> {
    subject.world.broker(subject.provider()).login(World::NAME, Login::Usual).await
}

/// Returns the total pause between polls, by the test clock.
fn slept(subject: &TestProvider) -> Duration {
    subject.world.clock.slept().iter().sum()
}

fn answer(status: u16, body: &str) -> Fault {
    Fault::Answer { status, headers: vec![], body: body.to_owned() }
}

#[tokio::test]
async fn device_flow_polls_every_5_seconds_by_default() {
    let subject =
        TestProvider::new(EarthScopeOptions { interval: None, strict_polling: true, ..Default::default() });
    subject.service.approve_after(3);
    log_in(&subject).await.expect("a login");
    let polls = u32::try_from(subject.service.count("token")).expect("a few");
    assert!(polls >= 3);
    assert_eq!(slept(&subject), Duration::from_secs(5) * polls);
}

#[tokio::test]
async fn slow_down_permanently_adds_five_seconds_between_polls() {
    let subject =
        TestProvider::new(EarthScopeOptions { interval: Some(2), slow_down_polls: 2, ..Default::default() });
    subject.service.approve_after(4);
    log_in(&subject).await.expect("a login");
    let polls = subject.service.count("token") as u64;
    assert_eq!(slept(&subject), Duration::from_secs(2 + 7 + 12 * (polls - 2)));
}

#[tokio::test]
async fn device_login_sends_same_requests_as_earthscope_sdk() {
    let subject = approved(EarthScopeOptions::default());
    log_in(&subject).await.expect("a login");
    let requests = subject.service.seen();
    let (device, poll) = (requests[0].form(), requests.last().expect("a poll").form());
    assert_eq!(requests[0].path, "/oauth/device/code");
    assert_eq!(device["client_id"], "b9DtAFBd6QvMg761vI3YhYquNZbJX5G0");
    assert_eq!(device["scope"], "offline_access");
    assert_eq!(device["audience"], "https://api.earthscope.org");
    assert_eq!(device.len(), 3);
    assert_eq!(poll["grant_type"], "urn:ietf:params:oauth:grant-type:device_code");
    assert_eq!(poll["client_id"], "b9DtAFBd6QvMg761vI3YhYquNZbJX5G0");
    assert_eq!(poll.len(), 3);
}

#[tokio::test]
async fn device_flow_polls_continue_after_transient_errors() {
    let faults = [
        Fault::CutBefore,
        Fault::Hang,
        Fault::Status(500),
        answer(429, ""),
        answer(401, r#"{"message":"Sign in to this network"}"#),
        answer(403, r#"{"error":"quota_exceeded"}"#),
        answer(400, r#"{"message":"Service under maintenance"}"#),
        answer(400, r#"{"status":400,"message":"authorization_pending"}"#),
        Fault::Html(200),
        Fault::Html(403),
        Fault::Garbage,
        Fault::Empty(200),
        Fault::Redirect("https://portal.example".to_owned()),
        answer(200, "{\"access_tok"),
    ];
    let subject = approved(EarthScopeOptions::default());
    for fault in faults.clone() {
        subject.service.fault("token", fault);
    }
    log_in(&subject).await.expect("a login");
    assert_eq!(subject.service.count("token"), faults.len() + 1);
}

#[tokio::test]
async fn device_login_fails_at_code_expiry_if_every_poll_fails() {
    let subject = approved(EarthScopeOptions { code_life: 600, ..Default::default() });
    subject.service.fault_always("token", Fault::Status(502));
    let error = log_in(&subject).await.expect_err("expired");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "the code may have been approved: {error}");
    assert!(error.message().contains("502"), "{error}");
    assert_eq!(slept(&subject), Duration::from_mins(10));
}

#[tokio::test]
async fn denied_login_and_expired_code_have_different_errors() {
    for status in [400, 401, 403, 429, 500] {
        for (code, kind) in
            [("access_denied", ErrorKind::Refused), ("expired_token", ErrorKind::LoginRequired)]
        {
            let subject = approved(EarthScopeOptions::default());
            subject.service.fault("token", answer(status, &format!("{{\"error\":\"{code}\"}}")));
            let error = log_in(&subject).await.expect_err(code);
            assert_eq!(error.kind(), kind, "{status} {code}: {error}");
            assert!(subject.world.record().is_none(), "nothing is stored");
        }
    }
}

#[tokio::test]
async fn device_flow_accepts_pending_and_slow_down_in_any_status() {
    for status in [400, 401, 403, 428, 429] {
        let subject = approved(EarthScopeOptions { interval: Some(1), ..Default::default() });
        subject.service.fault("token", answer(status, r#"{"error":"authorization_pending"}"#));
        subject.service.fault("token", answer(status, r#"{"error":"slow_down"}"#));
        log_in(&subject).await.unwrap_or_else(|error| panic!("{status}: {error}"));
        assert_eq!(slept(&subject), Duration::from_secs(1 + 1 + 6), "{status}");
    }
}

#[tokio::test]
async fn device_flow_polls_less_often_after_timeouts() {
    let subject = approved(EarthScopeOptions { interval: Some(1), ..Default::default() });
    subject.service.fault("token", Fault::Hang);
    subject.service.fault("token", Fault::Hang);
    log_in(&subject).await.expect("a login");
    assert_eq!(slept(&subject), Duration::from_secs(1 + 2 + 4));
}

#[tokio::test]
async fn cancelled_login_stores_nothing() {
    let subject = TestProvider::new(EarthScopeOptions::default());
    let broker = subject.world.broker(subject.provider());
    let (hold, caller) = (subject.service.hold("token"), broker.clone());
    let call = tokio::spawn(async move { caller.login(World::NAME, Login::Usual).await });
    while subject.service.count("token") == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    call.abort();
    assert!(call.await.is_err(), "the caller aborted the login");
    drop(hold);
    broker.wait_idle().await;
    assert!(subject.world.record().is_none());
    // The cancelled login has released the lock, so another login can start.
    subject.service.approve_all();
    log_in(&subject).await.expect("a login");
}
