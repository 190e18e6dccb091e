//! Claims of JSON Web Tokens (RFC 7519), unverified: the broker does not rely on them for security.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_PAD_INDIFFERENT;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::token::{Secret, expiry, text_in};

/// The claims of a JSON Web Token (JWT).
#[derive(Clone)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Reads the claims of a JWT in compact form; `None` if the token is not a JWT.
    pub fn read(token: &Secret) -> Option<Self> {
        part(token, 1).map(Self)
    }

    /// Reads the header (JOSE) of a JWT (RFC 7515 section 4).
    pub fn header(token: &Secret) -> Option<Map<String, Value>> {
        part(token, 0)
    }

    /// Returns all claims as a JSON object.
    pub fn object(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Returns when the token expires (`exp`), by the issuer's clock.
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.time("exp")
    }

    /// Returns a claim that is a non-empty string.
    pub fn text(&self, claim: &str) -> Option<&str> {
        text_in(&self.0, claim)
    }

    /// Returns when the token was issued (`iat`), by the issuer's clock.
    pub fn issued_at(&self) -> Option<DateTime<Utc>> {
        self.time("iat")
    }

    /// Returns the strings of a claim that is a string or a list of strings, such as `aud` (RFC 7519 section 4.1.3).
    pub fn texts(&self, claim: &str) -> impl Iterator<Item = &str> {
        let value = self.0.get(claim);
        let list = value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        value.and_then(Value::as_str).into_iter().chain(list)
    }

    /// Returns a claim that is a time other than 0. A `NumericDate` may have a fraction (RFC 7519 section 2); some
    /// issuers send milliseconds, or text. Times outside the years 0000 to 9999 become the nearest of these.
    pub fn time(&self, claim: &str) -> Option<DateTime<Utc>> {
        expiry::number(self.0.get(claim)?).filter(|number| *number != 0.0).map(expiry::epoch)
    }
}

/// Decodes the header (`index` 0) or the claims (`index` 1) of a JWT, which has three parts.
fn part(token: &Secret, index: usize) -> Option<Map<String, Value>> {
    let parts: Vec<_> = token.expose().split('.').collect();
    let part = parts.get(index).filter(|_| parts.len() == 3)?;
    // RFC 7515 forbids padding, but some servers send it.
    serde_json::from_slice(&URL_SAFE_PAD_INDIFFERENT.decode(part).ok()?).ok()
}
