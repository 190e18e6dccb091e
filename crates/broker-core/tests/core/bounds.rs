//! Tests that extreme numbers and times in records and responses cause no panic.

use std::time::Duration;

use broker_core::{Claims, Clock, ExpiresAs, Phase, Token, TokenRequest, Window, seconds};
use broker_testkit::World;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::broker::Scripted;
use crate::{jwt, response};

const LONGEST: TimeDelta = TimeDelta::days(36_500);

fn numbers() -> impl Iterator<Item = Value> {
    let (min, max) = (i64::MIN, i64::MAX);
    let whole = [min, min + 1, min / 1000, -1, 0, 1, max / 1000, max - 1, max].map(Value::from);
    whole.into_iter().chain([json!(u64::MAX), json!(f64::MAX), json!(f64::MIN)])
}

const TIMES: [&str; 6] = [
    "-262143-01-01T00:00:00Z", "-0001-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z", "+262142-12-31T23:59:59Z",
];

/// Returns a record that contains every numeric and every time field.
fn full_record(now: DateTime<Utc>) -> Value {
    let (past, soon) = (now - TimeDelta::minutes(1), now + TimeDelta::hours(1));
    let token = json!({ "secret": "t", "token_type": "Bearer", "issued_at": past, "expires_at": soon,
        "asked_until": soon, "clock_skew": 10, "ahead_of": 600, "margin": 60 });
    json!({
        "version": 1,
        "provider": World::NAME,
        "revision": 7,
        "issuer": { "kind": "test", "flow": "none", "endpoint": "https://example.org" },
        "grant": { "secret": "g", "issued_at": past, "sent_at": past, "sent_again_at": past,
            "refused_at": past },
        "interrupted_at": past,
        "tokens": { "": token },
        "failures": { "": { "at": past, "kind": "unavailable", "message": "m", "retry_at": soon, "resume_at": soon } },
        "rejections": { "": { "at": past } },
        "replaced": [{ "expires_at": soon, "details": { "name": "n" } }],
    })
}

async fn use_record(record: &Value, case: &str) {
    use_record_after(TimeDelta::zero(), record, case).await;
}

/// Runs the broker's operations with this record after a change of the clock. Each operation uses a new broker, which
/// reads the record from disk.
async fn use_record_after(change: TimeDelta, record: &Value, case: &str) {
    let world = World::new();
    world.clock.advance(change);
    let provider = || Scripted::numbered(TimeDelta::hours(1));
    std::fs::create_dir_all(world.record_path().parent().expect("a folder")).expect("a folder");
    std::fs::write(world.record_path(), record.to_string()).expect("a record");
    let request = TokenRequest::new();
    let lifetime = request.clone().expires("30d".parse().expect("a lifetime"));
    let status = world.broker(provider()).status(World::NAME).expect(case);
    assert_eq!(status.tokens.len(), 1, "{case}: the record is read");
    for request in [&request, &lifetime, &request.clone().min_ttl(Duration::MAX)] {
        drop(world.broker(provider()).stored(World::NAME, request).expect(case));
    }
    drop(world.broker(provider()).replace_rejected(World::NAME, &request, None).await);
    std::fs::write(world.record_path(), record.to_string()).expect("a record");
    drop(world.broker(provider()).token(World::NAME, &lifetime).await);
    drop(world.broker(provider()).token(World::NAME, &request.force()).await);
    world.broker(provider()).status(World::NAME).expect(case);
}

#[tokio::test]
async fn extreme_numbers_in_a_record_cause_no_panic() {
    let record = full_record(World::new().clock.now());
    for path in ["/revision", "/tokens//clock_skew", "/tokens//ahead_of", "/tokens//margin"] {
        for number in numbers() {
            let mut record = record.clone();
            *record.pointer_mut(path).expect(path) = number.clone();
            if path.ends_with("ahead_of") {
                record["tokens"][""]["margin"] = Value::Null;
            }
            use_record(&record, &format!("{path} = {number}")).await;
        }
    }
}

