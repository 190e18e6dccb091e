//! Tests of expiry times in the formats that services use.

use broker_core::{ExpiresAs, Pattern, value_at};
use chrono::{DateTime, TimeZone, Utc};
use serde_json::{Value, json};

fn at(hour: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 22, hour, 30, 0).unwrap()
}

fn form(text: &str) -> ExpiresAs {
    serde_json::from_value(Value::from(text)).expect("a form")
}

#[test]
fn token_expiry_is_parsed_in_every_format() {
    let forms = [
        ("seconds", json!(3600), Some(at(11))),
        ("seconds", json!("3600"), Some(at(11))),
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
        ("epoch", json!(f64::MAX), None),
        ("rfc3339", json!(1_795_000_000), None),
        ("MM/DD/YYYY", json!("2026-11-23"), None),
    ];
    for (name, value, right) in forms {
        assert_eq!(form(name).read(&value, at(10)), right, "{name}: {value}");
    }
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
