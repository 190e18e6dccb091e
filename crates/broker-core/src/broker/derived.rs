//! Tokens that a provider gets in exchange for another provider's token, the source token.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Inner, Slot};
use crate::error::Result;
use crate::record::{Issuer, Record, RecordUpdate};
use crate::store::Loaded;
use crate::token::{Secret, fingerprint};

/// The metadata key for a fingerprint of the login whose token was exchanged for the stored tokens.
const OWNER: &str = "derived_from";

/// The metadata key of a random login ID, which distinguishes logins if the service reports no account.
const LOGIN: &str = "login_id";

pub(super) fn with_login_id(update: RecordUpdate) -> RecordUpdate {
    update.and_metadata(LOGIN, Value::from(format!("{:016x}", fastrand::u64(..))))
}

impl Inner {
    /// Reads the record. If the keys of the record and of the source provider's record are not in memory, waits for the
    /// keys, or returns `None`.
    pub(super) fn load(&self, slot: &Slot, may_wait: bool) -> Result<Option<Loaded>> {
        // Only gets the source's key, so that [`Self::source_owner`] need not wait.
        let has_key = |source: Arc<Slot>| !matches!(source.store.read(&source.name, may_wait), Ok(None));
        if self.source(slot).is_none_or(has_key) { slot.store.read(&slot.name, may_wait) } else { Ok(None) }
    }

    fn source(&self, slot: &Slot) -> Option<Arc<Slot>> {
        self.slot(slot.entry.info.derives_from.as_deref()?).ok()
    }

    /// Returns the usable part of a record. Ignores tokens that were derived from another account's token.
    pub(super) fn read(&self, slot: &Slot, loaded: Loaded) -> (Record, Option<String>) {
        let (mut record, unreadable) = slot.read(loaded, self.context.now());
        if slot.entry.info.derives_from.is_some()
            && record.metadata(OWNER).is_some_and(|owner| Some(owner) != self.source_owner(slot).as_ref())
        {
            record.retain_tokens(|_| false);
        }
        (record, unreadable)
    }

    /// Stores, with new tokens, a fingerprint of the login whose token was exchanged for them. If that login
    /// changed during the exchange, stores null: null matches no login, so later callers ignore the new tokens.
    pub(super) fn note_source_owner(
        &self,
        slot: &Slot,
        before: Option<&Value>,
        update: RecordUpdate,
    ) -> RecordUpdate {
        if slot.entry.info.derives_from.is_none() || !update.has_secrets() {
            return update;
        }
        let owner = self.source_owner(slot).filter(|now| before == Some(now));
        update.and_metadata(OWNER, owner.unwrap_or_default())
    }

    /// Returns a fingerprint of the source provider's issuer, account and login, if this provider exchanges another
    /// provider's token.
    pub(super) fn source_owner(&self, slot: &Slot) -> Option<Value> {
        let source = self.source(slot)?;
        let (record, _) = source.read(source.store.read(&source.name, false).ok()??, self.context.now());
        // Until a token is issued, the record has no account name, but the configuration may have one.
        let account = record.account().or_else(|| source.entry.info.account.as_deref());
        let issuer = Issuer { environment: None, ..record.issuer().clone() };
        let owner = json!([issuer, account, record.metadata(LOGIN)]);
        Some(Value::from(fingerprint(OWNER, &Secret::new(owner.to_string()), 64)))
    }
}