#[tokio::test]
async fn extreme_times_in_a_record_cause_no_panic() {
    let record = full_record(World::new().clock.now());
    let paths = [
        "/grant/issued_at", "/grant/sent_at", "/grant/refused_at", "/tokens//issued_at",
        "/tokens//expires_at", "/tokens//asked_until", "/failures//at", "/failures//retry_at",
        "/failures//resume_at", "/rejections//at", "/replaced/0/expires_at",
    ];
    for path in paths {
        for time in TIMES {
            let mut record = record.clone();
            *record.pointer_mut(path).expect(path) = time.into();
            for margin in [json!(60), Value::Null] {
                record["tokens"][""]["margin"] = margin;
                use_record(&record, &format!("{path} = {time}")).await;
            }
        }
    }
}

#[tokio::test]
async fn clock_at_the_ends_of_the_calendar_causes_no_panic() {
    let record = full_record(World::new().clock.now());
    for years in [-10_000, -2026, -100, -57, 57, 7_973, 10_000] {
        use_record_after(TimeDelta::days(years * 365), &record, &format!("{years} years")).await;
    }
}

#[test]
fn renewal_windows_of_extreme_lifetimes_do_not_overflow() {
    let now = Utc::now();
    let durations = [TimeDelta::MIN, TimeDelta::seconds(-1), TimeDelta::zero(), TimeDelta::MAX];
    let times = [DateTime::<Utc>::MIN_UTC, now, DateTime::<Utc>::MAX_UTC];
    let optional = || durations.map(Some).into_iter().chain([None]);
    for issued_at in times {
        for expires_at in times.map(Some).into_iter().chain([None]) {
            for (ahead_of, margin) in
                optional().flat_map(|first| optional().map(move |second| (first, second)))
            {
                let window = Window { issued_at, expires_at, ahead_of, margin };
                let _ = (window.phase(now), window.renews_at(), window.left(now), window.retry_pause(1.0));
            }
        }
    }
    let window = Window { issued_at: now, expires_at: Some(now + LONGEST), ahead_of: None, margin: None };
    assert_eq!(window.phase(now), Phase::Fresh);
}

#[test]
fn seconds_in_a_response_are_limited_to_100_years() {
    for number in [json!(i64::MAX), json!(i64::MAX.to_string()), json!(u64::MAX), json!(f64::MAX)] {
        assert_eq!(seconds(&number), Some(LONGEST), "{number}");
    }
    for number in [json!(i64::MIN), json!(f64::MIN)] {
        assert_eq!(seconds(&number), Some(-LONGEST), "{number}");
    }
    assert_eq!(seconds(&json!("1e999")), None);
}

#[test]
fn extreme_numbers_in_a_response_cause_no_panic() {
    for sent_at in [DateTime::<Utc>::MIN_UTC, DateTime::UNIX_EPOCH, Utc::now(), DateTime::<Utc>::MAX_UTC] {
        for date in ["Sat, 01 Jan 0000 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"] {
            let response = response(200, &[("date", date)], "", sent_at);
            for number in numbers() {
                let jwt = jwt(&json!({ "exp": number, "iat": number }));
                let _ = Claims::read(&jwt).expect("claims").issued_at();
                for expires_in in [seconds(&number), None, Some(TimeDelta::MAX), Some(TimeDelta::MIN)] {
                    let token = Token::from_response(&response, jwt.clone(), expires_in, LONGEST);
                    let _ = token.window().phase(Utc::now());
                    let _ = token.ahead_of(TimeDelta::MAX).window().renews_at();
                }
                for form in ["seconds", "epoch", "epoch_ms"] {
                    let form: ExpiresAs = serde_json::from_value(form.into()).expect("a form");
                    let _ = form.read(&number);
                }
            }
        }
    }
    for value in ["18446744073709551615", "99999999999999999999999", "0", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        let wait = response(503, &[("retry-after", value)], "", Utc::now()).retry_after();
        assert!(wait.is_none_or(|wait| wait <= Duration::from_hours(24 * 366 * 10_000)), "{value}");
    }
}
