//! What a JSON Web Token says of itself (RFC 7519), unverified: the broker holds tokens, it does not trust them.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::Secret;

/// Servers differ in whether they pad; RFC 7515 says they do not.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The claims of a token that is a JWT.
#[derive(Clone)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Reads the payload of a JWT in compact form; `None` where the token is something else.
    #[must_use]
    pub fn read(token: &Secret) -> Option<Self> {
        let mut parts = token.expose().split('.');
        let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let bytes = LENIENT.decode(payload).ok()?;
        serde_json::from_slice(&bytes).ok().map(Self)
    }

    /// `exp`: when the token expires, by the issuer's clock.
    #[must_use]
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.seconds("exp")
    }

    /// A claim that is text, and not empty.
    #[must_use]
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.0.get(claim)?.as_str().filter(|text| !text.is_empty())
    }

    /// `iat`: when the token was issued, by the issuer's clock.
    #[must_use]
    pub fn issued_at(&self) -> Option<DateTime<Utc>> {
        self.seconds("iat")
    }

    /// A claim that is text or a list of texts, such as `aud` (RFC 7519 section 4.1.3).
    pub fn texts(&self, claim: &str) -> impl Iterator<Item = &str> {
        let value = self.0.get(claim);
        let many = value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        value.and_then(Value::as_str).into_iter().chain(many)
    }

    /// `NumericDate` may have a fraction (RFC 7519 section 2).
    fn seconds(&self, claim: &str) -> Option<DateTime<Utc>> {
        let value = self.0.get(claim)?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a date, and out of range ones are refused below"
        )]
        let seconds = value.as_i64().or_else(|| value.as_f64().map(|s| s as i64))?;
        DateTime::from_timestamp(seconds, 0)
    }
}
