//! Requests for tokens.

use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};

use crate::token::sanitize;

/// A request for a token: scopes, lifetime, and whether the stored token may be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct TokenRequest {
    scopes: ScopeKey,
    /// The requested lifetime: see [`TokenRequest::expires`].
    pub expires: Option<Lifetime>,
    /// The requested minimum remaining lifetime: see [`TokenRequest::min_ttl`].
    pub min_ttl: Option<Duration>,
    /// Whether the caller requests a new token even if the stored token is valid.
    pub force: bool,
    /// The requested name of the new token: see [`TokenRequest::name`].
    pub name: Option<String>,
    derived: Option<(ScopeKey, Derived)>,
}

impl TokenRequest {
    /// Creates a request for the provider's token without scopes. A stored token may be used.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a scope to the request.
    pub fn scope(mut self, scope: &str) -> Self {
        self.scopes = ScopeKey::new([self.scopes.as_str(), scope]);
        self
    }

    /// Sets the requested lifetime. The broker uses a stored token if at least this lifetime was requested for it.
    pub fn expires(mut self, lifetime: Lifetime) -> Self {
        self.expires = Some(lifetime);
        self
    }

    /// Sets the minimum remaining lifetime of the returned token.
    pub fn min_ttl(mut self, left: Duration) -> Self {
        self.min_ttl = Some(left);
        self
    }

    /// Requests a new token even if the stored token is valid.
    pub fn force(mut self) -> Self {
        self.force = true;
        self
    }

    /// Sets the name of the new token, for services that list tokens by name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Requests AWS keys or a cookie, which the service issues in exchange for the token of [`TokenRequest::new`]. Such a
    /// request ignores scopes.
    pub fn derived(mut self, derived: Derived) -> Self {
        self.derived = Some((derived.key(), derived));
        self
    }

    /// Returns which AWS keys or cookie the caller requests; `None` if the caller requests a token.
    pub fn asked_derived(&self) -> Option<&Derived> {
        self.derived.as_ref().map(|(_, derived)| derived)
    }

    /// Returns the record key of the token: the scopes, or `aws:…` for AWS keys, or `cookie:…` for a cookie.
    pub fn scopes(&self) -> &ScopeKey {
        self.derived.as_ref().map_or(&self.scopes, |(key, _)| key)
    }

    /// Whether the token request has no options except scopes.
    pub(crate) fn is_plain(&self) -> bool {
        let Self { scopes: _, expires, min_ttl, force, name, derived } = self;
        !force && expires.is_none() && min_ttl.is_none() && name.is_none() && derived.is_none()
    }
}

/// A credential that a service issues in exchange for a token. The record stores the credential as a token.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Derived {
    /// The type of the derived credential: [`Derived::AWS`] or [`Derived::COOKIE`].
    pub what: &'static str,
    /// The AWS role; empty if the credential is a cookie.
    pub which: String,
    /// The parameters of the request for AWS keys, in the caller's order.
    pub params: Vec<(String, String)>,
}

impl Derived {
    /// Requests AWS keys for a role. The token's secret is then a JSON object with `AccessKeyId`, `SecretAccessKey`
    /// and `SessionToken`; the token type is [`Derived::AWS`].
    #[must_use]
    pub fn aws(role: &str, params: Vec<(String, String)>) -> Self {
        Self { what: Self::AWS, which: role.to_owned(), params }
    }

    /// Requests a cookie. The token's secret is then a JSON object with `name`, `value`, `domain`, `path` and
    /// `secure`; the token type is [`Derived::COOKIE`].
    #[must_use]
    pub fn cookie() -> Self {
        Self { what: Self::COOKIE, which: String::new(), params: Vec::new() }
    }

    /// The token type of AWS keys.
    pub const AWS: &'static str = "aws";

    /// The token type of a cookie.
    pub const COOKIE: &'static str = "cookie";

    /// Whether a scope looks like the record key of AWS keys (`aws:…`) or a cookie (`cookie:…`).
    pub fn is_key(scope: &str) -> bool {
        scope.split_once(':').is_some_and(|(what, _)| [Self::AWS, Self::COOKIE].contains(&what))
    }

    /// Returns the key under which a record stores the credential, such as `aws:ROLE?NAME=VALUE`.
    fn key(&self) -> ScopeKey {
        let mut params = self.params.clone();
        params.sort_unstable();
        let params = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&params).finish();
        let question = if params.is_empty() { "" } else { "?" };
        ScopeKey::of_text(format!("{}:{}{question}{params}", self.what, self.which))
    }
}

/// The lifetime that a caller requests for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// A duration that starts at the time of the request.
    For(Duration),
    /// A day: the token expires when that day begins in UTC.
    Until(NaiveDate),
}

impl Lifetime {
    /// Returns when a token that is issued at `now` should expire; `None` if that time is out of range.
    pub fn end(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::For(lifetime) => now.checked_add_signed(TimeDelta::from_std(lifetime).ok()?),
            Self::Until(day) => Some(day.and_hms_opt(0, 0, 0)?.and_utc()),
        }
    }

    /// Returns the begin of the UTC day with which a token that is issued at `now` should expire, at a service that counts whole
    /// days: rounded up, at least tomorrow, and after `min_ttl`. `None` if that day is out of range.
    pub fn end_day(self, now: DateTime<Utc>, min_ttl: Option<Duration>) -> Option<DateTime<Utc>> {
        let day = match self {
            Self::For(lifetime) => {
                now.date_naive().checked_add_days(Days::new(lifetime.as_secs().div_ceil(24 * 60 * 60)))?
            }
            Self::Until(day) => day,
        };
        let min_end = Self::For(min_ttl.unwrap_or_default()).end(now)?;
        Some(day.max(min_end.date_naive().succ_opt()?).and_time(NaiveTime::MIN).and_utc())
    }
}

impl std::str::FromStr for Lifetime {
    type Err = String;

    /// Parses a duration (`7d`, `36h`, `2w`, `90m`) or a date (`2026-12-31`).
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(day) = text.parse::<NaiveDate>() {
            return Ok(Self::Until(day));
        }
        humantime::parse_duration(text).map(Self::For).map_err(|_| {
            let text = sanitize(text);
            format!("`{text}` is neither a duration (7d, 36h, 2w, 90m) nor a date (2026-12-31)")
        })
    }
}

/// The key under which a record stores a token: sorted, unique scopes. A token without scopes has the empty key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
// `None` instead of empty text: a comparison of empty texts calls `memcmp`, which slows down cached lookups.
pub struct ScopeKey(Option<Box<str>>);

impl ScopeKey {
    /// Creates a record key from scopes. One text may contain several scopes (RFC 6749 section 3.3).
    pub fn new<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Self {
        let mut scopes: Vec<_> = scopes.into_iter().flat_map(str::split_whitespace).collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self::of_text(scopes.join(" "))
    }

    /// Returns the scopes, sorted and separated by spaces.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    fn of_text(text: String) -> Self {
        Self(Some(text.into_boxed_str()).filter(|text| !text.is_empty()))
    }

    /// Whether this is the record key of a token without scopes.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Iterates over the scopes.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.as_str().split_whitespace()
    }
}
