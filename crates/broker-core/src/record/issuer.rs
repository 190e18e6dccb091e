use serde::{Deserialize, Serialize};

use crate::without_query;

/// The issuer of grants and tokens. A grant is sent only to the issuer that issued it (RFC 9700 section 4.4).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuer {
    /// The kind of the provider, such as `oauth2`.
    pub kind: String,
    /// The flow that gets grants: `device_code`, `client_credentials`, `password`.
    pub flow: String,
    /// The URL of the token endpoint.
    pub endpoint: String,
    /// The OAuth client ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The audience of the tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// A [`crate::fingerprint`] of the client secret: another client secret means another account.
    #[serde(rename = "secret_mark", default, skip_serializing_if = "Option::is_none")]
    pub secret_fingerprint: Option<String>,
}

impl Issuer {
    /// Creates an issuer from its required fields. The other fields are public, and empty at first.
    #[must_use]
    pub fn new(kind: &str, flow: &str, endpoint: &str) -> Self {
        let [kind, flow, endpoint] = [kind, flow, endpoint].map(str::to_owned);
        Self { kind, flow, endpoint, ..Self::default() }
    }

    /// Describes endpoint, flow, client and audience of the issuer for an error message.
    pub(super) fn describe(&self) -> String {
        let client = self.client_id.as_ref().map(|client| format!(", client {client}")).unwrap_or_default();
        let audience = self
            .audience
            .as_ref()
            .map(|audience| format!(", audience {}", without_query(audience)))
            .unwrap_or_default();
        format!("{} ({}{client}{audience})", without_query(&self.endpoint), self.flow)
    }

    /// Whether grants of `other` may be sent to this issuer. A missing fingerprint matches every client secret.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.secret_fingerprint, &other.secret_fingerprint);
        (ours == theirs || ours.is_none() || theirs.is_none())
            && *self == Self { secret_fingerprint: ours.clone(), ..other.clone() }
    }
}
