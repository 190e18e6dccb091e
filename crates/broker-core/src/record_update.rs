//! What an exchange brought.

use crate::{HttpResponse, Problem, Record, ScopeKey, Secret, Token, salvage};
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::record::Grant;

/// What one exchange changes in a record. The broker saves it before anything else happens.
#[derive(Debug, Default)]
#[must_use]
pub struct RecordUpdate {
    grant: GrantUpdate,
    tokens: Vec<(ScopeKey, Token)>,
    dropped: Vec<ScopeKey>,
    account: Option<String>,
    id_token: Option<Secret>,
    kept: Vec<(&'static str, Value)>,
}

#[derive(Debug, Default)]
enum GrantUpdate {
    /// An answer without a refresh token keeps the old one (RFC 6749 section 6).
    #[default]
    Keep,
    Set(Secret, DateTime<Utc>),
    Refused,
}

impl RecordUpdate {
    /// A token for these scopes.
    pub fn token(scopes: &ScopeKey, token: Token) -> Self {
        Self::default().and_token(scopes, token)
    }

    /// A grant: a refresh token, or what else buys tokens for the long term.
    pub fn grant(secret: Secret, at: DateTime<Utc>) -> Self {
        Self::default().and_grant(secret, at)
    }

    /// The service refused the grant for good (`invalid_grant`). The broker looks once more whether somebody
    /// has changed the record, marks the grant refused if not, and asks the provider again.
    pub fn grant_refused() -> Self {
        Self { grant: GrantUpdate::Refused, ..Self::default() }
    }

    /// What came of a refresh (RFC 6749 section 6) that sent `grant`, of which `read` made a change or a problem:
    /// `invalid_grant` ends the login, and nothing else does. Whatever else is wrong with the answer, the old grant may be
    /// spent, so a new one in its field `key` is kept: the broker saves that and asks again.
    pub fn refreshed(
        read: Result<Self, Problem>,
        response: &HttpResponse,
        key: &str,
        grant: &Secret,
    ) -> crate::Result<Self> {
        match read {
            Ok(change) => Ok(change),
            Err(Problem::Refused(refusal)) if refusal.is("invalid_grant") => Ok(Self::grant_refused()),
            Err(problem) => match salvage(response, key).filter(|new| !new.same_as(grant)) {
                Some(rotated) => Ok(Self::grant(rotated, response.sent_at)),
                None => Err(problem.error("the service refused to renew")),
            },
        }
    }

    /// The service does not accept this token although it should still be valid: it is forgotten.
    pub fn drop_token(scopes: &ScopeKey) -> Self {
        Self::default().and_dropped(scopes)
    }

    /// And a token that the service does not accept: see [`RecordUpdate::drop_token`].
    pub fn and_dropped(mut self, scopes: &ScopeKey) -> Self {
        self.dropped.push(scopes.clone());
        self
    }

    /// And a token.
    pub fn and_token(mut self, scopes: &ScopeKey, token: Token) -> Self {
        self.tokens.push((scopes.clone(), token));
        self
    }

    /// And a grant.
    pub fn and_grant(mut self, secret: Secret, at: DateTime<Utc>) -> Self {
        self.grant = GrantUpdate::Set(secret, at);
        self
    }

    /// And an ID token, which is kept where the service's own tools look for it.
    pub fn and_id_token(mut self, id_token: Option<Secret>) -> Self {
        self.id_token = id_token;
        self
    }

    /// And something that is no secret and that the provider needs again, such as where a service's endpoints are:
    /// see [`Record::kept`].
    pub fn and_metadata(mut self, key: &'static str, value: Value) -> Self {
        self.kept.push((key, value));
        self
    }

    /// And whose they are, as the person knows it.
    pub fn and_account(mut self, account: Option<String>) -> Self {
        // It comes from a service, and goes to terminals.
        self.account = account.map(|account| crate::sanitize(&account));
        self
    }

    /// Whether it brought something that is lost if it is not saved.
    pub(crate) fn gives(&self) -> bool {
        matches!(self.grant, GrantUpdate::Set(..)) || !self.tokens.is_empty()
    }

    pub(crate) fn refuses_grant(&self) -> bool {
        matches!(self.grant, GrantUpdate::Refused)
    }

    /// Takes out the tokens that arrived expired: what is held may still serve.
    pub(crate) fn take_expired(&mut self, now: DateTime<Utc>) -> Option<Token> {
        // Not by its phase: a clock that is set back meanwhile makes no token worthless.
        let expired = |(_, token): &mut (_, Token)| token.expires_at().is_some_and(|at| at <= now);
        self.tokens.extract_if(.., expired).map(|(_, token)| token).last()
    }

    /// Takes out the tokens that no program could take, and tells whether there were some: a line end in one would be
    /// a line of somebody else's in a header.
    pub(crate) fn take_unfit(&mut self) -> bool {
        let unfit = |(_, token): &mut (_, Token)| token.secret().expose().contains(char::is_control);
        self.tokens.extract_if(.., unfit).count() > 0
    }

    pub(crate) fn tokens(&self) -> &[(ScopeKey, Token)] {
        &self.tokens
    }

    pub(crate) fn apply(self, record: &mut Record, now: DateTime<Utc>) {
        match self.grant {
            GrantUpdate::Keep => {}
            GrantUpdate::Set(secret, at) => record.set_grant(Grant::new(secret, at)),
            GrantUpdate::Refused => record.refuse_grant(now),
        }
        for scopes in &self.dropped {
            record.drop_token(scopes);
        }
        for (scopes, token) in self.tokens {
            record.set_token(&scopes, token);
        }
        for (key, value) in self.kept {
            record.keep(key, value);
        }
        if let Some(id_token) = self.id_token {
            record.set_id_token(id_token);
        }
        if self.account.is_some() {
            record.set_account(self.account);
        }
    }
}
