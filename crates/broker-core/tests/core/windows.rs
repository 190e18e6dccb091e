//! Tests of when the broker renews a token.

use broker_core::{Phase, Window};
use chrono::{DateTime, TimeDelta, Utc};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Each row, in milliseconds: a token's lifetime, how long before expiry one caller renews the token, and how long
/// before expiry all callers wait for the renewal.
const TABLE: [(i64, i64, i64); 7] = [
    (5_000, 1_250, 250),
    (20 * MINUTE, 5 * MINUTE, MINUTE),
    (15 * MINUTE, 225_000, 45_000),
    (HOUR, 15 * MINUTE, MINUTE),
    (DAY, HOUR, MINUTE),
    (7 * DAY, HOUR, MINUTE),
    (365 * DAY, HOUR, MINUTE),
];

const ISSUED_AT: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn window(lifetime: TimeDelta) -> Window {
    Window { issued_at: ISSUED_AT, expires_at: Some(ISSUED_AT + lifetime), ahead_of: None, margin: None }
}

/// EarthScope's tool `es` renews 600 s before expiry. The broker renews earlier if the lifetime exceeds 600 s.
#[test]
fn broker_renews_token_earlier_than_earthscopes_tool() {
    for (life, left) in [(600, 150), (601, 600), (700, 650), (1800, 900), (3600, 900), (86_400, 3600)] {
        let window = Window { ahead_of: Some(TimeDelta::seconds(600)), ..window(TimeDelta::seconds(life)) };
        let begins = window.renews_at().expect("an expiry") - ISSUED_AT;
        assert_eq!((TimeDelta::seconds(life) - begins).num_seconds(), left, "{life}");
    }
}

#[test]
fn token_renewal_phase_depends_on_lifetime_and_time_left() {
    for row in TABLE {
        let [lifetime, advisory, blocking] = [row.0, row.1, row.2].map(TimeDelta::milliseconds);
        let (token, end) = (window(lifetime), ISSUED_AT + lifetime);
        let tick = TimeDelta::milliseconds(1);
        for (at, phase) in [
            (ISSUED_AT, Phase::Fresh),
            (end - advisory - tick, Phase::Fresh),
            (end - advisory, Phase::Advisory),
            (end - blocking - tick, Phase::Advisory),
            (end - blocking, Phase::Blocking),
            (end - tick, Phase::Blocking),
            (end, Phase::Expired),
            (end + TimeDelta::days(9), Phase::Expired),
        ] {
            assert_eq!(token.phase(at), phase, "{row:?}: {at}");
        }
        assert_eq!(token.renews_at(), Some(end - advisory));
    }
}

#[test]
fn token_without_expiry_needs_no_renewal() {
    let token = Window { expires_at: None, ..window(TimeDelta::zero()) };
    assert_eq!(token.phase(ISSUED_AT + TimeDelta::days(10_000)), Phase::Fresh);
    assert_eq!((token.renews_at(), token.left(ISSUED_AT)), (None, None));
}

#[test]
fn renewal_retry_pause_is_20th_of_lifetime_up_to_10_min() {
    let pause = |life, jitter| window(life).retry_pause(jitter);
    assert_eq!(pause(TimeDelta::minutes(20), 0.5), TimeDelta::minutes(1));
    assert_eq!(pause(TimeDelta::days(1), 0.0), TimeDelta::minutes(5));
    assert_eq!(pause(TimeDelta::days(1), 1.0), TimeDelta::minutes(10));
}
