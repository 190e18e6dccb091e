//! What a caller uses.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{Claims, HttpResponse, Secret, Window};

/// A token as a caller gets it: secret, type, scope, expiry. Cheap to clone; its `Debug` shows no secret.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Token(Arc<Inner>);

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let secret = if self.0.not_stored { Secret::new("") } else { self.0.secret.clone() };
        Inner { secret, ..Inner::clone(&self.0) }.serialize(serializer)
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Inner {
    #[serde(serialize_with = "Secret::write")]
    secret: Secret,
    token_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    issued_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    /// How far the service's clock was ahead of this machine's when it gave the token, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clock_skew: Option<i64>,
    /// See [`Window::ahead_of`], in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ahead_of: Option<i64>,
    /// See [`Window::margin`], in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    margin: Option<i64>,
    /// See [`Token::not_stored`].
    #[serde(skip)]
    not_stored: bool,
    /// What else the service said of it, and what newer versions of the broker keep here.
    #[serde(flatten)]
    more: Map<String, Value>,
}

impl Token {
    /// A bearer token, issued at `issued_at` by this machine's clock.
    #[must_use]
    pub fn new(secret: Secret, issued_at: DateTime<Utc>, expires_at: Option<DateTime<Utc>>) -> Self {
        let token_type = "Bearer".to_owned();
        Self(Arc::new(Inner {
            secret,
            token_type,
            scope: None,
            issued_at,
            expires_at: expires_at.filter(can_be_written),
            clock_skew: None,
            ahead_of: None,
            margin: None,
            not_stored: false,
            more: Map::new(),
        }))
    }

    /// A bearer token as it came in an answer. It expires `expires_in` after the request was sent, if the answer
    /// said so; else when it says itself, if it is a JWT (`exp`, corrected by the service's clock); else after
    /// `default_life`.
    #[must_use]
    pub fn from_answer(
        response: &HttpResponse,
        secret: Secret,
        expires_in: Option<TimeDelta>,
        default_life: TimeDelta,
    ) -> Self {
        let sent_at = response.sent_at;
        let skew = response.date().map_or(TimeDelta::zero(), |date| date - sent_at);
        // `Date` has whole seconds and the answer took a while: less than this is no skew.
        let skew = if skew.abs() < TimeDelta::seconds(5) { TimeDelta::zero() } else { skew };
        let expires_at = expires_in
            .and_then(|life| sent_at.checked_add_signed(life).filter(can_be_written))
            .or_else(|| Claims::read(&secret)?.expires_at()?.checked_sub_signed(skew).filter(can_be_written))
            .or_else(|| sent_at.checked_add_signed(default_life));
        Self::new(secret, sent_at, expires_at)
            .edit(|inner| inner.clock_skew = (!skew.is_zero()).then(|| skew.num_seconds()))
    }

    /// That ends then by the service's clock, which may be another than this machine's: see [`Token::from_answer`].
    #[must_use]
    pub fn ending(self, at: DateTime<Utc>) -> Self {
        self.edit(|inner| {
            let skew = inner.clock_skew.and_then(TimeDelta::try_seconds).unwrap_or_default();
            inner.expires_at = at.checked_sub_signed(skew).filter(can_be_written);
        })
    }

    /// With the type the service gave it; `bearer` in any case becomes `Bearer`, as header values are written, and so
    /// does what no header can carry.
    #[must_use]
    pub fn with_type(self, token_type: &str) -> Self {
        let other = !token_type.is_empty() && token_type.chars().all(|c| c.is_ascii_graphic());
        let name = if other && !token_type.eq_ignore_ascii_case("bearer") { token_type } else { "Bearer" };
        self.edit(|inner| name.clone_into(&mut inner.token_type))
    }

    /// With the scope the service says it has.
    #[must_use]
    pub fn with_scope(self, scope: Option<String>) -> Self {
        self.edit(|inner| inner.scope = scope)
    }

    /// Of which others, who take no lock, renew it so long before its end: see [`Window::ahead_of`].
    #[must_use]
    pub fn ahead_of(self, others: TimeDelta) -> Self {
        self.edit(|inner| inner.ahead_of = Some(others.num_seconds()))
    }

    /// Renewed when less than this is left, and not before: see [`Window::margin`].
    #[must_use]
    pub fn with_margin(self, margin: TimeDelta) -> Self {
        self.edit(|inner| inner.margin = Some(margin.num_seconds()))
    }

    /// Of which the secret is never put on disk, since it can be read again where it is: a record has the rest of it.
    #[must_use]
    pub fn not_stored(self) -> Self {
        self.edit(|inner| inner.not_stored = true)
    }

    /// With what else the service said of it, kept as it came; lists and objects are not.
    #[must_use]
    pub fn with_details(self, mut details: Map<String, Value>) -> Self {
        details.retain(|_, value| !value.is_array() && !value.is_object());
        self.edit(|inner| inner.more.extend([("details".to_owned(), Value::Object(details))]))
    }

    fn edit(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// The same, whose clones are counted apart from those of this one.
    pub(crate) fn apart(&self) -> Self {
        Self(Arc::new(Inner::clone(&self.0)))
    }

    /// The secret itself.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.0.secret
    }

    /// How the token is presented, `Bearer` nearly always (RFC 6750).
    #[must_use]
    pub fn token_type(&self) -> &str {
        &self.0.token_type
    }

    /// The scope the service says it has, space-separated (RFC 6749 section 3.3).
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.0.scope.as_deref()
    }

    /// When the request that gave it was sent.
    #[must_use]
    pub fn issued_at(&self) -> DateTime<Utc> {
        self.0.issued_at
    }

    /// When it expires by this machine's clock; `None` if it does not.
    #[must_use]
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.0.expires_at
    }

    /// What else the service said of it: see [`Token::with_details`].
    #[must_use]
    pub fn details(&self) -> Option<&Map<String, Value>> {
        self.0.more.get("details")?.as_object()
    }

    /// The service's clock when this machine's says `now`, as far as the token's answer told.
    pub(crate) fn service_time(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let skew = self.0.clock_skew.and_then(TimeDelta::try_seconds).unwrap_or_default();
        now.checked_add_signed(skew).unwrap_or(now)
    }

    /// When it is due for renewal.
    #[must_use]
    pub fn window(&self) -> Window {
        let seconds = |seconds: Option<i64>| seconds.and_then(TimeDelta::try_seconds);
        let (ahead_of, margin) = (seconds(self.0.ahead_of), seconds(self.0.margin));
        Window { issued_at: self.0.issued_at, expires_at: self.0.expires_at, ahead_of, margin }
    }
}

/// RFC 3339 has years of four digits: what ends later does not end.
fn can_be_written(at: &DateTime<Utc>) -> bool {
    (0..=9999).contains(&at.year())
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
