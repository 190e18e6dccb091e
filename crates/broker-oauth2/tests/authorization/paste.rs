//! Tests of a login whose user pastes the final address of a browser on another machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use broker_core::ErrorCode;
use broker_testkit::TestClock;
use chrono::TimeDelta;

use super::login::{Plan, Request, RunningLogin, start};

/// Starts a login whose user types these answers in turn. `STATE` is replaced by the login's `state`.
fn typing(tries: &'static [&'static str]) -> (RunningLogin, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let types = move |request: &Request| {
        let typed = tries[count.fetch_add(1, Ordering::SeqCst)];
        match typed.strip_prefix("URL?") {
            Some(query) => request.redirect_to(query),
            None => typed.replace("STATE", &request.params["state"]),
        }
    };
    (start(Plan { types: Some(Box::new(types)), ..Plan::default() }), asked)
}

#[tokio::test]
async fn user_is_asked_again_after_pasting_a_wrong_address() {
    for tries in [
        &["URL?state=STATE&code=good"][..],
        &["state=STATE&code=good"],
        &["bare-code", "URL?state=STATE&code=good"],
        &["ENTER", "URL?state=STATE&code=good"],
        &["URL?state=wrong&code=bad", "what?", "URL?state=STATE&code=good"],
    ] {
        let (mut login, asked) = typing(tries);
        login.end().await.unwrap_or_else(|error| panic!("{tries:?}: {error}"));
        assert_eq!(asked.load(Ordering::SeqCst), tries.len());
        let form = login.form();
        assert_eq!(form["code"], "good");
        let notices = login.notices.lock().unwrap();
        assert_eq!(notices.len(), tries.len(), "the instruction and each error: {notices:?}");
        assert!(notices.iter().all(|notice| notice.contains(&form["redirect_uri"])), "{notices:?}");
    }
}

#[tokio::test]
async fn login_fails_after_three_wrong_pasted_addresses() {
    let (mut login, asked) = typing(&["bare", "URL?state=wrong&code=c", "URL?code=c"]);
    assert_eq!(login.end().await.expect_err("no address").code(), ErrorCode::LoginRequired);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    assert!(login.service.seen().is_empty());
}

#[tokio::test]
async fn login_fails_if_pasted_address_contains_an_error() {
    let (mut login, _) = typing(&["URL?state=STATE&error=access_denied"]);
    assert_eq!(login.end().await.expect_err("denied").code(), ErrorCode::AccessDenied);
    let (mut login, _) = typing(&["URL?state=STATE&code=c&iss=https%3A%2F%2Fevil.example"]);
    assert_eq!(login.end().await.expect_err("another issuer").code(), ErrorCode::RequestRefused);
    assert!(login.service.seen().is_empty());
}

#[tokio::test]
async fn browser_redirect_ends_the_wait_for_a_pasted_address() {
    let mut login = start(Plan { types: Some(Box::new(|_| String::new())), ..Plan::default() });
    login.request().await.follow("state=STATE&code=tunnel").await;
    login.end().await.expect("a login");
    assert_eq!(login.form()["code"], "tunnel");
}

#[tokio::test]
async fn login_fails_at_end_of_input_or_without_terminal() {
    let (mut login, _) = typing(&["END"]);
    assert_eq!(login.end().await.expect_err("the end of the input").code(), ErrorCode::Cancelled);
    let (mut login, _) = typing(&["NO TERMINAL"]);
    let error = login.end().await.expect_err("no terminal");
    assert_eq!(error.code(), ErrorCode::PromptUnavailable);
    assert!(error.hint().is_some(), "{error:?}");
}

#[tokio::test]
async fn notice_for_too_long_pasted_line_states_the_limit() {
    let cut = Box::leak(format!("URL?code={}", "c".repeat(4095)).into_boxed_str());
    let (mut login, _) = typing(Box::leak(Box::new([&*cut, "URL?state=STATE&code=good"])));
    login.end().await.expect("a login");
    assert!(login.notices.lock().unwrap()[1].contains("4095 characters"));
}

#[tokio::test]
async fn repeated_url_prompts_share_one_timeout_of_ten_minutes() {
    let clock = TestClock::default();
    let (passing, mut tries) = (clock.clone(), 0);
    let types = move |_: &Request| {
        tries += 1;
        passing.advance(TimeDelta::minutes(4));
        if tries < 3 { "what?".to_owned() } else { String::new() }
    };
    let plan = Plan { clock: Arc::new(clock.clone()), types: Some(Box::new(types)), ..Plan::default() };
    let mut login = start(plan);
    assert_eq!(login.end().await.expect_err("the login has timed out").code(), ErrorCode::LoginTimeout);
    assert_eq!(clock.slept().last().unwrap().as_secs(), 120);
}
