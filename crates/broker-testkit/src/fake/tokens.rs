//! Access tokens, refresh tokens (RFC 6749 section 6) and variants of `expires_in`.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::time::Clock;

/// A text in every secret of the fake servers. Tests search outputs for this text to find leaked secrets.
const CANARY: &str = "KANARIE";

/// Returns the leak marker [`CANARY`] and random text, together as long as `len` bytes in base64.
fn with_canary(len: usize) -> String {
    let bytes: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(len).collect();
    let text = URL_SAFE_NO_PAD.encode(bytes);
    format!("{CANARY}{}", &text[CANARY.len()..])
}

/// Returns an opaque token: `prefix`, the leak marker [`CANARY`] and random text.
pub(super) fn opaque(prefix: &str) -> String {
    format!("{prefix}{}", with_canary(24))
}

/// Issues one kind of tokens, such as access tokens.
#[derive(Clone)]
pub struct Issuer {
    pub(super) url: String,
    pub(super) clock: Clock,
    /// The issued tokens with their expiry.
    pub(super) tokens: BTreeMap<String, DateTime<Utc>>,
}

impl Issuer {
    /// Makes `token` valid until `expiry`.
    pub(super) fn add(&mut self, token: &str, expiry: DateTime<Utc>) {
        self.tokens.insert(token.to_owned(), expiry);
    }

    pub(super) fn accepts(&self, token: &str) -> bool {
        self.tokens.get(token).is_some_and(|expiry| *expiry > self.clock.now())
    }

    /// Returns a JWT (RFC 7519) of `claims`, `iat`, `exp` and a unique `jti`. `jti` and signature contain the leak marker
    /// [`CANARY`].
    pub(super) fn jwt(&self, mut claims: Value, expiry: DateTime<Utc>) -> String {
        claims["iat"] = self.clock.now().timestamp().into();
        claims["exp"] = expiry.timestamp().into();
        claims["jti"] = opaque("").into();
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": "standin"});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.{}", part(&header), part(&claims), with_canary(256))
    }
}

/// Which refresh token the response to a refresh request contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    /// The response repeats the refresh token of the request, which stays valid.
    #[default]
    Keep,
    /// The response has no refresh token. The old refresh token stays valid.
    Omit,
    /// The response has a new refresh token. The old refresh token becomes invalid.
    Rotate,
    /// Like `Rotate`, but reuse of an old refresh token revokes the whole login (RFC 9700 section 4.14.2).
    RotateDetectReuse,
}

struct StoredToken {
    scope: String,
    /// Identifies the login to which the refresh token belongs.
    family: usize,
    /// Whether a client has used the token.
    spent: bool,
    /// How many more times the server accepts this refresh token after a client has used it.
    grace: usize,
}

/// All issued refresh tokens, including used and revoked ones.
#[derive(Default)]
pub(super) struct RefreshTokens {
    rotation: Rotation,
    grace: usize,
    tokens: BTreeMap<String, StoredToken>,
    revoked_families: BTreeSet<usize>,
    families: usize,
    pub(super) refreshes: usize,
    pub(super) reuses: usize,
    pub(super) revoked: Vec<String>,
}

impl RefreshTokens {
    pub(super) fn new(rotation: Rotation, grace: usize) -> Self {
        Self { rotation, grace, ..Self::default() }
    }

    /// Issues the first refresh token of a new login.
    pub(super) fn issue(&mut self, scope: &str) -> String {
        self.families += 1;
        self.add(scope.to_owned(), self.families)
    }

    fn add(&mut self, scope: String, family: usize) -> String {
        let token = opaque("v1.");
        let stored = StoredToken { scope, family, spent: false, grace: self.grace };
        self.tokens.insert(token.clone(), stored);
        token
    }

    /// Returns a refresh token's scope if the token is valid now.
    pub(super) fn peek(&self, token: &str) -> Option<String> {
        let stored = self.tokens.get(token).filter(|stored| !stored.spent || stored.grace > 0)?;
        (!self.revoked_families.contains(&stored.family)).then(|| stored.scope.clone())
    }

    /// Handles a refresh with a valid refresh token. Returns the refresh token for the response, if any.
    pub(super) fn renew(&mut self, token: &str) -> Option<String> {
        self.refreshes += 1;
        match self.rotation {
            Rotation::Omit => return None,
            Rotation::Keep => return Some(token.to_owned()),
            Rotation::Rotate | Rotation::RotateDetectReuse => {}
        }
        let stored = self.tokens.get_mut(token).unwrap();
        if stored.spent {
            stored.grace -= 1;
        }
        stored.spent = true;
        let (scope, family) = (stored.scope.clone(), stored.family);
        Some(self.add(scope, family))
    }

    /// Counts a refused refresh token as reuse if a client has used the token before.
    pub(super) fn refuse(&mut self, token: &str) {
        let Some(stored) = self.tokens.get(token).filter(|stored| stored.spent) else {
            return;
        };
        self.reuses += 1;
        if self.rotation == Rotation::RotateDetectReuse {
            self.revoked_families.insert(stored.family);
        }
    }

    /// Revokes the login of a refresh token. An unknown token is not an error (RFC 7009 section 2.2).
    pub(super) fn revoke(&mut self, token: &str) {
        if let Some(stored) = self.tokens.get(token) {
            self.revoked_families.insert(stored.family);
            self.revoked.push(token.to_owned());
        }
    }

    pub(super) fn revoke_all(&mut self) {
        self.revoked_families.extend(1..=self.families);
    }
}

/// How a token response contains `expires_in`, which RFC 6749 section 5.1 only recommends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpiresIn {
    /// `expires_in` is a JSON number, as RFC 6749 defines.
    #[default]
    Number,
    /// `expires_in` is a JSON string of digits.
    String,
    /// The response has no `expires_in`.
    Missing,
}

impl ExpiresIn {
    /// Returns a successful token response (RFC 6749 section 5.1).
    pub(super) fn answer(self, token: &str, seconds: u64) -> Value {
        let mut answer = json!({"access_token": token, "token_type": "Bearer"});
        match self {
            Self::Number => answer["expires_in"] = seconds.into(),
            Self::String => answer["expires_in"] = seconds.to_string().into(),
            Self::Missing => {}
        }
        answer
    }
}
