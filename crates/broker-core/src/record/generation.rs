//! The order of copies of a record: in the store, and in fallback files.

use serde::{Deserialize, Serialize};

use crate::bounds;

/// Numbers that order the copies of a record. No clock decides, because clocks are set back and forward.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Generation {
    /// A random ID, which is new if the record was removed and created again; missing in records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<String>,
    /// The number of logins. A copy with a newer login is newer than every copy with renewals of the earlier login.
    #[serde(default, deserialize_with = "bounds::count")]
    pub(super) logins: u64,
    /// The number of times that the service issued a grant, or a token without a grant.
    #[serde(default, deserialize_with = "bounds::count")]
    pub(super) grants: u64,
}

impl Generation {
    pub(super) fn count_grant(&mut self) {
        self.grants = self.grants.saturating_add(1);
    }

    pub(super) fn next_login(&self) -> Self {
        Self { logins: self.logins.saturating_add(1), ..self.clone() }
    }
}
