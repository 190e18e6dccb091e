//! Tests of expiry times in the formats that services use.

use broker_core::{ExpiresAs, Expiry, Pattern, Secret, Token, later, value_at};
use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use serde_json::{Value, json};

fn at(hour: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 22, hour, 30, 0).unwrap()
}

fn form(text: &str) -> ExpiresAs {
    serde_json::from_value(Value::from(text)).expect("a form")
}

#[test]
fn expiry_is_read_in_exactly_the_configured_format() {
    let hour = Expiry::In(TimeDelta::hours(1));
    for value in [json!(3600), json!("3600")] {
        assert_eq!(form("seconds").read(&value), Some(hour), "{value}");
    }
    let forms = [
        ("epoch", json!(at(11).timestamp()), Some(at(11))),
        ("epoch", json!(at(11).timestamp().to_string()), Some(at(11))),
        ("epoch_ms", json!(at(11).timestamp_millis()), Some(at(11))),
        ("rfc3339", json!("2026-11-22T12:30:00+01:00"), Some(at(11))),
        ("rfc3339", json!("2026-11-22T11:30:00Z"), Some(at(11))),
        ("rfc3339", json!("2026-11-22 11:30:00.000"), Some(at(11))),
        ("MM/DD/YYYY", json!("11/23/2026"), Some(Utc.with_ymd_and_hms(2026, 11, 23, 0, 0, 0).unwrap())),
        ("YYYY-MM-DD HH:mm:ss", json!("2026-11-22 11:30:00"), Some(at(11))),
        ("%d.%m.%Y %H:%M:%S %z", json!("22.11.2026 12:30:00 +0100"), Some(at(11))),
        ("seconds", json!("soon"), None),
        ("epoch", json!(null), None),
        ("epoch", json!(0), None),
        ("epoch", json!(f64::MAX), Some(Utc.with_ymd_and_hms(9999, 12, 31, 23, 59, 59).unwrap())),
        ("epoch", json!(-62_135_596_800_i64), None),
        ("rfc3339", json!("0001-01-01T00:00:00Z"), None),
        ("rfc3339", json!(1_795_000_000), None),
        ("MM/DD/YYYY", json!("2026-11-23"), None),
    ];
    for (name, value, right) in forms {
        assert_eq!(form(name).read(&value), right.map(Expiry::At), "{name}: {value}");
    }
}

