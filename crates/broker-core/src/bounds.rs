//! Limits numbers and times from records and responses, to prevent overflows in later calculations.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::Number;

pub(crate) const LONGEST: TimeDelta = TimeDelta::days(36_500);

/// RFC 3339 has only years 0000 to 9999.
const FIRST_TIME: i64 = -62_167_219_200;
const LAST_TIME: i64 = 253_402_300_799;

/// Whether RFC 3339 can express this time.
pub(crate) fn in_calendar(at: &DateTime<Utc>) -> bool {
    (FIRST_TIME..=LAST_TIME).contains(&at.timestamp())
}

/// Deserializes a time, limited to years that RFC 3339 can express.
pub(crate) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    DateTime::deserialize(deserializer).map(limit)
}

/// Deserializes an optional time, limited to years that RFC 3339 can express.
pub(crate) fn optional_time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DateTime<Utc>>, D::Error> {
    Option::deserialize(deserializer).map(|at| at.map(limit))
}

/// Limits a time to the years that RFC 3339 can express.
pub(crate) fn limit(at: DateTime<Utc>) -> DateTime<Utc> {
    let seconds = at.timestamp().clamp(FIRST_TIME, LAST_TIME);
    if seconds == at.timestamp() { at } else { DateTime::from_timestamp(seconds, 0).unwrap_or(at) }
}

/// Deserializes an optional number of seconds, limited to ±100 years.
pub(crate) fn optional_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let longest = LONGEST.num_seconds();
    let number: Option<Number> = Option::deserialize(deserializer)?;
    Ok(number.map(|number| nearest(&number).clamp(-longest, longest)))
}

/// Deserializes a count; a negative number becomes 0.
pub(crate) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(u64::try_from(nearest(&Number::deserialize(deserializer)?)).unwrap_or(0))
}

/// Converts a JSON number to the nearest `i64`.
fn nearest(number: &Number) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    let saturated = || number.as_f64().unwrap_or_default() as i64;
    number.as_i64().unwrap_or_else(saturated)
}
