//! No browser on this machine: the person pastes the address that one elsewhere ended at.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use broker_core::ErrorKind;
use broker_testkit::TestClock;
use chrono::TimeDelta;

use super::stage::{Begun, Plan, Request, begin};

/// A person who types these one after the other, with the right state for `STATE`.
fn typing(tries: &'static [&'static str]) -> (Begun, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let types = move |request: &Request| {
        let typed = tries[count.fetch_add(1, Ordering::SeqCst)];
        match typed.strip_prefix("URL?") {
            Some(query) => request.back(query),
            None => typed.replace("STATE", &request.params["state"]),
        }
    };
    (begin(Plan { types: Some(Box::new(types)), ..Plan::default() }), asked)
}

#[tokio::test]
async fn the_address_is_taken_and_what_is_wrong_is_asked_again() {
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
        let told = login.told.lock().unwrap();
        assert_eq!(told.len(), tries.len(), "what to do, and what was wrong: {told:?}");
        assert!(told.iter().all(|words| words.contains(&form["redirect_uri"])), "{told:?}");
    }
}

#[tokio::test]
async fn after_three_tries_it_is_over() {
    let (mut login, asked) = typing(&["bare", "URL?state=wrong&code=c", "URL?code=c"]);
    assert_eq!(login.end().await.expect_err("no address").kind(), ErrorKind::LoginRequired);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    assert!(login.service.seen().is_empty());
}

#[tokio::test]
async fn an_error_in_the_address_is_the_services_answer() {
    let (mut login, _) = typing(&["URL?state=STATE&error=access_denied"]);
    assert_eq!(login.end().await.expect_err("denied").kind(), ErrorKind::Refused);
    let (mut login, _) = typing(&["URL?state=STATE&code=c&iss=https%3A%2F%2Fevil.example"]);
    assert_eq!(login.end().await.expect_err("another issuer").kind(), ErrorKind::Refused);
    assert!(login.service.seen().is_empty());
}

#[tokio::test]
async fn a_browser_that_comes_back_all_the_same_is_taken() {
    let mut login = begin(Plan { types: Some(Box::new(|_| String::new())), ..Plan::default() });
    login.request().await.come_back("state=STATE&code=tunnel").await;
    login.end().await.expect("a login");
    assert_eq!(login.form()["code"], "tunnel");
}

#[tokio::test]
async fn nobody_is_asked_for_ever() {
    let clock = TestClock::new();
    let never = Some(Box::new(|_: &Request| String::new()) as _);
    let mut login = begin(Plan { clock: Arc::new(clock.clone()), types: never, ..Plan::default() });
    assert_eq!(login.end().await.expect_err("too late").kind(), ErrorKind::LoginRequired);
    assert_eq!(clock.slept().iter().sum::<std::time::Duration>().as_secs(), 600);
}

#[tokio::test]
async fn an_end_of_input_ends_it_and_without_a_terminal_it_says_so() {
    let (mut login, _) = typing(&["END"]);
    assert_eq!(login.end().await.expect_err("an end").kind(), ErrorKind::Cancelled);
    let (mut login, _) = typing(&["NOBODY"]);
    let error = login.end().await.expect_err("nobody");
    assert_eq!(error.kind(), ErrorKind::LoginRequired);
    assert!(error.hint().is_some_and(|hint| hint.to_string().contains("at a terminal")), "{error:?}");
}

#[tokio::test]
async fn a_line_that_a_terminal_cut_says_how_long_one_can_be() {
    let cut = Box::leak(format!("URL?code={}", "c".repeat(4095)).into_boxed_str());
    let (mut login, _) = typing(Box::leak(Box::new([&*cut, "URL?state=STATE&code=good"])));
    login.end().await.expect("a login");
    assert!(login.told.lock().unwrap()[1].contains("4095 characters"));
}

#[tokio::test]
async fn all_tries_together_take_no_longer_than_one() {
    let clock = TestClock::new();
    let (passing, mut tries) = (clock.clone(), 0);
    let types = move |_: &Request| {
        tries += 1;
        passing.advance(TimeDelta::minutes(4));
        if tries < 3 { "what?".to_owned() } else { String::new() }
    };
    let plan = Plan { clock: Arc::new(clock.clone()), types: Some(Box::new(types)), ..Plan::default() };
    let mut login = begin(plan);
    assert_eq!(login.end().await.expect_err("too late").kind(), ErrorKind::LoginRequired);
    assert_eq!(clock.slept().last().unwrap().as_secs(), 120);
}
