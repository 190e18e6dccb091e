//! Tests `Retry-After`, locks that another process does not release, and clock changes.

use broker_e2e::Sandbox;
use broker_testkit::{EarthDaily, EarthScopeOptions, Fault};
use chrono::{TimeDelta, Utc};

use crate::stage::{earthdaily, logged_in};

fn imagery() -> (EarthDaily, Sandbox) {
    earthdaily("timeout = \"1s\"\n")
}

fn asking_for(retry_after: &str) -> Fault {
    let headers = vec![("Retry-After".to_owned(), retry_after.to_owned())];
    Fault::Answer { status: 429, headers, body: String::new() }
}

#[test]
fn retry_after_applies_to_all_processes() {
    let date = (Utc::now() + TimeDelta::seconds(120)).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for retry_after in ["120", date.as_str()] {
        let (service, sandbox) = imagery();
        service.fault("token", asking_for(retry_after));
        let _ = sandbox.broker(&["token", "earthdaily"]).ends(4).fails_with("rate_limited");
        let _ = sandbox.broker(&["token", "earthdaily"]).ends(4).fails_with("rate_limited");
        assert_eq!(service.count("token"), 1, "{retry_after}");
        sandbox.age("earthdaily", TimeDelta::seconds(125));
        let _ = sandbox.broker(&["token", "earthdaily"]).token();
    }
}

#[test]
fn stored_token_is_used_until_retry_after_has_passed() {
    let (service, sandbox) = imagery();
    let stored = sandbox.broker(&["token", "earthdaily"]).token();
    service.fault("token", asking_for("3600"));
    let _ = sandbox.broker(&["token", "earthdaily", "--force"]).ends(4);
    let run = sandbox.broker(&["token", "earthdaily"]);
    assert_eq!((run.err.as_str(), run.clone().token()), ("", stored.clone()));
    // Even if renewal is due, the broker prints the valid token without a warning.
    sandbox.age("earthdaily", TimeDelta::minutes(50));
    let run = sandbox.broker(&["token", "earthdaily"]);
    assert_eq!((run.err.as_str(), run.clone().token()), ("", stored));
    assert_eq!(service.count("token"), 2);
}

#[test]
fn unusual_retry_after_pauses_for_at_most_an_hour() {
    let now = Utc::now().timestamp();
    let in_three_hours = (Utc::now() + TimeDelta::hours(3)).format("%A, %d-%b-%y %H:%M:%S GMT").to_string();
    let hour = TimeDelta::minutes(61);
    for (retry_after, wait) in [
        ("99999999999", hour),
        ("18446744073709551615", hour),
        ("86400", hour),
        (in_three_hours.as_str(), hour),
        ("60000", TimeDelta::seconds(61)),
        (&(now + 60).to_string(), TimeDelta::seconds(61)),
        (&((now + 60) * 1000).to_string(), TimeDelta::seconds(61)),
        ("0", TimeDelta::zero()),
        ("-5", TimeDelta::zero()),
        ("soon", TimeDelta::zero()),
        (&(now - 60).to_string(), TimeDelta::zero()),
        ("Sat, 01 Jan 2000 00:00:00 GMT", TimeDelta::zero()),
    ] {
        let (service, sandbox) = imagery();
        service.fault_always("token", asking_for(retry_after));
        let _ = sandbox.broker(&["token", "earthdaily"]).ends(4);
        service.clear_faults();
        if !wait.is_zero() {
            let _ = sandbox.broker(&["token", "earthdaily"]).ends(4).fails_with("rate_limited");
        }
        sandbox.age("earthdaily", wait);
        let run = sandbox.broker(&["token", "earthdaily"]);
        assert_eq!(run.code, 0, "{retry_after}: {}", run.err);
    }
}

