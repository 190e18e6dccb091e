//! Claims of JSON Web Tokens (RFC 7519), unverified: the broker stores tokens and does not trust them.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::Secret;
use crate::bounds::in_calendar;

/// With or without padding: RFC 7515 forbids it, and some servers pad.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The claims of a token that is a JWT.
#[derive(Clone)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Reads the payload of a JWT in compact form; `None` if the token is not a JWT.
    #[must_use]
    pub fn read(token: &Secret) -> Option<Self> {
        let [_header, payload, _signature] = parts(token)?;
        object(payload).map(Self)
    }

    /// Reads the header of a JWT (RFC 7515 section 4).
    #[must_use]
    pub fn header(token: &Secret) -> Option<Map<String, Value>> {
        let [header, _payload, _signature] = parts(token)?;
        object(header)
    }

    /// All claims.
    #[must_use]
    pub fn object(&self) -> &Map<String, Value> {
        &self.0
    }

    /// `exp`: when the token expires, by the issuer's clock.
    #[must_use]
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.time("exp")
    }

    /// A claim that is a text and not empty.
    #[must_use]
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.0.get(claim)?.as_str().filter(|text| !text.is_empty())
    }

    /// `iat`: when the token was issued, by the issuer's clock.
    #[must_use]
    pub fn issued_at(&self) -> Option<DateTime<Utc>> {
        self.time("iat")
    }

    /// The texts of a claim that is a text or a list of texts, such as `aud` (RFC 7519 section 4.1.3).
    pub fn texts(&self, claim: &str) -> impl Iterator<Item = &str> {
        let value = self.0.get(claim);
        let list = value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        value.and_then(Value::as_str).into_iter().chain(list)
    }

    /// A claim that is a time with a year of four digits. `NumericDate` may have a fraction (RFC 7519 section 2).
    #[must_use]
    pub fn time(&self, claim: &str) -> Option<DateTime<Utc>> {
        let value = self.0.get(claim)?;
        #[expect(clippy::cast_possible_truncation, reason = "saturates, and the calendar is checked below")]
        let seconds = value.as_i64().or_else(|| value.as_f64().map(|s| s as i64))?;
        DateTime::from_timestamp(seconds, 0).filter(in_calendar)
    }
}

fn parts(token: &Secret) -> Option<[&str; 3]> {
    let mut parts = token.expose().split('.');
    let three = [parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(three)
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&LENIENT.decode(part).ok()?).ok()
}
