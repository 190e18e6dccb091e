//! Combines a provider's record with the content of the provider's login file.

use std::sync::Arc;

use super::content::Found;
use crate::context::Context;
use crate::provider::{LoginFile, Provider};
use crate::record::Record;
use crate::store::Loaded;
use crate::token::Phase;

/// Combines a provider's record with the content of the provider's login file.
#[derive(Clone)]
pub(super) struct Join {
    pub(super) provider: Arc<dyn Provider>,
    pub(super) file: Arc<dyn LoginFile>,
    pub(super) context: Context,
}

impl Join {
    pub(super) fn path(&self) -> String {
        self.file.path().display().to_string()
    }

    /// Whether the login file may contain a login of another issuer, or content that is not a login.
    pub(super) fn is_foreign(&self, found: &Found, record: &Record) -> bool {
        match found {
            Found::Nothing | Found::NoFolder => false,
            Found::Other { .. } | Found::Fault(_) => true,
            Found::Login(login) => login.unproven.is_some() && !record.vouches_for(&self.path(), login),
        }
    }

    pub(super) fn has_valid_token(&self, loaded: &Loaded) -> bool {
        let (Loaded::Record(record) | Loaded::FromFallback(record)) = loaded else { return false };
        let now = self.context.now();
        record.tokens().any(|(_, token)| token.window().phase(now) != Phase::Expired)
    }

    /// Combines a loaded record with the login from the login file.
    pub(super) fn join(&self, provider: &str, loaded: Loaded, found: &Found) -> Loaded {
        let now = self.context.now();
        let (issuer, account) = (&self.provider.info().issuer, self.provider.info().account.as_deref());
        let empty = || Box::new(Record::new(provider, issuer.clone()));
        let (mut record, in_fallback) = match (loaded, found) {
            (loaded @ (Loaded::Nothing | Loaded::Unreadable(_)), Found::Nothing | Found::NoFolder) => {
                return loaded;
            }
            (Loaded::Nothing | Loaded::Unreadable(_), _) => (empty(), false),
            (Loaded::Record(record), _) => (record, false),
            (Loaded::FromFallback(record), _) => (record, true),
        };
        *record = record.of_issuer(issuer, account, now);
        let path = self.path();
        match found {
            Found::NoFolder if record.is_external() => {
                record.set_file_unusable(&path, "cannot be read: the login file's folder does not exist");
            }
            Found::Nothing | Found::NoFolder => record.join(&path, None, now),
            Found::Fault(error) => {
                record.set_file_unusable(&path, &format!("cannot be read: {}", error.message()));
            }
            Found::Other { why, .. } => record.set_file_unusable(&path, why),
            Found::Login(login) => match &login.unproven {
                Some(why) if !record.vouches_for(&path, login) => record.set_file_unusable(&path, why),
                _ => record.join(&path, Some(login.clone()), now),
            },
        }
        if in_fallback { Loaded::FromFallback(record) } else { Loaded::Record(record) }
    }
}
