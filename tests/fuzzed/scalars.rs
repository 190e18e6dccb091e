//! Fuzzes the parsers of single values: durations, JWTs, headers, numbers of seconds.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use broker_core::{Claims, Lifetime, Secret, Token, TokenRequest};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::answer::check_token;
use super::world::{response, split_at_part, start};

/// 100 years in seconds, the longest lifetime that the broker accepts in a response.
const MOST_SECONDS: f64 = 36_500.0 * 86_400.0;

/// Parses the value of `--expires`. Checks that a valid lifetime can be formatted and parsed again.
pub fn duration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let again = |written: String| written.parse::<Lifetime>().expect("a written lifetime can be parsed");
    match text.parse::<Lifetime>() {
        Ok(life @ Lifetime::For(duration)) => {
            assert_eq!(again(humantime::format_duration(duration).to_string()), life);
            if let Some(end) = life.end(start()) {
                assert!(end >= start());
                assert_eq!((end - start()).to_std().unwrap(), duration);
            }
        }
        Ok(life @ Lifetime::Until(day)) => {
            assert_eq!(again(day.to_string()), life);
            let end = life.end(start()).expect("a day begins");
            assert_eq!(end.date_naive(), day);
        }
        Err(why) => assert!(why.contains(&broker_core::sanitize(text)), "the message has the value: {why}"),
    }
    if let Ok(left) = humantime::parse_duration(text) {
        assert_eq!(TokenRequest::new().min_ttl(left).min_ttl, Some(left));
    }
}

/// Reads a JWT. The input is the payload (or the whole token, if it has dots), a separator, and the `Date` header.
pub fn jwt(input: &[u8]) {
    let (payload, date) = split_at_part(input);
    let text = String::from_utf8_lossy(payload);
    let token = if text.contains('.') {
        text.into_owned()
    } else {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload))
    };
    let secret = Secret::new(token.as_str());
    if let Some(claims) = Claims::read(&secret) {
        assert_eq!(token.matches('.').count(), 2, "three parts");
        assert!(claims.text("email").is_none_or(|email| !email.is_empty()));
        assert!(claims.expires_at().is_none_or(|end| !end.to_rfc3339().is_empty()));
    }
    if !token.is_empty() {
        let answer = response(&[b"200\ndate: ", date].concat());
        let token = Token::from_response(&answer, secret, None::<TimeDelta>, TimeDelta::hours(1));
        check_token(&token);
        assert!(token.expires_at().is_some(), "the default lifetime is missing");
    }
}

/// Parses `Retry-After`. The input is the `Retry-After` header, a separator, and the `Date` header.
pub fn retry_after(input: &[u8]) {
    let (value, date) = split_at_part(input);
    let answer = response(&[b"429\nretry-after: ", value, b"\ndate: ", date].concat());
    if let Some(date) = answer.date() {
        assert!(!date.to_rfc3339().is_empty());
        let skew = date - answer.sent_at;
        let back = answer.sent_at.checked_add_signed(skew).expect("a skew can be added");
        assert!((back - date).abs() <= TimeDelta::seconds(1), "the skew is wrong, beyond a leap second");
    }
    let Some(wait) = answer.retry_after() else { return };
    assert!(!humantime::format_duration(wait).to_string().is_empty());
    assert!(wait >= Duration::ZERO);
    let wait = TimeDelta::from_std(wait).unwrap_or_default();
    let until: DateTime<Utc> = start().checked_add_signed(wait).unwrap_or(start());
    let written = serde_json::to_string(&until).expect("a time can be written");
    assert_eq!(serde_json::from_str::<DateTime<Utc>>(&written).expect("and read"), until);
}

/// Parses a number of seconds in a response. The result is exact up to 100 years; larger values count as 100 years.
pub fn seconds(input: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(input) else { return };
    let Some(span) = broker_core::seconds(&value) else { return };
    let number = match &value {
        Value::Number(number) => number.as_f64().unwrap(),
        Value::String(text) => text.trim().parse().unwrap(),
        other => panic!("{other} is not a number"),
    };
    #[expect(clippy::cast_precision_loss, reason = "compared to the millisecond and 1 in 2^50")]
    let read = span.num_milliseconds() as f64 / 1000.0;
    let bounded = number.clamp(-MOST_SECONDS, MOST_SECONDS);
    let near = (read - bounded).abs() <= 0.001 + bounded.abs() / f64::from(1 << 30) / f64::from(1 << 20);
    assert!(near, "{number} was read as {read}");
    if let Some(end) = start().checked_add_signed(span) {
        check_token(&Token::new(Secret::new("t"), start(), Some(end)));
    }
}
