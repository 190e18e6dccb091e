//! When tokens expire, as services and programs state it in many formats. [`Expiry::read`] recognizes the format.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use crate::token::bounds;

/// The expiry of a token, as a response states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// A lifetime, counted from the request.
    In(TimeDelta),
    /// A time by the clock of the issuer.
    At(DateTime<Utc>),
}

/// Field names for an expiry, in lower case and without separators, with `expire` for `expires`: `expires_in`, `expiresIn`,
/// `expire-in`. The words `access` and `token` may precede them.
const NAMES: [&str; 22] = [
    "expireinsec", "expireinsecs", "expireinseconds", "expirein", "expireat", "expireon", "expiretime",
    "expire", "expiry", "expirydate", "expirytime", "expiration", "expirationtime", "expirationtimestamp",
    "expirationdate", "exp", "validto", "validuntil", "validfor", "leaseduration", "ttl", "lifetime",
];

/// Ends of field names whose number is a lifetime unless it is a time near now.
const LIFETIMES: [&str; 7] = ["in", "seconds", "secs", "sec", "ttl", "lifetime", "duration"];

/// The keys of objects that contain a time, as gcloud, protobuf, Firestore and Mongo print it.
const INNER: [&str; 4] = ["datetime", "seconds", "_seconds", "$date"];

/// A smaller number is a lifetime: as a time, it would be before March 1973.
const FIRST_EPOCH: f64 = 1e8;

/// Local times of 1970-01-01 are earlier than this.
const LAST_ZERO: i64 = 24 * 60 * 60;

/// No token expired before 2010, because OAuth 2.0 is younger.
const FIRST_EXPIRY: f64 = 1_262_304_000.0;

/// Formats with a time zone: RFC 3339 and its variants, two of Azure's managed identities, an old HTTP date, and that of
/// `date`. `T` replaces the first space.
const ZONED: [&str; 8] = [
    "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S,%f%#z", "%Y-%m-%dT%H:%M%#z", "%Y%m%dT%H%M%S%#z",
    "%m/%d/%YT%H:%M:%S%#z", "%m/%d/%YT%I:%M:%S %p%#z", "%A,T%d-%b-%y %H:%M:%S%#z", "%aT%b %e %H:%M:%S%#z %Y",
];

/// Formats without a time zone, which means UTC. If several fit, the time nearest to now is the most plausible.
const UNZONED: [&str; 9] = [
    "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S,%f", "%Y-%m-%dT%H:%M", "%aT%b %e %H:%M:%S %Y",
    "%bT%e, %Y %I:%M:%S %p", "%m/%d/%YT%H:%M:%S", "%m/%d/%YT%I:%M:%S %p", "%d/%m/%YT%H:%M:%S",
    "%d/%m/%YT%I:%M:%S %p",
];

impl Expiry {
    /// Reads an expiry from the field `name`; `None` if its format is unknown, or if it states no expiry
    /// ([`Expiry::is_unstated`]). A number is a lifetime in seconds, or a time in seconds, milliseconds, microseconds or
    /// nanoseconds since 1970, whichever is plausible at `now`. A text is a number, a duration (`3600s`, `1h`), or a
    /// date, in UTC if the zone is missing.
    pub fn read(name: &str, value: &Value, now: DateTime<Utc>) -> Option<Self> {
        if Self::is_unstated(value) {
            return None;
        }
        if let Some(number) = number(value) {
            return Some(Self::of_number(&plain(name), number, now));
        }
        if value.is_object() {
            return INNER.iter().find_map(|key| Self::read(name, value.get(key)?, now));
        }
        let text = value.as_str()?.trim();
        time(text, now).map(bounds::limit).map(Self::At).or_else(|| duration(text).map(Self::In))
    }

    /// Reads all expiries of the JSON object that contains the token at the path `token`, such as `data.token`. If that
    /// object has none, reads those of the whole `body`.
    pub fn beside(token: &str, body: &Value, now: DateTime<Utc>) -> Vec<Self> {
        let parent = token.rsplit_once('.').and_then(|(parent, _)| value_at(body, parent));
        let in_object = |object: &Value| Some(Self::all(object.as_object()?, now));
        let found = parent.and_then(in_object).filter(|found| !found.is_empty());
        found.or_else(|| in_object(body)).unwrap_or_default()
    }

    /// Reads the expiries in all usual fields of a JSON object, such as `expires_in`.
    pub fn all(object: &Map<String, Value>, now: DateTime<Utc>) -> Vec<Self> {
        let base = |name: &str| {
            let name = plain(name).replace("expires", "expire");
            name.trim_start_matches("access").trim_start_matches("token").to_owned()
        };
        let is_known = |base: String| NAMES.contains(&base.as_str());
        let known = object.iter().filter(|(name, _)| is_known(base(name)));
        known.filter_map(|(name, value)| Self::read(name, value, now)).collect()
    }

    /// Whether a value states no expiry: null, empty, 0, -1, or a zero time, such as Go's `0001-01-01T00:00:00Z` or its
    /// number of seconds since 1970. Zero times are in 1970 or earlier, in any time zone.
    pub fn is_unstated(value: &Value) -> bool {
        let is_zero = |number: f64| (-1.0..=0.0).contains(&number) || number <= -FIRST_EPOCH;
        let is_zero_time =
            |text| time(text, DateTime::UNIX_EPOCH).is_some_and(|at| at.timestamp() < LAST_ZERO);
        let text = value.as_str().map(str::trim);
        let is_empty = value.is_null() || text == Some("");
        is_empty || number(value).is_some_and(is_zero) || text.is_some_and(is_zero_time)
    }

