//! Tests of the header `Retry-After`.

use std::time::Duration;

use broker_core::{ErrorCode, Problem, ServiceUrl, read_object};
use chrono::{DateTime, Utc};

fn sent_at() -> DateTime<Utc> {
    "2026-11-22T12:00:00Z".parse().expect("a time")
}

/// Reads the header; returns milliseconds.
fn wait(value: &str) -> Option<u128> {
    let response = crate::response(429, &[("retry-after", value)], "", sent_at());
    response.retry_after().map(|wait| wait.as_millis())
}

#[test]
fn retry_after_is_seconds_in_plain_and_odd_forms() {
    for (value, milliseconds) in [
        ("120", 120_000),
        (" 7 ", 7_000),
        ("\"30\"", 30_000),
        ("30.0", 30_000),
        ("1.5", 1_500),
        ("90s", 90_000),
        ("90 seconds", 90_000),
        ("1500ms", 1_500),
        ("0", 0),
        // One to 24 whole hours are seconds, and so is all that is not in thousands.
        ("3600", 3_600_000),
        ("18000", 18_000_000),
        ("72000", 72_000_000),
        ("86400", 86_400_000),
        ("5400", 5_400_000),
    ] {
        assert_eq!(wait(value), Some(milliseconds), "{value}");
    }
}

#[test]
fn retry_after_in_milliseconds_or_since_1970_is_recognized() {
    let (now, milliseconds) = (sent_at().timestamp(), sent_at().timestamp_millis());
    for (value, expected) in [
        ("60000".to_owned(), 60_000),
        ("5000".to_owned(), 5_000),
        ("3600000".to_owned(), 3_600_000),
        ("86400000".to_owned(), 86_400_000),
        ((now + 30).to_string(), 30_000),
        ((milliseconds + 30_000).to_string(), 30_000),
        (((now + 30) * 1_000_000).to_string(), 30_000),
        (((now + 30) * 1_000_000_000).to_string(), 30_000),
        (format!("{}.5", now + 30), 30_500),
    ] {
        assert_eq!(wait(&value), Some(expected), "{value}");
    }
    assert_eq!(wait(&(now - 30).to_string()), None, "in the past");
}

#[test]
fn retry_after_accepts_all_forms_of_http_dates() {
    for value in [
        "Sun, 22 Nov 2026 12:01:30 GMT", "Sunday, 22-Nov-26 12:01:30 GMT", "Sun Nov 22 12:01:30 2026",
        "Sun, 22 Nov 2026 12:01:30 -0000", "Sun, 22 Nov 2026 13:01:30 +0100",
        "Sun, 22 Nov 2026 12:01:30 UTC", "2026-11-22T12:01:30Z", "2026-11-22T13:01:30+01:00",
    ] {
        assert_eq!(wait(value), Some(90_000), "{value}");
    }
    for value in
        ["Sun, 22 Nov 2026 11:00:00 GMT", "soon", "", "-5", "1e3", "12:30", "NaN", "+99999-01-01T00:00:00Z"]
    {
        assert_eq!(wait(value), None, "{value}");
    }
}

#[test]
fn retry_after_date_counts_from_the_services_clock() {
    let headers =
        [("retry-after", "Sun, 22 Nov 2026 14:00:10 GMT"), ("date", "Sun, 22 Nov 2026 14:00:00 GMT")];
    let response = crate::response(503, &headers, "", sent_at());
    assert_eq!(response.retry_after().map(|wait| wait.as_secs()), Some(10));
}

#[test]
fn refusal_is_transient_if_it_asks_for_a_pause() {
    use ErrorCode::{AccessDenied, ClientRefused, RequestRefused, ServiceUnavailable};
    let url = ServiceUrl::parse("https://login.example.org/token").expect("a URL");
    let pause = Some(Duration::from_secs(30));
    for (status, body, retry_after, code, expected) in [
        (403, r#"{"message":"too many requests"}"#, "30", ServiceUnavailable, pause),
        (400, r#"{"error":"throttled"}"#, "30", ServiceUnavailable, pause),
        (400, r#"{"error":"slow_down"}"#, "30", ServiceUnavailable, pause),
        (400, r#"{"error":"slow_down"}"#, "", ServiceUnavailable, None),
        (403, r#"{"message":"no"}"#, "", RequestRefused, None),
        (403, r#"{"message":"no"}"#, "0", RequestRefused, None),
        (401, r#"{"error":"invalid_client"}"#, "30", ClientRefused, None),
        (403, r#"{"error":"access_denied"}"#, "30", AccessDenied, None),
        (400, r#"{"error":"invalid_request"}"#, "30", RequestRefused, None),
    ] {
        let response = crate::response(status, &[("retry-after", retry_after)], body, sent_at());
        let problem = || read_object(&response, &url, &[]).expect_err("a refusal");
        let error = problem().of_service(&url).error("refused");
        assert_eq!((error.code(), error.retry_after()), (code, expected), "{body}");
        if code == ServiceUnavailable {
            let error = problem().of_credential(&url).error("refused");
            assert_eq!((error.code(), error.retry_after()), (code, expected), "{body}");
        }
        assert!(matches!(problem(), Problem::Refused(_)), "{body}");
    }
}
