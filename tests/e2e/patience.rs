//! Who is waited for, and for how long: services that want to be left alone, locks that are not let go, clocks.

use broker_e2e::Sandbox;
use broker_testkit::{EarthDaily, EarthDailyOptions, EarthScopeOptions, Fault};
use chrono::{TimeDelta, Utc};

use crate::stage::logged_in;

fn imagery() -> (EarthDaily, Sandbox) {
    let service = EarthDaily::start(EarthDailyOptions::default());
    let config = format!("[providers.earthdaily]\nauth_url = \"{}\"\ntimeout = \"1s\"\n", service.auth_url());
    let sandbox = Sandbox::new().with_config(&config).with_env("EDS_SECRET", "standin-api-token");
    (service, sandbox)
}

fn asking_for(retry_after: &str) -> Fault {
    let headers = vec![("Retry-After".to_owned(), retry_after.to_owned())];
    Fault::Answer { status: 429, headers, body: String::new() }
}

#[test]
fn a_service_that_asks_to_be_left_alone_is_left_alone_by_all_processes() {
    let date = (Utc::now() + TimeDelta::seconds(120)).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for retry_after in ["120", date.as_str()] {
        let (service, sandbox) = imagery();
        service.fault("token", asking_for(retry_after));
        let _ = sandbox.broker(&["token", "earthdaily"]).ends(4).says("left alone");
        for words in [&["token", "earthdaily"][..], &["token", "earthdaily", "--force"]] {
            let _ = sandbox.broker(words).ends(4).says("asked to be left alone until").says("try again");
        }
        assert_eq!(service.count("token"), 1, "{retry_after}");
        sandbox.age("earthdaily", TimeDelta::seconds(125));
        let _ = sandbox.broker(&["token", "earthdaily"]).token();
    }
}

#[test]
fn what_is_held_serves_while_the_service_is_left_alone() {
    let (service, sandbox) = imagery();
    let held = sandbox.broker(&["token", "earthdaily"]).token();
    service.fault("token", asking_for("3600"));
    let _ = sandbox.broker(&["token", "earthdaily", "--force"]).ends(4);
    let run = sandbox.broker(&["token", "earthdaily"]);
    assert_eq!((run.err.as_str(), run.clone().token()), ("", held.clone()));
    // In the advisory window nobody tries either, and nobody is told of it each time.
    sandbox.age("earthdaily", TimeDelta::minutes(50));
    let run = sandbox.broker(&["token", "earthdaily"]);
    assert_eq!((run.err.as_str(), run.clone().token()), ("", held));
    assert_eq!(service.count("token"), 2);
}

#[test]
fn nobody_is_left_alone_for_longer_than_a_day() {
    for retry_after in ["99999999999", "18446744073709551615"] {
        let (service, sandbox) = imagery();
        service.fault("token", asking_for(retry_after));
        let _ = sandbox.broker(&["token", "earthdaily"]).ends(4);
        sandbox.age("earthdaily", TimeDelta::minutes(24 * 60 + 1));
        let _ = sandbox.broker(&["token", "earthdaily"]).token();
    }
}

#[test]
fn a_wait_for_nothing_is_no_wait() {
    for retry_after in ["0", "-5", "soon", "Sat, 01 Jan 2000 00:00:00 GMT"] {
        let (service, sandbox) = imagery();
        service.fault_always("token", asking_for(retry_after));
        let _ = sandbox.broker(&["token", "earthdaily"]).ends(4);
        service.clear_faults();
        let _ = sandbox.broker(&["token", "earthdaily"]).token();
    }
}

#[test]
fn a_lock_that_is_never_let_go_ends_with_its_holder_named() {
    let (service, sandbox) = imagery();
    std::fs::create_dir_all(sandbox.state()).expect("a folder");
    // Somebody who did not write his number into it.
    let lock = std::fs::File::create(sandbox.state().join("earthdaily.lock")).expect("a lock file");
    lock.lock().expect("locked");
    let this = format!("process {} has held the lock for longer than 300ms", std::process::id());
    let run = sandbox.broker(&["token", "earthdaily", "--wait", "300ms"]).ends(4).says(&this);
    assert!(run.err.contains("hint: "), "{}", run.err);
    assert!(service.seen().is_empty());
    drop(lock);
    let _ = sandbox.broker(&["token", "earthdaily", "--wait", "300ms"]).token();
}

#[test]
fn a_clock_that_was_set_back_serves_no_token_from_the_future() {
    let (service, sandbox) = imagery();
    let first = sandbox.broker(&["token", "earthdaily"]).token();
    // The clock was two days ahead when it came.
    sandbox.age("earthdaily", TimeDelta::days(-2));
    let second = sandbox.broker(&["token", "earthdaily"]).token();
    assert_ne!(first, second, "how old it is cannot be told");
    for _ in 0..3 {
        assert_eq!(sandbox.broker(&["token", "earthdaily"]).token(), second);
    }
    assert_eq!(service.count("token"), 2, "one renewal, no storm");
}

#[test]
fn a_clock_that_was_set_back_a_little_changes_nothing() {
    let (service, sandbox) = imagery();
    let held = sandbox.broker(&["token", "earthdaily"]).token();
    sandbox.age("earthdaily", TimeDelta::seconds(-30));
    assert_eq!(sandbox.broker(&["token", "earthdaily"]).token(), held);
    assert_eq!(service.count("token"), 1);
}

#[test]
fn a_failure_from_the_future_stops_nobody() {
    let (service, sandbox) = imagery();
    service.fault("token", asking_for("3600"));
    let _ = sandbox.broker(&["token", "earthdaily"]).ends(4);
    sandbox.age("earthdaily", TimeDelta::days(-300));
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
}

#[test]
fn a_clock_that_jumps_ahead_or_a_host_that_slept_renews_once() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    sandbox.age("earthscope", TimeDelta::days(400));
    let token = sandbox.broker(&["token", "earthscope"]).token();
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), token);
    assert_eq!(service.count("token"), 1);
}
