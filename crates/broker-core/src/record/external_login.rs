//! Login files of the service's own tools, and records whose grant is in such a file. Such a record has only the grant's
//! fingerprint.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Grant, Intent, IssuerState, Record};
use crate::token::{Claims, ScopeKey, Secret, Token, fingerprint, sanitize};

/// The path of the login file, and a fingerprint of the grant that the file contained at the last save.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ExternalLogin {
    path: String,
    #[serde(rename = "grant_mark")]
    grant_fingerprint: String,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// The login that a login file contains.
#[derive(Debug, Clone, Default)]
pub struct FileLogin {
    /// The refresh token of the login.
    pub refresh_token: Option<Secret>,
    /// The login's access token, which answers token requests without scopes.
    pub access_token: Option<Token>,
    /// The ID token of the login (OpenID Connect Core section 2).
    pub id_token: Option<Secret>,
    /// The name of the account, if a token contains the name.
    pub account: Option<String>,
    /// Why the issuer of the login is unknown, or seems to be another one; `None` if the login file shows the configured
    /// issuer. The broker uses an unproven login only if the record contains the same login, or a token of the same
    /// issuer, client and audience.
    pub unproven: Option<String>,
    /// Whether the login is from another issuer than the configured one. A new login then renames the login file
    /// instead of overwriting it.
    pub of_another: bool,
}

impl FileLogin {
    pub(crate) fn is_empty(&self) -> bool {
        self.refresh_token.is_none() && self.access_token.is_none()
    }

    /// Whether both logins have the same tokens.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        fn tokens(login: &FileLogin) -> [Option<&str>; 3] {
            let access_token = login.access_token.as_ref().map(Token::secret);
            let secrets = [login.refresh_token.as_ref(), access_token, login.id_token.as_ref()];
            secrets.map(|secret| secret.map(Secret::expose))
        }
        tokens(self) == tokens(other)
    }
}

fn grant_fingerprint(refresh_token: Option<&Secret>) -> String {
    refresh_token.map(|secret| fingerprint("a shared login", secret, 64)).unwrap_or_default()
}

/// Returns the `sub` claim, which identifies the account.
fn subject(token: &Token) -> Option<String> {
    Claims::read(token.secret())?.text("sub").map(str::to_owned)
}

/// Returns the claims that identify the issuer, client and audience of a JWT (RFC 9068 section 2.2).
fn origin(token: &Token) -> Option<Vec<Option<Value>>> {
    let claims = Claims::read(token.secret())?;
    let origin = ["iss", "client_id", "azp", "aud"].map(|name| claims.object().get(name).cloned());
    origin[0].is_some().then(|| origin.to_vec())
}

impl Record {
    /// Merges `login`, read from the login file at `path`, into the record; `None` means a file without a login. If the
    /// service's own tools have changed the file, `login` replaces the record's login.
    pub(crate) fn join(&mut self, path: &str, login: Option<FileLogin>, now: DateTime<Utc>) {
        let has_grant = self.usable_grant().is_some();
        let Some(login) = login else {
            // Keeps a login whose refresh token is in the record itself.
            if self.is_external() && !has_grant {
                tracing::info!("the service's own tools have removed the login from the login file");
                self.0.current = IssuerState::new(self.issuer().clone());
            }
            return;
        };
        // Keeps a login that was never written to the login file.
        if !self.is_external() && has_grant {
            return;
        }
        let is_known = self.knows(path, &login) && !self.is_of_another(&login);
        self.set_external(path, login.refresh_token.as_ref());
        if !is_known {
            self.adopt(login, now);
            return;
        }
        // The record contains a refresh token only if its write to the login file failed: the record is newer.
        if self.grant().is_some_and(|grant| !grant.secret().expose().is_empty()) {
            return;
        }
        self.0.current.id_token.clone_from(&login.id_token);
        let renewed = login.access_token.filter(|theirs| {
            self.token(&ScopeKey::default()).is_none_or(|ours| !ours.secret().same_as(theirs.secret()))
        });
        if let Some(refresh_token) = login.refresh_token {
            let grant = self.0.current.grant.get_or_insert_with(|| Grant::new(Secret::new(""), now));
            grant.0.secret = refresh_token;
            if renewed.is_some() {
                // A newer access token proves that the service accepted the refresh token.
                self.0.current.interrupted_at = grant.sent_at().or(self.0.current.interrupted_at);
                grant.0.intent = Intent::default();
                grant.0.refused_at = None;
            }
        }
        if let Some(token) = renewed {
            self.set_token(&ScopeKey::default(), token);
        }
    }

    /// Stores the login file's path and the refresh token's fingerprint. Keeps fields of newer broker versions.
    fn set_external(&mut self, path: &str, refresh_token: Option<&Secret>) {
        let unknown = self.0.current.external.take().map(|before| before.unknown).unwrap_or_default();
        let (path, grant_fingerprint) = (path.to_owned(), grant_fingerprint(refresh_token));
        self.0.current.external = Some(ExternalLogin { path, grant_fingerprint, unknown });
    }

