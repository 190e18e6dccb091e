//! Tokens that callers get from the broker.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::token::{Claims, Expiry, Header, Lifetime, Secret, Window, bounds};

/// How much shorter than requested a token may be. Services round lifetimes to whole days.
const LIFETIME_TOLERANCE: TimeDelta = TimeDelta::days(1);

/// A larger skew is less plausible than a wrong `Date`.
const PLAUSIBLE_SKEW: TimeDelta = TimeDelta::days(1);

const BEARER: &str = "Bearer";

/// Token types of services that are no schemes of HTTP headers, in lower case and without separators. Blanks separate them.
const NO_SCHEMES: &str = "access tokentype bearertoken accesstoken idtoken refreshtoken jwt at+jwt na \
    oauth2 opaque reference user bot null";

/// An access token with type, scope and expiry. Clones are cheap, and `Debug` shows no secret.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Token(pub(super) Arc<Inner>);

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Inner {
    #[serde(serialize_with = "Secret::write")]
    secret: Secret,
    token_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(deserialize_with = "bounds::time")]
    issued_at: DateTime<Utc>,
    #[serde(default, deserialize_with = "bounds::optional_time")]
    expires_at: Option<DateTime<Utc>>,
    /// The expiry that the caller requested.
    #[serde(default, deserialize_with = "bounds::optional_time", skip_serializing_if = "Option::is_none")]
    asked_until: Option<DateTime<Utc>>,
    /// The seconds by which the service's clock was ahead of this machine's when the token was issued.
    #[serde(default, deserialize_with = "bounds::optional_seconds", skip_serializing_if = "Option::is_none")]
    clock_skew: Option<i64>,
    /// How many seconds before expiry the service's own tools renew the token: see [`Window::ahead_of`].
    #[serde(default, deserialize_with = "bounds::optional_seconds", skip_serializing_if = "Option::is_none")]
    ahead_of: Option<i64>,
    /// The number of seconds before expiry when the token is renewed: see [`Window::margin`].
    #[serde(default, deserialize_with = "bounds::optional_seconds", skip_serializing_if = "Option::is_none")]
    margin: Option<i64>,
    #[serde(skip)]
    not_stored: bool,
    #[serde(skip)]
    pub(super) header: Header,
    /// The token's details, and unknown fields of newer versions.
    #[serde(flatten)]
    more: Map<String, Value>,
}

impl Token {
    /// Creates a bearer token. Both times are by this machine's clock. Removes a word `Bearer` before the secret.
    #[must_use]
    pub fn new(secret: Secret, issued_at: DateTime<Utc>, expires_at: Option<DateTime<Utc>>) -> Self {
        Self(Arc::new(Inner {
            secret: Self::bare(secret),
            token_type: BEARER.to_owned(),
            scope: None,
            issued_at: bounds::limit(issued_at),
            expires_at: expires_at.map(bounds::limit),
            asked_until: None,
            clock_skew: None,
            ahead_of: None,
            margin: None,
            not_stored: false,
            header: Header::default(),
            more: Map::new(),
        }))
    }

    /// Removes one word `Bearer` before a token, or `Authorization: Bearer`, which belongs to the HTTP header. Then also
    /// removes the white space around the token.
    pub fn bare(secret: Secret) -> Secret {
        let text = secret.expose().trim();
        let value = after(text, "authorization").and_then(|rest| rest.strip_prefix(':'));
        let token = after(value.unwrap_or(text).trim_start(), BEARER);
        match token.filter(|token| token.starts_with(char::is_whitespace)) {
            Some(token) => Secret::new(token.trim_start()),
            None => secret,
        }
    }

    /// Creates a bearer token that a program on this machine printed. The expiry is that of [`Token::from_response`].
    #[must_use]
    pub fn printed(
        secret: Secret,
        issued_at: DateTime<Utc>,
        stated: impl IntoIterator<Item = impl Into<Expiry>>,
        default_lifetime: impl Into<Option<TimeDelta>>,
    ) -> Self {
        Self::issued(secret, issued_at, Some(TimeDelta::zero()), stated, default_lifetime.into())
    }

