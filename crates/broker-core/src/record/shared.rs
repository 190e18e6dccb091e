//! A record whose login is in a file of the service's own tools: the record has a mark of the grant, and no copy.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Grant, Held, Record};
use crate::{FileLogin, ScopeKey, Secret, mark};

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
    refresh_token.map(|secret| mark("a shared login", secret, 64)).unwrap_or_default()
}

impl Record {
    /// Joins the record with the login in the file at `path`; `None` if there is no file. Where the file is not as the
    /// broker left it, the service's own tools have written it since: theirs is the login.
    pub(crate) fn join(&mut self, path: &str, login: Option<FileLogin>, now: DateTime<Utc>) {
        let known = self.held.shared.take();
        let Some(login) = login else {
            if known.is_some() {
                tracing::info!("the service's own tools have logged out");
                self.held = Held::new(self.issuer().clone());
            }
            return;
        };
        let found = Shared::new(path, login.refresh_token.as_ref());
        let as_known =
            known.is_some_and(|known| known.path == found.path && known.grant_mark == found.grant_mark);
        self.held.shared = Some(found);
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

    /// Takes over a login that the record knows nothing of.
    fn adopt(&mut self, login: FileLogin, now: DateTime<Utc>) {
        let same_person = login.account.is_some() && login.account == self.held.account;
        if !same_person {
            let shared = self.held.shared.take();
            self.held = Held { shared, ..Held::new(self.issuer().clone()) };
        }
        self.held.failures.clear();
        let usual = ScopeKey::default();
        let issued_at = login.access_token.as_ref().map_or(now, crate::Token::issued_at);
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
        self.trouble = Some(format!("{path} {why}"));
    }

    /// The record where no file is shared: a login that is in one is not the broker's.
    pub(crate) fn unshared(mut self) -> Self {
        if let Some(shared) = self.held.shared.take() {
            self.held = Held::new(self.issuer().clone());
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
        }
    }

    /// The record as it is saved beside the file at `path`, in which the login now is as `refresh_token` says.
    pub(crate) fn beside_file(&self, path: &str, refresh_token: Option<&Secret>) -> Self {
        let mut record = self.clone();
        if let Some(grant) = &mut record.held.grant {
            grant.secret = Secret::new("");
        }
        record.held.id_token = None;
        record.held.shared = Some(Shared::new(path, refresh_token));
        record
    }

    /// Whether a person has just logged in.
    pub(crate) fn is_new_login(&self) -> bool {
        self.new_login
    }
}
