//! Who gives grants and tokens.

use serde::{Deserialize, Serialize};

/// Who gives grants and tokens. A grant goes only to the issuer that gave it (RFC 9700 section 4.4), so this
/// is part of the record, and a record of another issuer is not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuer {
    /// The provider's kind.
    pub kind: String,
    /// How grants are had: `device_code`, `client_credentials`, `password`.
    pub flow: String,
    /// Where they are exchanged.
    pub endpoint: String,
    /// Who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// For whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// A [`crate::fingerprint`] of the client's secret: another secret is another account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "secret_mark")]
    pub secret_fingerprint: Option<String>,
}

impl Issuer {
    /// An issuer that is known by its endpoint alone; what else tells it from others goes into its fields.
    #[must_use]
    pub fn new(kind: &str, flow: &str, endpoint: &str) -> Self {
        let [kind, flow, endpoint] = [kind, flow, endpoint].map(str::to_owned);
        Self { kind, flow, endpoint, client_id: None, audience: None, secret_fingerprint: None }
    }

    /// In words: where, as whom, for whom.
    pub(super) fn describe(&self) -> String {
        let client = self.client_id.as_ref().map(|client| format!(", client {client}")).unwrap_or_default();
        let audience =
            self.audience.as_ref().map(|audience| format!(", audience {audience}")).unwrap_or_default();
        format!("{} ({}{client}{audience})", self.endpoint, self.flow)
    }

    /// Whether what `other` gave may be used. A mark that is not known on both sides tells nothing.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        let marks_differ =
            matches!((&self.secret_fingerprint, &other.secret_fingerprint), (Some(a), Some(b)) if a != b);
        !marks_differ
            && Self { secret_fingerprint: None, ..self.clone() }
                == Self { secret_fingerprint: None, ..other.clone() }
    }
}