    /// Whether the login file and the record have different accounts, but the same refresh token or no refresh token.
    fn is_of_another(&self, login: &FileLogin) -> bool {
        let (Some(ours), Some(theirs)) = (self.token(&ScopeKey::default()), &login.access_token) else {
            return false;
        };
        // First, because equal tokens need no decoding.
        if ours.secret().same_as(theirs.secret()) {
            return false;
        }
        match (subject(ours), subject(theirs)) {
            (Some(ours), Some(theirs)) => ours != theirs,
            _ => login.refresh_token.is_none(),
        }
    }

    /// Replaces the record's login with `login`, which another program wrote to the login file.
    fn adopt(&mut self, login: FileLogin, now: DateTime<Utc>) {
        let ours = self.token(&ScopeKey::default()).and_then(subject);
        self.0.current.interrupted_at = self.intent().sent_at.or(self.0.current.interrupted_at);
        let same_account = ours.is_some() && ours == login.access_token.as_ref().and_then(subject);
        if !same_account {
            let external = self.0.current.external.take();
            let failures = std::mem::take(&mut self.0.current.failures);
            self.0.current = IssuerState { external, failures, ..IssuerState::new(self.issuer().clone()) };
        }
        // Keeps failures with `Retry-After`, which applies to all accounts of the service.
        self.0.current.failures.retain(|_, failure| failure.throttles(now).is_some());
        let usual = ScopeKey::default();
        let issued_at = login.access_token.as_ref().map_or(now, Token::issued_at);
        self.0.current.grant = login.refresh_token.map(|secret| Grant::new(secret, issued_at));
        self.0.current.id_token = login.id_token;
        self.0.current.account = login.account;
        self.0.logins = self.0.logins.saturating_add(1);
        match login.access_token {
            Some(token) => self.set_token(&usual, token),
            None => drop(self.0.current.tokens.remove(usual.as_str())),
        }
    }

    /// Stores why the login file at `path` cannot be used. Removes the record's grant if its refresh token is only in
    /// that file. The record keeps its access tokens.
    pub(crate) fn set_file_unusable(&mut self, path: &str, why: &str) {
        if self.is_external() {
            self.0.current.grant.take_if(|grant| grant.secret().expose().is_empty());
        }
        self.0.login_problem = Some(format!("{} {why}", sanitize(path)));
    }

    /// Whether the record names `path` as its login file, and has the fingerprint of the refresh token in `login`.
    pub(crate) fn knows(&self, path: &str, login: &FileLogin) -> bool {
        let fingerprint = grant_fingerprint(login.refresh_token.as_ref());
        let known = self.0.current.external.as_ref();
        known.is_some_and(|known| known.path == path && known.grant_fingerprint == fingerprint)
    }

    /// Whether the record's issuer certainly issued `login`, although its access token seems to be of another issuer:
    /// the record has the same login, or a token with the same issuer, client and audience.
    pub(crate) fn vouches_for(&self, path: &str, login: &FileLogin) -> bool {
        let ours = self.token(&ScopeKey::default()).and_then(origin);
        let theirs = login.access_token.as_ref().and_then(origin);
        self.knows(path, login) || (ours.is_some() && ours == theirs)
    }

    pub(crate) fn is_external(&self) -> bool {
        self.0.current.external.is_some()
    }

    /// Removes a login whose refresh token is in a login file that is no longer used (`share = false`).
    pub(crate) fn without_external(mut self) -> Self {
        if let Some(external) = self.0.current.external.take() {
            self.0.current = IssuerState::new(self.issuer().clone());
            self.0.login_problem = Some(format!(
                "the login in {} is not used, because the provider no longer uses this login file",
                external.path
            ));
        }
        self
    }

    /// Returns the record's login as content for the login file.
    pub(crate) fn file_login(&self) -> FileLogin {
        FileLogin {
            refresh_token: self.grant().map(|grant| grant.secret().clone()),
            access_token: self.token(&ScopeKey::default()).cloned(),
            id_token: self.0.current.id_token.clone(),
            account: self.0.current.account.clone(),
            ..FileLogin::default()
        }
    }

    /// Returns the record to save after the login, with `refresh_token`, was written to the login file at `path`.
    pub(crate) fn with_login_in_file(&self, path: &str, refresh_token: Option<&Secret>) -> Self {
        let mut record = self.clone();
        if let Some(grant) = &mut record.0.current.grant {
            grant.0.secret = Secret::new("");
        }
        record.0.current.id_token = None;
        record.set_external(path, refresh_token);
        record
    }

    /// Returns a copy of the record with the whole login in the record and no path of a login file.
    pub(crate) fn with_login_in_record(&self) -> Self {
        let mut record = self.clone();
        record.0.current.external = None;
        record
    }
}