    fn of_number(name: &str, number: f64, now: DateTime<Utc>) -> Self {
        let lifetime = || Self::In(bounds::seconds(number));
        if number < FIRST_EPOCH {
            return lifetime();
        }
        if !LIFETIMES.iter().any(|end| name.ends_with(end)) {
            return Self::At(epoch(number));
        }
        // A lifetime of decades is less plausible than a time that ended at most a year ago.
        let near = |at: &DateTime<Utc>| (-365..30 * 365).contains(&(*at - now).num_days());
        [1.0, 1e3, 1e6, 1e9]
            .into_iter()
            .map(|unit| bounds::epoch(number / unit))
            .find(near)
            .map_or_else(lifetime, Self::At)
    }
}

impl From<TimeDelta> for Expiry {
    fn from(lifetime: TimeDelta) -> Self {
        Self::In(lifetime)
    }
}

/// Converts a number since 1970. Its unit is the first of nanoseconds, microseconds and milliseconds that results in a
/// time after 2010, else seconds.
pub(crate) fn epoch(number: f64) -> DateTime<Utc> {
    let unit = [1e9, 1e6, 1e3].into_iter().find(|unit| number / unit >= FIRST_EXPIRY).unwrap_or(1.0);
    bounds::epoch(number / unit)
}

/// Returns the value at a path of object keys and list indexes, such as `data.tokens.0`.
pub fn value_at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, key| match value {
        Value::Array(list) => list.get(key.parse::<usize>().ok()?),
        _ => value.get(key),
    })
}

/// Returns the text at `key` of a JSON object, unless the text is empty.
pub fn text_in<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key)?.as_str().filter(|text| !text.is_empty())
}

/// Returns the text at a path as in [`value_at`], unless the text is empty.
pub fn text_at<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
    value_at(value, path)?.as_str().filter(|text| !text.is_empty())
}

/// Reads a number of seconds (`3600`, `3600.0`, `"3600"`), limited to ±100 years.
pub fn seconds(value: &Value) -> Option<TimeDelta> {
    number(value).map(bounds::seconds)
}

/// Reads a finite number, which may also be text, such as .NET's `/Date(1795000000000)/`.
pub(crate) fn number(value: &Value) -> Option<f64> {
    let number: f64 = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => {
            let text = text.trim();
            let date = text.strip_prefix("/Date(").and_then(|text| text.strip_suffix(")/"));
            date.unwrap_or(text).parse().ok()?
        }
        _ => return None,
    };
    number.is_finite().then_some(number)
}

fn plain(name: &str) -> String {
    let name = name.rsplit('.').next().unwrap_or_default();
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Reads `3600s`, `3600.5s`, `1h 30m` or `P1DT1H30M` (ISO 8601).
fn duration(text: &str) -> Option<TimeDelta> {
    let iso = text.strip_prefix('P').map(|text| {
        let (days, time) = text.split_once('T').unwrap_or((text, ""));
        // `M` means months before `T`, and minutes after it.
        days.replace('Y', "y").replace('W', "w").replace('D', "d") + &time.to_ascii_lowercase()
    });
    let text = iso.as_deref().unwrap_or(text);
    let seconds = text.strip_suffix('s').and_then(|number| number.trim().parse().ok());
    let number = seconds.filter(|number: &f64| number.is_finite());
    let other = || Some(humantime::parse_duration(text).ok()?.as_secs_f64());
    number.or_else(other).map(bounds::seconds)
}

/// Reads a time, a date, or an HTTP date (RFC 9110 section 5.6.7).
fn time(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let http_date = DateTime::parse_from_rfc2822(text).ok();
    let spaces = [(" UTC", "Z"), (" GMT", "Z"), ("UTC", "Z"), (" +", "+"), (" -", "-")];
    let text = spaces.iter().fold(without_zone_name(text), |text, (from, to)| text.replace(from, to));
    let text = text.replacen(' ', "T", 1);
    let zoned =
        || http_date.or_else(|| ZONED.iter().find_map(|form| DateTime::parse_from_str(&text, form).ok()));
    let unzoned = || {
        let times = UNZONED.iter().filter_map(|form| NaiveDateTime::parse_from_str(&text, form).ok());
        times.min_by_key(|at| (at.and_utc() - now).abs())
    };
    let day = || Some(text.parse::<NaiveDate>().ok()?.and_time(NaiveTime::MIN));
    zoned().map(|at| at.to_utc()).or_else(|| unzoned().or_else(day).map(|at| at.and_utc()))
}

/// Removes the zone's name after its offset, which Go and Java print: `2026-11-22 11:30:00 +0000 UTC`, and
/// `2026-11-22T11:30:00Z[UTC]` (RFC 9557).
fn without_zone_name(text: &str) -> String {
    let text = text.split_once('[').map_or(text, |(text, _)| text);
    let words: Vec<_> = text.split_whitespace().collect();
    match words[..] {
        [day, time, offset, _, ..] if day.contains('-') && offset.starts_with(['+', '-']) => {
            [day, time, offset].join(" ")
        }
        _ => text.to_owned(),
    }
}