#[test]
fn expiry_format_is_recognized_by_plausibility() {
    let (now, end) = (at(10), at(11));
    let epoch = end.timestamp();
    let hour = Expiry::In(TimeDelta::hours(1));
    let years = |years: i64| Expiry::In(TimeDelta::days(365 * years));
    let (end, day) = (Expiry::At(end), Expiry::At(Utc.with_ymd_and_hms(2026, 11, 23, 0, 0, 0).unwrap()));
    let never = Expiry::At(Utc.with_ymd_and_hms(9999, 12, 31, 23, 59, 59).unwrap());
    for (name, value, expected) in [
        ("expires_in", json!(3600), hour),
        ("expires_in", json!("3600"), hour),
        ("expiresIn", json!("3600s"), hour),
        ("expires_in", json!("1h"), hour),
        ("expires_at", json!(3600), hour),
        ("ttl", json!("3600.0 s"), hour),
        ("expires_in", json!("PT60M"), hour),
        ("expires_in", json!(-5), Expiry::In(TimeDelta::seconds(-5))),
        ("expires_at", json!(253_402_300_799_i64), never),
        ("expires_on", json!("253402318799"), never),
        ("expires_at", json!(253_402_300_799_000_i64), never),
        ("expiry", json!(999_999_999_999_i64), never),
        ("expires_in", json!(epoch), end),
        ("expires_in", json!(epoch * 1000), end),
        ("expires_in", json!(1_576_800_000), years(50)),
        ("expires_in", json!(i64::MAX), years(100)),
        ("expires_at", json!(epoch), end),
        ("expires", json!(epoch.to_string()), end),
        ("expiration", json!(epoch * 1000), end),
        ("expiry", json!(epoch * 1_000_000), end),
        ("exp", json!(epoch * 1_000_000_000), end),
        ("expires_on", json!(1_576_800_000), Expiry::At(Utc.timestamp_opt(1_576_800_000, 0).unwrap())),
        ("expirationTime", json!("2026-11-22T11:30:00Z"), end),
        ("expirationTime", json!("2026-11-22T12:30:00.000+0100"), end),
        ("expiration_time", json!("2026-11-22 11:30:00.000000"), end),
        ("expiresAt", json!("2026-11-22T11:30:00UTC"), end),
        ("expires", json!("2026-11-22 11:30:00 +0000"), end),
        ("expires", json!("2026-11-22 11:30 UTC"), end),
        ("expires", json!("Sun, 22 Nov 2026 11:30:00 GMT"), end),
        ("expires", json!("Sunday, 22-Nov-26 11:30:00 GMT"), end),
        ("expires", json!("Sun Nov 22 11:30:00 2026"), end),
        ("expires", json!("20261122T113000Z"), end),
        ("expires_time", json!("2026-11-22 11:30:00 +0000 UTC"), end),
        ("expireAt", json!("2026-11-22 12:30:00.0 +0100 CET m=+3600.1"), end),
        ("access_token_expiration", json!("Sun Nov 22 11:30:00 UTC 2026"), end),
        ("expire", json!("2026-11-22T12:30:00+01:00[Europe/Oslo]"), end),
        ("valid_for", json!(3600), hour),
        ("access_expiration", json!("Nov 22, 2026 11:30:00 AM"), end),
        ("expire_on", json!("2026-11-22T11:30:00,000Z"), end),
        ("expires_on", json!("11/22/2026 11:30:00"), end),
        ("expires_on", json!("22/11/2026 11:30:00 AM"), end),
        ("expires", json!(format!("/Date({epoch}000)/")), end),
        ("expires", json!({ "seconds": epoch }), end),
        ("expires", json!({ "$date": "2026-11-22T11:30:00Z" }), end),
        ("expires_in", json!({ "seconds": 3600 }), hour),
        ("expires_in", json!("P0DT1H"), hour),
        ("expires_in", json!("P1M"), Expiry::In(TimeDelta::seconds(2_630_016))),
        ("expire_in", json!(3600), hour),
        ("expires_in_sec", json!("3600"), hour),
        ("expiresInSeconds", json!(3600), hour),
        ("token_lifetime", json!(3600), hour),
        ("expires_on", json!("11/22/2026 11:30:00 +00:00"), end),
        ("expires_on", json!("11/22/2026 11:30:00 AM +00:00"), end),
        ("expiry", json!({ "datetime": "2026-11-22 11:30:00.000000" }), end),
        ("expires", json!("2026-11-23"), day),
    ] {
        let body = json!({ "tokens": [{ name: value.clone() }] });
        assert_eq!(Expiry::read(name, &value, now), Some(expected), "{name}: {value}");
        let beside = Expiry::beside("tokens.0.token", &body, now);
        assert!(beside == [expected], "{name}: {value}");
    }
    for value in [
        json!(null),
        json!(0),
        json!("0"),
        json!(" "),
        json!(-1),
        json!("0001-01-01T00:00:00Z"),
        json!("0001-01-01 00:00:00"),
        json!("1970-01-01T00:00:00+00:00"),
        json!("0000-01-01T00:00:00+23:59"),
        json!("0001-01-01T00:00:00+01:00"),
        json!("1970-01-01T00:00:00-08:00"),
        json!("1900-01-01"),
        json!(-62_135_596_800_i64),
        json!("-62135596800000"),
        json!(-6_795_364_578_871_345_152_i64),
        json!("N/A"),
        json!("9999-99-99"),
        json!("0000-00-00 00:00:00"),
        json!({}),
        json!(true),
        json!([1]),
    ] {
        assert_eq!(Expiry::read("expires_at", &value, now), None, "{value}");
    }
    assert!(Expiry::beside("token", &json!({ "refresh_expires_in": 60, "not_before": 1 }), now).is_empty());
}

