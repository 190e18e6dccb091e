//! Reads the header `Retry-After` and HTTP dates.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::token::bounds;

/// Numbers from the first one on are times since 1970, from 2001-09-09 on. The second one is their unit in seconds.
const EPOCH_UNITS: [(f64, f64); 4] = [(1e18, 1e-9), (1e15, 1e-6), (1e12, 1e-3), (1e9, 1.0)];

const HOUR: f64 = 3600.0;

/// Returns the pause that the header's `value` asks for at the service's time `now`: seconds, or a date (RFC 9110
/// section 10.2.3). Services also send milliseconds (fastify/fastify-rate-limit#301) and times since 1970
/// (`cloudfoundry/cloud_controller_ng#2544`).
pub(crate) fn read(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim().trim_matches('"').trim();
    let seconds = match number(value) {
        Some((number, "ms" | "milliseconds")) => number / 1000.0,
        Some((number, "")) if let Some((_, unit)) = EPOCH_UNITS.iter().find(|(from, _)| number >= *from) => {
            number * unit - (now - DateTime::UNIX_EPOCH).as_seconds_f64()
        }
        Some((number, "")) if are_milliseconds(number) => number / 1000.0,
        Some((number, "" | "s" | "sec" | "seconds")) => number,
        _ => return (date(value)? - now).to_std().ok(),
    };
    Duration::try_from_secs_f64(seconds.min(bounds::LONGEST.as_seconds_f64())).ok()
}

/// Whether a number is more plausible as milliseconds: more than an hour, in whole thousands, but not in whole hours of
/// up to a day.
fn are_milliseconds(number: f64) -> bool {
    let is_multiple = |of: f64| number % of < f64::EPSILON;
    number > HOUR && is_multiple(1000.0) && !(is_multiple(HOUR) && number <= 24.0 * HOUR)
}

/// Splits a value into an unsigned number and a unit.
fn number(value: &str) -> Option<(f64, &str)> {
    let end = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let (digits, unit) = value.split_at(end);
    Some((digits.parse().ok().filter(|number: &f64| number.is_finite())?, unit.trim()))
}

/// Parses an HTTP date in each form of RFC 9110 section 5.6.7, also with another zone than GMT, or an RFC 3339 time.
pub(crate) fn date(text: &str) -> Option<DateTime<Utc>> {
    let text = &text.trim().replace("UTC", "GMT");
    let date = httpdate::parse_http_date(text).map(DateTime::from).ok();
    let date = date.or_else(|| Some(DateTime::parse_from_rfc2822(text).ok()?.to_utc()));
    let date = date.or_else(|| Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc()));
    // chrono accepts years of more than four digits.
    date.map(bounds::limit)
}