    /// Creates a token of an issuer whose clock is ahead by `skew`; `None` if the difference is unknown.
    pub(crate) fn issued(
        secret: Secret,
        issued_at: DateTime<Utc>,
        skew: Option<TimeDelta>,
        stated: impl IntoIterator<Item = impl Into<Expiry>>,
        default_lifetime: Option<TimeDelta>,
    ) -> Self {
        let secret = Self::bare(secret);
        let claimed = Claims::read(&secret).and_then(|claims| claims.expires_at()).map(Expiry::At);
        let (mut lifetimes, mut times) = (Vec::new(), Vec::new());
        for expiry in stated.into_iter().map(Into::into).chain(claimed) {
            match expiry {
                Expiry::In(lifetime) => lifetimes.push(bounds::later(issued_at, lifetime)),
                Expiry::At(at) => times.push(at),
            }
        }
        let by_lifetime = lifetimes.iter().min().copied();
        for at in &mut times {
            *at = by_own_clock(*at, issued_at, skew.unwrap_or_default(), by_lifetime);
        }
        // Without the issuer's clock, a time that has passed may only mean that this machine's clock is ahead.
        if skew.is_none() && !lifetimes.is_empty() {
            times.retain(|at| *at > issued_at);
        }
        let default = || default_lifetime.map(|lifetime| bounds::later(issued_at, lifetime));
        let expires_at = lifetimes.into_iter().chain(times).min().or_else(default);
        let skewed = skew.filter(|skew| !skew.is_zero());
        Self::new(secret, issued_at, expires_at)
            .edit(|inner| inner.clock_skew = skewed.map(|skew| skew.num_seconds()))
    }

    /// Sets the token type that a service returned (RFC 6749 section 7.1). A type that is no scheme of HTTP headers
    /// becomes `Bearer`: see [`Token::with_scheme`]. So does the name of a token format, such as `JWT` or `api_key`.
    #[must_use]
    pub fn with_type(self, token_type: &str) -> Self {
        let plain = token_type.trim().to_ascii_lowercase().replace(['_', '-', ' '], "");
        // No registered scheme contains `_`.
        let is_format = token_type.contains('_') || NO_SCHEMES.split(' ').any(|own| own == plain);
        self.with_scheme(if is_format { BEARER } else { token_type })
    }

    /// Sets the token type to a scheme of HTTP headers (RFC 9110 section 11.1). `bearer` in any letter case, and a type
    /// that cannot be a scheme, such as a URN, become `Bearer`.
    #[must_use]
    pub fn with_scheme(self, scheme: &str) -> Self {
        let scheme = scheme.trim();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let other = !scheme.is_empty() && scheme.chars().all(allowed) && !scheme.eq_ignore_ascii_case(BEARER);
        let name = if other { scheme } else { BEARER };
        self.edit(|inner| name.clone_into(&mut inner.token_type))
    }

    /// Sets the scope that the service returned.
    #[must_use]
    pub fn with_scope(self, scope: Option<String>) -> Self {
        self.edit(|inner| inner.scope = scope)
    }

    /// Sets how long before expiry the service's own tools renew the token: see [`Window::ahead_of`].
    #[must_use]
    pub fn ahead_of(self, others: TimeDelta) -> Self {
        self.edit(|inner| inner.ahead_of = Some(others.num_seconds()))
    }

    /// Sets the remaining lifetime below which the token is renewed: see [`Window::margin`].
    #[must_use]
    pub fn with_margin(self, margin: TimeDelta) -> Self {
        self.edit(|inner| inner.margin = Some(margin.num_seconds()))
    }

    /// Omits the token's secret from the record. For secrets that the provider can read again, such as from a file.
    #[must_use]
    pub fn not_stored(self) -> Self {
        self.edit(|inner| inner.not_stored = true)
    }

    /// Adds details from the response to the token, except lists and objects.
    #[must_use]
    pub fn with_details(self, mut details: Map<String, Value>) -> Self {
        details.retain(|_, value| !value.is_array() && !value.is_object());
        self.edit(|inner| inner.more.extend([("details".to_owned(), Value::Object(details))]))
    }

    /// Stores the requested lifetime in the token, because the service may issue a token with a shorter lifetime.
    pub(crate) fn asked_for(self, lifetime: Option<Lifetime>) -> Self {
        let asked_until = lifetime.and_then(|lifetime| lifetime.end(self.issued_at())).map(bounds::limit);
        if asked_until.is_none() { self } else { self.edit(|inner| inner.asked_until = asked_until) }
    }