#[test]
fn repeated_long_retry_after_is_obeyed_for_a_day() {
    let (service, sandbox) = imagery();
    service.fault_always("token", asking_for("Fri, 01 Jan 2100 00:00:00 GMT"));
    let _ = sandbox.broker(&["token", "earthdaily"]).ends(4);
    sandbox.age("earthdaily", TimeDelta::minutes(61));
    let _ = sandbox.broker(&["token", "earthdaily"]).ends(4).fails_with("rate_limited");
    assert_eq!(service.count("token"), 2, "the second pause");
    service.clear_faults();
    sandbox.age("earthdaily", TimeDelta::hours(23));
    let _ = sandbox.broker(&["token", "earthdaily"]).ends(4);
    sandbox.age("earthdaily", TimeDelta::minutes(61));
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
}

#[test]
fn force_asks_the_service_once_during_a_pause() {
    let force = ["token", "earthdaily", "--force"];
    let (service, sandbox) = imagery();
    service.fault_always("token", asking_for("86400"));
    let _ = sandbox.broker(&["token", "earthdaily"]).ends(4);
    for _ in 0..3 {
        let _ = sandbox.broker(&force).ends(4).fails_with("rate_limited");
    }
    assert_eq!(service.count("token"), 2, "one forced request");
    service.clear_faults();
    // The pause that answered the forced request is no repetition: it also ends after an hour.
    sandbox.age("earthdaily", TimeDelta::minutes(61));
    let _ = sandbox.broker(&["token", "earthdaily"]).token();

    let (service, sandbox) = imagery();
    service.fault("token", asking_for("3000"));
    let _ = sandbox.broker(&["token", "earthdaily"]).ends(4);
    // Another failure leaves the pause as it is.
    service.fault("token", Fault::Empty(404));
    let _ = sandbox.broker(&force).ends(4);
    let _ = sandbox.broker(&["token", "earthdaily"]).ends(4).fails_with("rate_limited");
    let _ = sandbox.broker(&force).token();
}

#[test]
fn lock_timeout_error_names_the_process_with_the_lock() {
    let (service, sandbox) = imagery();
    std::fs::create_dir_all(sandbox.state()).expect("a folder");
    // The lock file contains no process id, so the broker must ask the system which process has the lock.
    let lock = std::fs::File::create(sandbox.state().join("earthdaily.lock")).expect("a lock file");
    lock.lock().expect("locked");
    let this = format!("process {}", std::process::id());
    let run = sandbox.broker(&["token", "earthdaily", "--wait", "300ms"]).ends(4);
    let _ = run.fails_with("lock_timeout").says(&this).says("hint: ");
    assert!(service.seen().is_empty());
    drop(lock);
    let _ = sandbox.broker(&["token", "earthdaily", "--wait", "300ms"]).token();
}

#[test]
fn token_issued_in_the_future_is_not_used() {
    let (service, sandbox) = imagery();
    let first = sandbox.broker(&["token", "earthdaily"]).token();
    // Moves the record's times two days ahead, as if the clock had been ahead when the token was issued.
    sandbox.age("earthdaily", TimeDelta::days(-2));
    let second = sandbox.broker(&["token", "earthdaily"]).token();
    assert_ne!(first, second, "its age is unknown");
    for _ in 0..3 {
        assert_eq!(sandbox.broker(&["token", "earthdaily"]).token(), second);
    }
    assert_eq!(service.count("token"), 2, "one renewal");
}

#[test]
fn clock_set_back_30_seconds_keeps_the_stored_token() {
    let (service, sandbox) = imagery();
    let stored = sandbox.broker(&["token", "earthdaily"]).token();
    sandbox.age("earthdaily", TimeDelta::seconds(-30));
    assert_eq!(sandbox.broker(&["token", "earthdaily"]).token(), stored);
    assert_eq!(service.count("token"), 1);
}

#[test]
fn service_failure_recorded_at_a_future_time_is_ignored() {
    let (service, sandbox) = imagery();
    service.fault("token", asking_for("3600"));
    let _ = sandbox.broker(&["token", "earthdaily"]).ends(4);
    sandbox.age("earthdaily", TimeDelta::days(-300));
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
}

#[test]
fn clock_jump_of_400_days_renews_the_token_once() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    sandbox.age("earthscope", TimeDelta::days(400));
    let token = sandbox.broker(&["token", "earthscope"]).token();
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), token);
    assert_eq!(service.count("token"), 1);
}
