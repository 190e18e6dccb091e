//! Tests of the advisory and blocking windows of tokens.

use broker_core::{Phase, Window};
use chrono::{DateTime, TimeDelta, Utc};

/// lifetime | seconds of the advisory window | seconds of the blocking window
const TABLE: &str = "
    5 s      | 1.25  | 0.25
    20 min   | 300   | 60
    15 min   | 225   | 45
    1 h      | 900   | 60
    24 h     | 3600  | 60
    7 d      | 3600  | 60
    365 d    | 3600  | 60
";

/// EarthScope's tool `es` renews 600 s before expiry, so the broker renews earlier if the lifetime is longer.
#[test]
fn broker_renews_before_programs_that_take_no_lock() {
    let issued_at = DateTime::<Utc>::UNIX_EPOCH;
    let window = |life| Window {
        issued_at,
        expires_at: Some(issued_at + TimeDelta::seconds(life)),
        ahead_of: Some(TimeDelta::seconds(600)),
        margin: None,
    };
    for (life, left) in [(600, 150), (601, 600), (700, 650), (1800, 900), (3600, 900), (86_400, 3600)] {
        let begins = window(life).renews_at().expect("an expiry") - issued_at;
        assert_eq!((TimeDelta::seconds(life) - begins).num_seconds(), left, "{life}");
    }
}

fn seconds(number: f64) -> TimeDelta {
    #[expect(clippy::cast_possible_truncation, reason = "small")]
    TimeDelta::milliseconds((number * 1000.0) as i64)
}

#[test]
fn advisory_and_blocking_windows_match_the_table() {
    let issued_at: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().expect("a time");
    for row in TABLE.lines().filter(|row| row.contains('|')) {
        let mut cells = row.split('|').map(str::trim);
        let mut lifetime = cells.next().expect("a lifetime").split(' ');
        let (number, unit) = (lifetime.next().expect("a number"), lifetime.next().expect("a unit"));
        let unit = match unit {
            "s" => 1.0,
            "min" => 60.0,
            "h" => 3600.0,
            _ => 86_400.0,
        };
        let lifetime = seconds(number.parse::<f64>().expect("a number") * unit);
        let mut window = || seconds(cells.next().expect("a window").parse().expect("a number"));
        let (advisory, blocking) = (window(), window());
        let end = issued_at + lifetime;
        let token = Window { issued_at, expires_at: Some(end), ahead_of: None, margin: None };
        let tick = TimeDelta::milliseconds(1);
        for (at, phase) in [
            (issued_at, Phase::Fresh),
            (end - advisory - tick, Phase::Fresh),
            (end - advisory, Phase::Advisory),
            (end - blocking - tick, Phase::Advisory),
            (end - blocking, Phase::Blocking),
            (end - tick, Phase::Blocking),
            (end, Phase::Expired),
            (end + TimeDelta::days(9), Phase::Expired),
        ] {
            assert_eq!(token.phase(at), phase, "{row}: {at}");
        }
        assert_eq!(token.renews_at(), Some(end - advisory));
    }
}

#[test]
fn token_without_expiry_needs_no_renewal() {
    let now = Utc::now();
    let token = Window { issued_at: now, expires_at: None, ahead_of: None, margin: None };
    assert_eq!(token.phase(now + TimeDelta::days(10_000)), Phase::Fresh);
    assert_eq!((token.renews_at(), token.left(now)), (None, None));
}

#[test]
fn pause_after_failed_renewal_is_a_20th_of_lifetime() {
    let now = Utc::now();
    let pause = |life, jitter| {
        Window { issued_at: now, expires_at: Some(now + life), ahead_of: None, margin: None }
            .retry_pause(jitter)
    };
    assert_eq!(pause(TimeDelta::minutes(20), 0.5), TimeDelta::minutes(1));
    assert_eq!(pause(TimeDelta::days(1), 0.0), TimeDelta::minutes(5));
    assert_eq!(pause(TimeDelta::days(1), 1.0), TimeDelta::minutes(10));
}