#[test]
fn time_arithmetic_stops_at_the_ends_of_the_calendar() {
    for at in [DateTime::<Utc>::MIN_UTC, at(10), DateTime::<Utc>::MAX_UTC] {
        for by in [TimeDelta::MIN, TimeDelta::zero(), TimeDelta::MAX] {
            let sum = later(at, by).to_rfc3339();
            assert!((25..=35).contains(&sum.len()), "{sum}");
        }
    }
}

#[test]
fn pasted_scheme_before_a_token_is_removed_once() {
    for (text, token) in [
        ("tok", "tok"),
        ("tok ", "tok "),
        ("Bearer tok", "tok"),
        (" Bearer\ttok\r\n", "tok"),
        ("bearer  tok\n", "tok"),
        ("Bearer Bearer tok", "Bearer tok"),
        ("authorization:Bearer tok", "tok"),
        ("Authorization: Basic tok", "Authorization: Basic tok"),
        ("Bearertok", "Bearertok"),
        ("Bearer", "Bearer"),
        ("Basic abc", "Basic abc"),
    ] {
        let read = Token::new(Secret::new(text), at(10), None);
        assert_eq!(read.secret().expose(), token, "{text:?}");
    }
}

#[test]
fn token_type_that_is_no_scheme_becomes_bearer() {
    let token = || Token::new(Secret::new("tok"), at(10), None);
    for no_scheme in [
        "",
        " ",
        "bearer",
        "BEARER ",
        "bearer_token",
        "access_token",
        "JWT",
        "urn:ietf:params:oauth:token-type:access_token",
        "N_A",
        "access",
        "api_key",
        "token-type",
        "a b",
        "x\r\ny: z",
        "é",
    ] {
        assert_eq!(token().with_type(no_scheme).token_type(), "Bearer", "{no_scheme:?}");
    }
    for scheme in ["Basic", "DPoP", "MAC", "Token", "aws"] {
        assert_eq!(token().with_type(scheme).token_type(), scheme);
    }
    assert_eq!(token().with_scheme("JWT").token_type(), "JWT");
}

#[test]
fn unknown_expiry_format_in_configuration_is_an_error() {
    for text in ["", "iso", "secs", "%Q", "tomorrow"] {
        let error = serde_json::from_value::<ExpiresAs>(Value::from(text)).expect_err(text);
        assert!(error.to_string().contains("MM/DD/YYYY"), "{text}: {error}");
    }
}

#[test]
fn date_pattern_parses_the_text_that_it_formats() {
    for text in ["MM/DD/YYYY", "%Y-%m-%d", "YYYY/DD/MM HH:mm"] {
        let pattern = Pattern::parse(text).expect(text);
        let read = pattern.read(&pattern.write(at(10))).expect(text);
        assert_eq!(pattern.write(read), pattern.write(at(10)), "{text}");
    }
    assert_eq!(Pattern::parse("MM/DD/YYYY").expect("a pattern").write(at(10)), "11/22/2026");
}

#[test]
fn dotted_path_selects_values_in_json_objects_and_lists() {
    let value = json!({ "data": { "tokens": [{ "token": "a" }, { "token": "b" }] }, "a.b": 1 });
    assert_eq!(value_at(&value, "data.tokens.1.token"), Some(&json!("b")));
    assert_eq!(value_at(&value, "data.tokens.2.token"), None);
    assert_eq!(value_at(&value, "data.token"), None);
    assert_eq!(value_at(&value, "data.tokens.0"), Some(&json!({ "token": "a" })));
}
