//! Tokens that are exchanged for another provider's token: they belong to the account of that token.

use serde_json::{Value, json};

use super::{Inner, Slot};
use crate::{Loaded, Record, RecordUpdate, Secret, fingerprint};

/// The metadata key of the owner of the token that the stored tokens were derived from.
const OWNER: &str = "derived_from";

/// The metadata key of a random login id: it tells two logins apart where the service names no account.
const LOGIN: &str = "login_id";

/// Adds a new login id.
pub(super) fn with_login_id(update: RecordUpdate) -> RecordUpdate {
    update.and_metadata(LOGIN, Value::from(format!("{:016x}", fastrand::u64(..))))
}

impl Inner {
    /// Returns the loaded record for its provider, and why it could not be read. Tokens that were derived from another
    /// account's token are left out.
    pub(super) fn read(&self, slot: &Slot, loaded: Loaded) -> (Record, Option<String>) {
        let (mut record, unreadable) = slot.read(loaded, self.context.now());
        if let Some(source) = slot.entry.provider.derives_from()
            && record.metadata(OWNER).is_some_and(|owner| Some(owner) != self.owner(source).as_ref())
        {
            record.retain_tokens(|_| false);
        }
        (record, unreadable)
    }

    /// Returns a fingerprint of the current owner of the source token, if this provider derives its tokens.
    pub(super) fn source_owner(&self, slot: &Slot) -> Option<Value> {
        self.owner(slot.entry.provider.derives_from()?)
    }

    /// Notes the owner of the source token in an update with new tokens. If the owner has changed since `before` the
    /// exchange, the true owner is unknown, and only this caller can use the tokens.
    pub(super) fn note_source_owner(
        &self,
        slot: &Slot,
        before: Option<&Value>,
        update: RecordUpdate,
    ) -> RecordUpdate {
        if slot.entry.provider.derives_from().is_none() || !update.has_secrets() {
            return update;
        }
        let owner = self.source_owner(slot).filter(|now| before == Some(now));
        update.and_metadata(OWNER, owner.unwrap_or_default())
    }

    /// Returns a fingerprint of a provider's issuer, account and login.
    fn owner(&self, provider: &str) -> Option<Value> {
        let slot = self.slot(provider).ok()?;
        let (record, _) = slot.read(slot.store.peek(provider).ok()?, self.context.now());
        // A configured account is known before the first token.
        let account = record.account().or_else(|| slot.entry.provider.account());
        let owner = json!([record.issuer(), account, record.metadata(LOGIN)]);
        Some(Value::from(fingerprint(OWNER, &Secret::new(owner.to_string()), 64)))
    }
}
