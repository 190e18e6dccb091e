//! Limits numbers and times from records and responses, to prevent overflows in later calculations.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

pub(crate) const LONGEST: TimeDelta = TimeDelta::days(36_500);

/// Clocks that differ by less agree.
pub(crate) const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(5);

/// RFC 3339 has only years 0000 to 9999.
const FIRST_TIME: i64 = -62_167_219_200;
const LAST_TIME: i64 = 253_402_300_799;

/// The deepest nesting of JSON values that a record stores. Parsers reject a depth of 128.
const MAX_DEPTH: usize = 64;

/// Whether a JSON value is not too deeply nested for a record.
pub(crate) fn is_shallow(value: &Value) -> bool {
    fn fits(value: &Value, depth: usize) -> bool {
        depth > 0
            && match value {
                Value::Array(list) => list.iter().all(|value| fits(value, depth - 1)),
                Value::Object(object) => object.values().all(|value| fits(value, depth - 1)),
                _ => true,
            }
    }
    fits(value, MAX_DEPTH)
}

/// Returns the sum of a time and a duration, limited to the years that RFC 3339 can express.
pub fn later(at: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    let limit_reached = if by < TimeDelta::zero() { FIRST_TIME } else { LAST_TIME };
    at.checked_add_signed(by).map_or_else(|| DateTime::from_timestamp(limit_reached, 0).unwrap_or(at), limit)
}

/// Converts seconds since 1970 to the nearest time that RFC 3339 can express.
pub(crate) fn epoch(seconds: f64) -> DateTime<Utc> {
    later(DateTime::UNIX_EPOCH, milliseconds(seconds, TimeDelta::seconds(LAST_TIME)))
}

/// Converts a number of seconds to a duration, limited to ±100 years.
pub(crate) fn seconds(seconds: f64) -> TimeDelta {
    milliseconds(seconds, LONGEST)
}

fn milliseconds(seconds: f64, longest: TimeDelta) -> TimeDelta {
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    let milliseconds = (seconds * 1000.0) as i64;
    let longest = longest.num_milliseconds();
    TimeDelta::milliseconds(milliseconds.clamp(-longest, longest))
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
