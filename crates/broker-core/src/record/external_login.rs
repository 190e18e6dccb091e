//! A record whose login is in a file of the service's own tools: the record has a mark of the grant, and no copy.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Grant, IssuerState, Record};
use crate::{Claims, FileLogin, ScopeKey, Secret, Token, fingerprint, sanitize};

/// Where the login is, and what it was when the record was saved.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Shared {
    path: String,
    grant_mark: String,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

impl Shared {
    fn new(path: &str, refresh_token: Option<&Secret>) -> Self {
        Self { path: path.to_owned(), grant_mark: grant_mark(refresh_token), unknown: Map::new() }
    }
}

fn grant_mark(refresh_token: Option<&Secret>) -> String {
    refresh_token.map(|secret| fingerprint("a shared login", secret, 64)).unwrap_or_default()
}

/// Who it is to the service, whatever people call them.
fn subject(token: &Token) -> Option<String> {
    Claims::read(token.secret())?.text("sub").map(str::to_owned)
}

impl Record {
    /// Joins the record with the login in the file at `path`; `None` if there is none. Where the file is not as the
    /// broker left it, the service's own tools have written it since: theirs is the login.
    pub(crate) fn join(&mut self, path: &str, login: Option<FileLogin>, now: DateTime<Utc>) {
        let known = self.held.shared.take();
        let Some(login) = login else {
            if self.usable_grant().is_some() {
                // What could not be written to the file yet is kept.
                self.held.shared = known;
            } else if known.is_some() {
                tracing::info!("the service's own tools have logged out");
                self.held = IssuerState::new(self.issuer().clone());
            }
            return;
        };
        if known.is_none() && self.usable_grant().is_some() {
            // It was kept apart until now: it is not given up for another, which makes way for it.
            return;
        }
        self.held.shared = known;
        let as_known = self.knows(path, &login) && !self.is_of_another(&login);
        self.share(path, login.refresh_token.as_ref());
        if !as_known {
            self.adopt(login, now);
            return;
        }
        // What could not be written to the file yet is newer than what is there.
        if self.grant().is_some_and(|grant| !grant.secret().expose().is_empty()) {
            return;
        }
        self.held.id_token.clone_from(&login.id_token);
        let renewed = login.access_token.filter(|theirs| {
            self.token(&ScopeKey::default()).is_none_or(|ours| !ours.secret().same_as(theirs.secret()))
        });
        if let Some(refresh_token) = login.refresh_token {
            let grant = self.held.grant.get_or_insert_with(|| Grant::new(Secret::new(""), now));
            grant.secret = refresh_token;
            if renewed.is_some() {
                // Theirs was answered.
                (grant.sent_at, grant.refused_at) = (None, None);
            }
        }
        if let Some(token) = renewed {
            self.set_token(&ScopeKey::default(), token);
        }
    }

    /// Notes where the login is. What newer versions keep with that stays.
    fn share(&mut self, path: &str, refresh_token: Option<&Secret>) {
        let unknown = self.held.shared.take().map(|before| before.unknown).unwrap_or_default();
        self.held.shared = Some(Shared { unknown, ..Shared::new(path, refresh_token) });
    }

    /// Whether a login is another one although its grant is the same, or there is none on either side.
    fn is_of_another(&self, login: &FileLogin) -> bool {
        let (Some(ours), Some(theirs)) = (self.token(&ScopeKey::default()), &login.access_token) else {
            return false;
        };
        if ours.secret().same_as(theirs.secret()) {
            return false;
        }
        match (subject(ours), subject(theirs)) {
            (Some(ours), Some(theirs)) => ours != theirs,
            _ => login.refresh_token.is_none(),
        }
    }

    /// Takes over a login that the record knows nothing of.
    fn adopt(&mut self, login: FileLogin, now: DateTime<Utc>) {
        let ours = self.token(&ScopeKey::default()).and_then(subject);
        let same_person = ours.is_some() && ours == login.access_token.as_ref().and_then(subject);
        if !same_person {
            let (shared, failures) = (self.held.shared.take(), std::mem::take(&mut self.held.failures));
            self.held = IssuerState { shared, failures, ..IssuerState::new(self.issuer().clone()) };
        }
        // Whoever it is, the service wants to be left alone.
        self.held.failures.retain(|_, failure| failure.throttles(now).is_some());
        let usual = ScopeKey::default();
        let issued_at = login.access_token.as_ref().map_or(now, Token::issued_at);
        self.held.grant = login.refresh_token.map(|secret| Grant::new(secret, issued_at));
        self.held.id_token = login.id_token;
        self.held.account = login.account;
        match login.access_token {
            Some(token) => self.set_token(&usual, token),
            None => drop(self.held.tokens.remove(usual.as_str())),
        }
    }

    /// The file at `path` cannot be used: what the record has a mark of is not there now. Tokens still serve.
    pub(crate) fn miss_file(&mut self, path: &str, why: &str) {
        let was_there = self.held.shared.is_some();
        if was_there && self.held.grant.as_ref().is_some_and(|grant| grant.secret.expose().is_empty()) {
            self.held.grant = None;
        }
        self.trouble = Some(format!("{} {why}", sanitize(path)));
    }

    /// Whether the record says that this login is in the file at `path`.
    pub(crate) fn knows(&self, path: &str, login: &FileLogin) -> bool {
        let found = Shared::new(path, login.refresh_token.as_ref());
        let known = self.held.shared.as_ref();
        known.is_some_and(|known| known.path == found.path && known.grant_mark == found.grant_mark)
    }

    /// Whether a login that should be there cannot be used now.
    pub(crate) fn has_trouble(&self) -> bool {
        self.trouble.is_some()
    }

    /// Whether its login is in a file, or was when it was joined.
    pub(crate) fn is_shared(&self) -> bool {
        self.held.shared.is_some()
    }

    /// The record where no file is shared: a login that is in one is not the broker's.
    pub(crate) fn unshared(mut self) -> Self {
        if let Some(shared) = self.held.shared.take() {
            self.held = IssuerState::new(self.issuer().clone());
            self.trouble = Some(format!("the login in {} is not shared with this provider", shared.path));
        }
        self
    }

    /// The login as it goes into the file.
    pub(crate) fn file_login(&self) -> FileLogin {
        FileLogin {
            refresh_token: self.grant().map(|grant| grant.secret().clone()),
            access_token: self.token(&ScopeKey::default()).cloned(),
            id_token: self.held.id_token.clone(),
            account: self.held.account.clone(),
            unproven: None,
            of_another: false,
        }
    }

    /// The record as it is saved beside the file at `path`, in which the login now is as `refresh_token` says.
    pub(crate) fn beside_file(&self, path: &str, refresh_token: Option<&Secret>) -> Self {
        let mut record = self.clone();
        if let Some(grant) = &mut record.held.grant {
            grant.secret = Secret::new("");
        }
        record.held.id_token = None;
        record.share(path, refresh_token);
        record
    }

    /// The record where nothing of its login is in the file.
    pub(crate) fn beside_no_file(&self) -> Self {
        let mut record = self.clone();
        record.held.shared = None;
        record
    }

    /// Whether a person has just logged in.
    pub(crate) fn is_new_login(&self) -> bool {
        self.new_login
    }
}
