//! A token that is had with another provider's token belongs to that one's account.

use serde_json::{Value, json};

use super::{Inner, Slot};
use crate::{Loaded, Record, RecordUpdate, Secret, fingerprint};

/// What the record keeps of whose token its own were had with.
const WHOSE: &str = "derived_from";

/// What the record keeps to tell its login from others: of two of unknown persons nobody could otherwise.
const LOGIN: &str = "login_id";

/// With a name that no other login has.
pub(super) fn of_new_login(change: RecordUpdate) -> RecordUpdate {
    change.and_metadata(LOGIN, Value::from(format!("{:016x}", fastrand::u64(..))))
}

impl Inner {
    /// What a store shows, as its provider may use it now; and why it could not be read, if so. Tokens that were had
    /// for another account of the provider that they derive from are not used.
    pub(super) fn read(&self, slot: &Slot, loaded: Loaded) -> (Record, Option<String>) {
        let (mut record, unreadable) = slot.read(loaded, self.context.now());
        if let Some(from) = slot.entry.provider.derives_from()
            && record.kept(WHOSE).is_some_and(|whose| Some(whose) != self.whose(from).as_ref())
        {
            record.retain_tokens(|_| false);
        }
        (record, unreadable)
    }

    /// A mark of whose token the provider's own are had with now, if with another's.
    pub(super) fn whose_token(&self, slot: &Slot) -> Option<Value> {
        self.whose(slot.entry.provider.derives_from()?)
    }

    /// Notes whose token the new ones were had with: `before` the exchange it was that one's. Where it is another's now
    /// nobody knows, and they serve the one who asked alone.
    pub(super) fn note_whose(
        &self,
        slot: &Slot,
        before: Option<&Value>,
        change: RecordUpdate,
    ) -> RecordUpdate {
        if slot.entry.provider.derives_from().is_none() || !change.gives() {
            return change;
        }
        let whose = self.whose_token(slot).filter(|now| before == Some(now));
        change.and_metadata(WHOSE, whose.unwrap_or_default())
    }

    /// A mark of who gives a provider's tokens, to whom, and since which login.
    fn whose(&self, provider: &str) -> Option<Value> {
        let slot = self.slot(provider).ok()?;
        let (record, _) = slot.read(slot.store.peek(provider).ok()?, self.context.now());
        // An account that is configured is known before the first token comes.
        let account = record.account().or_else(|| slot.entry.provider.account());
        let whose = json!([record.issuer(), account, record.kept(LOGIN)]);
        Some(Value::from(fingerprint(WHOSE, &Secret::new(whose.to_string()), 64)))
    }
}
