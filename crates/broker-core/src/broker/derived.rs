//! A token that is had with another provider's token belongs to that one's account.

use serde_json::Value;

use super::{Inner, Slot};
use crate::{Change, Loaded, Record, Secret, mark};

/// What the record keeps of whose token its own were had with.
const WHOSE: &str = "derived_from";

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

    /// Notes whose token the new ones were had with.
    pub(super) fn note_whose(&self, slot: &Slot, change: Change) -> Change {
        let whose = slot.entry.provider.derives_from().and_then(|from| self.whose(from));
        match whose {
            Some(whose) if change.gives() => change.and_kept(WHOSE, whose),
            _ => change,
        }
    }

    /// A mark of who gives a provider's tokens, and to whom.
    fn whose(&self, provider: &str) -> Option<Value> {
        let slot = self.slot(provider).ok()?;
        let (record, _) = slot.read(slot.store.peek(provider).ok()?, self.context.now());
        let whose = format!("{:?} {:?}", record.issuer(), record.account());
        Some(Value::from(mark(WHOSE, &Secret::new(whose), 64)))
    }
}
