use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::token::without_query;

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
    /// A [`crate::token::fingerprint`] of the client secret: another client secret means another account.
    #[serde(rename = "secret_mark", default, skip_serializing_if = "Option::is_none")]
    pub secret_fingerprint: Option<String>,
    /// Fingerprints of the URLs, hosts and programs that environment variables set (`Settings::bound`). `None`
    /// in records of older versions.
    #[serde(rename = "from_environment", default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<BTreeSet<String>>,
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
        let mut about = self.flow.clone();
        about.extend(self.client_id.iter().map(|client| format!(", client {client}")));
        about.extend(self.audience.iter().map(|audience| format!(", audience {}", without_query(audience))));
        format!("{} ({about})", without_query(&self.endpoint))
    }

    /// Whether grants of this stored issuer may be sent to `configured`. A missing fingerprint matches every client
    /// secret, and a missing `environment` every URL.
    pub(super) fn same_as(&self, configured: &Self) -> bool {
        let (ours, theirs) = (&self.secret_fingerprint, &configured.secret_fingerprint);
        let same_secret = ours == theirs || ours.is_none() || theirs.is_none();
        let (secret_fingerprint, environment) = (ours.clone(), self.environment.clone());
        same_secret
            && self.knows_environment(configured)
            && *self == Self { secret_fingerprint, environment, ..configured.clone() }
    }

    /// Whether this stored issuer was used with all URLs, hosts and programs that the environment sets now.
    pub(super) fn knows_environment(&self, configured: &Self) -> bool {
        let both = self.environment.as_ref().zip(configured.environment.as_ref());
        both.is_none_or(|(known, set)| set.is_subset(known))
    }
}