    /// Whether the token was issued or requested with at least this lifetime. Services may issue shorter tokens.
    pub(crate) fn was_issued_for(&self, lifetime: Lifetime) -> bool {
        let (Some(expires_at), Some(asked_end)) = (self.expires_at(), lifetime.end(self.issued_at())) else {
            return true;
        };
        let asked = bounds::limit(asked_end) - self.issued_at();
        let tolerance = LIFETIME_TOLERANCE.min(asked / 2);
        let longest = self.0.asked_until.map_or(expires_at, |asked_until| asked_until.max(expires_at));
        longest - self.issued_at() >= asked - tolerance
    }

    /// Serializes the tokens of a record file, by scopes.
    pub(crate) fn write<S: Serializer>(
        tokens: &BTreeMap<String, Self>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(tokens.iter().map(|(scopes, Self(token))| {
            let secret = if token.not_stored { Secret::new("") } else { token.secret.clone() };
            (scopes, Inner { secret, ..Inner::clone(token) })
        }))
    }

    /// Returns a copy with its own reference count, so that threads with different copies do not slow each other down.
    pub(crate) fn unshared(&self) -> Self {
        Self(Arc::new(Inner::clone(&self.0)))
    }

    /// Sets the header of the token's provider.
    pub(crate) fn set_header(&mut self, header: &Header) {
        if self.0.header != *header {
            Arc::make_mut(&mut self.0).header = header.clone();
        }
    }

    fn edit(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Returns the secret that authenticates requests.
    pub fn secret(&self) -> &Secret {
        &self.0.secret
    }

    /// Returns the token type, nearly always `Bearer` (RFC 6750).
    pub fn token_type(&self) -> &str {
        &self.0.token_type
    }

    /// Returns the scope that the service returned, separated by spaces (RFC 6749 section 3.3).
    pub fn scope(&self) -> Option<&str> {
        self.0.scope.as_deref()
    }

    /// Returns when the request for the token was sent.
    pub fn issued_at(&self) -> DateTime<Utc> {
        self.0.issued_at
    }

    /// Returns when the token expires by this machine's clock; `None` if it does not expire.
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.0.expires_at
    }

    /// Returns the token's details that the service sent: see [`Token::with_details`].
    pub fn details(&self) -> Option<&Map<String, Value>> {
        self.0.more.get("details")?.as_object()
    }

    fn clock_skew(&self) -> TimeDelta {
        self.0.clock_skew.and_then(TimeDelta::try_seconds).unwrap_or_default()
    }

    /// Converts `now` to the service's clock, by the clock skew when the token was issued.
    pub(crate) fn service_time(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now.checked_add_signed(self.clock_skew()).unwrap_or(now)
    }

    /// Returns the token's lifetime and renewal times.
    pub fn window(&self) -> Window {
        let seconds = |seconds: Option<i64>| seconds.and_then(TimeDelta::try_seconds);
        let (ahead_of, margin) = (seconds(self.0.ahead_of), seconds(self.0.margin));
        Window { issued_at: self.0.issued_at, expires_at: self.0.expires_at, ahead_of, margin }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("secret", &self.0.secret)
            .field("token_type", &self.0.token_type)
            .field("scope", &self.0.scope)
            .field("expires_at", &self.0.expires_at)
            .finish_non_exhaustive()
    }
}

/// Converts the expiry `at` from the issuer's clock, which is ahead by `skew`, to this machine's clock. Ignores a skew that
/// the expiry `by_lifetime` contradicts, or with which a new token would have expired.
fn by_own_clock(
    at: DateTime<Utc>,
    issued_at: DateTime<Utc>,
    skew: TimeDelta,
    by_lifetime: Option<DateTime<Utc>>,
) -> DateTime<Utc> {
    let skewed = bounds::later(at, -skew);
    let clocks_agree = by_lifetime.is_some_and(|end| (end - at).abs() < bounds::CLOCK_TOLERANCE);
    match (skewed > issued_at, at > issued_at) {
        (_, true) if clocks_agree => at,
        (true, true) if skew.abs() > PLAUSIBLE_SKEW => skewed.min(at),
        (false, true) => at,
        _ => skewed,
    }
}

/// Returns the text after `word`, in any case, at the start of `text`.
fn after<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(word.len())?;
    start.eq_ignore_ascii_case(word).then_some(rest)
}
