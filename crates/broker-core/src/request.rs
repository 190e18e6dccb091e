//! What a caller asks for.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

/// What a caller asks a token for: scopes, the life it should have, whether a held one will do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct TokenRequest {
    scopes: ScopeKey,
    expires: Option<Lifetime>,
    min_ttl: Option<Duration>,
    force: bool,
    name: Option<String>,
    derived: Option<Derived>,
}

impl TokenRequest {
    /// The provider's usual token; a held one will do.
    pub fn new() -> Self {
        Self::default()
    }

    /// A token with this scope too.
    pub fn scope(mut self, scope: &str) -> Self {
        self.scopes = ScopeKey::new([self.scopes.as_str(), scope]);
        self
    }

    /// The life to ask for if a token has to be minted; a held one is reused until its window.
    pub fn expires(mut self, life: Lifetime) -> Self {
        self.expires = Some(life);
        self
    }

    /// The life that must be left.
    pub fn min_ttl(mut self, left: Duration) -> Self {
        self.min_ttl = Some(left);
        self
    }

    /// A new token, whatever is held.
    pub fn force(mut self) -> Self {
        self.force = true;
        self
    }

    /// The name a token gets at services that list tokens by name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// A credential that is had with the usual token, in the token's place.
    pub fn derived(mut self, derived: Derived) -> Self {
        self.scopes = derived.key();
        self.derived = Some(derived);
        self
    }

    /// The derived credential asked for.
    #[must_use]
    pub fn asked_derived(&self) -> Option<&Derived> {
        self.derived.as_ref()
    }

    /// The scopes, as records keep tokens apart by them; of a derived credential, what it is in one word.
    #[must_use]
    pub fn scopes(&self) -> &ScopeKey {
        &self.scopes
    }

    /// The life asked for.
    #[must_use]
    pub fn asked_life(&self) -> Option<Lifetime> {
        self.expires
    }

    /// The life that must be left.
    #[must_use]
    pub fn asked_ttl(&self) -> Option<Duration> {
        self.min_ttl
    }

    /// Whether it asks for scopes and nothing else.
    pub(crate) fn is_plain(&self) -> bool {
        let Self { scopes: _, expires, min_ttl, force, name, derived } = self;
        !force && expires.is_none() && min_ttl.is_none() && name.is_none() && derived.is_none()
    }

    /// Whether a held token will not do.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        self.force
    }

    /// The name asked for.
    #[must_use]
    pub fn asked_name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

/// A credential that a service gives for its usual token, such as keys for its storage: its `what`, which one, and
/// parameters. It is held as a token of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    what: &'static str,
    which: String,
    params: Vec<(String, String)>,
}

impl Derived {
    /// Keys for Amazon's services, for a role: the token's secret is a JSON object with `AccessKeyId`,
    /// `SecretAccessKey` and `SessionToken`, its type [`Derived::AWS`].
    #[must_use]
    pub fn aws(role: &str, params: Vec<(String, String)>) -> Self {
        Self { what: Self::AWS, which: role.to_owned(), params }
    }

    /// A cookie: the token's secret is a JSON object with `name`, `value`, `domain`, `path` and `secure`, its type
    /// [`Derived::COOKIE`].
    #[must_use]
    pub fn cookie() -> Self {
        Self { what: Self::COOKIE, which: String::new(), params: Vec::new() }
    }

    /// The type of keys for Amazon's services.
    pub const AWS: &'static str = "aws";

    /// The type of a cookie.
    pub const COOKIE: &'static str = "cookie";

    /// What it is: [`Derived::AWS`] or [`Derived::COOKIE`].
    #[must_use]
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// Which one: the role.
    #[must_use]
    pub fn which(&self) -> &str {
        &self.which
    }

    /// Its parameters, in the order they were given.
    #[must_use]
    pub fn params(&self) -> &[(String, String)] {
        &self.params
    }

    /// Whether a scope would be taken for a derived credential, whose keys stand beside the scopes in a record.
    #[must_use]
    pub fn is_key(scope: &str) -> bool {
        scope.split_once(':').is_some_and(|(what, _)| [Self::AWS, Self::COOKIE].contains(&what))
    }

    /// One word as the key of a record: `aws:ROLE?NAME=VALUE`.
    fn key(&self) -> ScopeKey {
        let mut params = self.params.clone();
        params.sort_unstable();
        let mut key = url::form_urlencoded::Serializer::new(String::new());
        let params = key.extend_pairs(&params).finish();
        let question = if params.is_empty() { "" } else { "?" };
        ScopeKey::of_text(format!("{}:{}{question}{params}", self.what, self.which))
    }
}

/// How long a token should live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// For a duration from now.
    For(Duration),
    /// Until the start of a UTC day.
    Until(NaiveDate),
}

impl Lifetime {
    /// When a token minted at `now` should expire; `None` where that is out of all calendars.
    #[must_use]
    pub fn end(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::For(life) => now.checked_add_signed(TimeDelta::from_std(life).ok()?),
            Self::Until(day) => Some(day.and_hms_opt(0, 0, 0)?.and_utc()),
        }
    }
}

impl std::str::FromStr for Lifetime {
    type Err = String;

    /// `7d`, `36h`, `2w`, `90m`, or a date `2026-12-31`.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(day) = text.parse::<NaiveDate>() {
            return Ok(Self::Until(day));
        }
        humantime::parse_duration(text)
            .map(Self::For)
            .map_err(|_| format!("`{text}` is neither a duration (7d, 36h, 2w, 90m) nor a date (2026-12-31)"))
    }
}

/// Scopes in one order, each once: the key under which a record holds a token. Empty: the usual token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
// None rather than an empty text: to compare two of these takes `memcmp` longer than all else that a held token takes.
pub struct ScopeKey(Option<Box<str>>);

impl ScopeKey {
    /// From scopes in any order; one text may hold several, separated by spaces (RFC 6749 section 3.3).
    pub fn new<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Self {
        let mut scopes: Vec<_> = scopes.into_iter().flat_map(str::split_whitespace).collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self::of_text(scopes.join(" "))
    }

    /// Space-separated, sorted.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    fn of_text(text: String) -> Self {
        Self(Some(text.into_boxed_str()).filter(|text| !text.is_empty()))
    }

    /// Whether no scope was asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Each scope.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.as_str().split_whitespace()
    }
}
