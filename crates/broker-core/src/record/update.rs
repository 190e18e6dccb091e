//! The changes that an exchange makes to a record.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Grant, Record};
use crate::context::{Credential, FinalCodes, HttpResponse, Problem, salvage_new};
use crate::token::bounds::is_shallow;
use crate::token::{Lifetime, ScopeKey, Secret, Token};

/// The changes that one exchange makes to a record. The broker saves them before it uses the new tokens.
#[derive(Debug, Default)]
#[must_use]
pub struct RecordUpdate {
    grant: GrantUpdate,
    pub(crate) tokens: Vec<(ScopeKey, Token)>,
    dropped: Vec<ScopeKey>,
    account: Option<String>,
    id_token: Option<Secret>,
    metadata: Vec<(&'static str, Value)>,
}

#[derive(Debug, Default)]
enum GrantUpdate {
    /// If the response contains no new refresh token, the old refresh token stays valid (RFC 6749 section 6).
    #[default]
    Keep,
    Set(Secret, DateTime<Utc>),
    Refused,
}

impl RecordUpdate {
    /// Creates an update that stores `token` for these scopes.
    pub fn token(scopes: &ScopeKey, token: Token) -> Self {
        Self::default().and_token(scopes, token)
    }

    /// Creates an update that sets the grant: a refresh token or a stored login.
    pub fn grant(secret: Secret, at: DateTime<Utc>) -> Self {
        Self::default().and_grant(secret, at)
    }

    /// Reports that the service refused the refresh token or stored login (`invalid_grant`). The broker reloads a grant
    /// that another process has replaced, or marks the grant as refused. The broker then calls the provider again.
    pub fn grant_refused() -> Self {
        Self { grant: GrantUpdate::Refused, ..Self::default() }
    }

    /// Returns the update for the response to a refresh request with `grant` (RFC 6749 section 6). `invalid_grant` ends
    /// the login. After another error, still saves a grant from the response field `key` if it differs from `grant`.
    /// Other errors are transient unless they have a code of OAuth.
    pub fn refreshed(
        read: Result<Self, Problem>,
        response: &HttpResponse,
        key: &str,
        grant: &Secret,
    ) -> crate::error::Result<Self> {
        match read {
            Ok(update) => Ok(update),
            Err(Problem::Refused(refusal))
                if FinalCodes::STANDARD.end(&refusal, Credential::RefreshToken) =>
            {
                Ok(Self::grant_refused())
            }
            Err(problem) => salvage_new(response, key, Some(grant))
                .map(|rotated| Self::grant(rotated, response.sent_at))
                .ok_or_else(|| {
                    let problem = problem.of_credential("the service");
                    problem.error("the service refused to renew the token")
                }),
        }
    }

    /// Creates an update that removes the token for these scopes, which the service rejected.
    pub fn drop_token(scopes: &ScopeKey) -> Self {
        Self::default().and_dropped(scopes)
    }

    /// Adds the removal of another token to the update: see [`RecordUpdate::drop_token`].
    pub fn and_dropped(mut self, scopes: &ScopeKey) -> Self {
        self.dropped.push(scopes.clone());
        self
    }

    /// Adds `token`, if there is one, for these scopes to the update.
    pub fn and_token(mut self, scopes: &ScopeKey, token: impl Into<Option<Token>>) -> Self {
        self.tokens.extend(token.into().map(|token| (scopes.clone(), token)));
        self
    }

    /// Adds a grant, if there is one, to the update: a refresh token or a stored login. Ignores a blank one, and a damaged
    /// one (U+FFFD).
    pub fn and_grant(mut self, secret: impl Into<Option<Secret>>, at: DateTime<Utc>) -> Self {
        let is_damaged = |text: &str| text.trim().is_empty() || text.contains(char::REPLACEMENT_CHARACTER);
        if let Some(secret) = secret.into().filter(|secret| !is_damaged(secret.expose())) {
            self.grant = GrantUpdate::Set(secret, at);
        }
        self
    }

    /// Adds an ID token to the update. Only the service's own tools need the ID token.
    pub fn and_id_token(mut self, id_token: Option<Secret>) -> Self {
        self.id_token = id_token;
        self
    }

    /// Adds metadata to the update: a value that is not secret, such as a discovered endpoint. See
    /// [`Record::metadata`]. Ignores a value with more than 64 levels of lists and objects.
    pub fn and_metadata(mut self, key: &'static str, value: Value) -> Self {
        if is_shallow(&value) {
            self.metadata.push((key, value));
        } else {
            tracing::warn!(key, "the metadata is nested too deeply, and is not stored");
        }
        self
    }

    /// Adds the account's name to the update, as the user knows the account.
    pub fn and_account(mut self, account: Option<String>) -> Self {
        // The name comes from the service and is printed on terminals.
        self.account = account.map(|account| crate::token::sanitize(&account));
        self
    }

    /// Whether the update contains a grant or tokens, which would be lost without a save.
    pub(crate) fn has_secrets(&self) -> bool {
        matches!(self.grant, GrantUpdate::Set(..)) || !self.tokens.is_empty()
    }

    pub(crate) fn refuses_grant(&self) -> bool {
        matches!(self.grant, GrantUpdate::Refused)
    }

    /// Removes expired tokens from the update, so that they replace no valid token. Returns one of the removed tokens.
    pub(crate) fn take_expired(&mut self, now: DateTime<Utc>) -> Option<Token> {
        // Ignores `issued_at`, which is later than `now` if the clock was set back.
        let expired = |(_, token): &mut (_, Token)| token.expires_at().is_some_and(|at| at <= now);
        self.tokens.extract_if(.., expired).map(|(_, token)| token).last()
    }

    /// Removes new tokens that are empty, damaged (U+FFFD), or have control characters, which could inject HTTP headers.
    /// Returns whether a token was removed.
    pub(crate) fn take_invalid(&mut self) -> bool {
        let is_bad = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
        let invalid = |(_, token): &mut (_, Token)| {
            let text = token.secret().expose();
            text.is_empty() || text.contains(is_bad)
        };
        self.tokens.extract_if(.., invalid).count() > 0
    }

    /// Stores the requested lifetime in the new token for these scopes, and returns a copy of that token.
    pub(crate) fn requested_token(&mut self, scopes: &ScopeKey, lifetime: Option<Lifetime>) -> Option<Token> {
        let (_, token) = self.tokens.iter_mut().find(|(key, _)| key == scopes)?;
        *token = token.clone().asked_for(lifetime);
        Some(token.clone())
    }

    pub(crate) fn apply(self, record: &mut Record, now: DateTime<Utc>) {
        match self.grant {
            GrantUpdate::Keep => {}
            GrantUpdate::Set(secret, at) => {
                let before = record.usable_grant().filter(|_| self.tokens.is_empty());
                record.set_grant(Grant::new(secret, at).replacing(before));
            }
            GrantUpdate::Refused => record.refuse_grant(now),
        }
        for scopes in &self.dropped {
            record.drop_token(scopes);
        }
        if record.0.current.grant.is_none() && !self.tokens.is_empty() {
            record.0.grants = record.0.grants.saturating_add(1);
        }
        for (scopes, token) in self.tokens {
            record.set_token(&scopes, token);
        }
        let state = &mut record.0.current;
        state.metadata.extend(self.metadata.into_iter().map(|(key, value)| (key.to_owned(), value)));
        state.id_token = self.id_token.or(state.id_token.take());
        state.account = self.account.or(state.account.take());
    }
}
