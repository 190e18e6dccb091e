//! The AWS keys that a provider issues in exchange for its token.

use std::fmt;

use broker_core::{Derived, Error, ErrorCode, ProviderHandle, Result, Token, TokenRequest};
use serde::Deserialize;

/// AWS keys of a role, such as EarthScope's `s3-miniseed-v2`: credentials for `object_store` and the AWS SDK.
#[must_use]
pub struct AwsKeys {
    provider: ProviderHandle,
    request: TokenRequest,
    #[cfg(feature = "object_store")]
    pub(crate) cache: Cache<object_store::aws::AwsCredential>,
}

impl AwsKeys {
    /// Gets the keys of this role from the provider.
    pub fn new(provider: ProviderHandle, role: &str) -> Self {
        Self::with_params(provider, role, Vec::new())
    }

    /// Gets the keys with these parameters of the request, as pairs of name and value.
    pub fn with_params(provider: ProviderHandle, role: &str, params: Vec<(String, String)>) -> Self {
        Self {
            provider,
            request: TokenRequest::new().derived(Derived::aws(role, params)),
            #[cfg(feature = "object_store")]
            cache: Cache::default(),
        }
    }

    /// Returns the stored keys, or gets new ones.
    pub(crate) async fn token(&self) -> Result<Token> {
        self.provider.token_with(&self.request).await
    }
}

impl fmt::Debug for AwsKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsKeys").field("provider", &self.provider.name()).finish_non_exhaustive()
    }
}

/// The last returned keys, with the secret of their token.
#[cfg(feature = "object_store")]
type Cache<Credential> = std::sync::Mutex<Option<(broker_core::Secret, std::sync::Arc<Credential>)>>;

/// The secret of a token with AWS keys ([`Derived::aws`]).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Keys {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) session_token: String,
}

impl Keys {
    pub(crate) fn of(token: &Token) -> Result<Self> {
        // The message of serde's error may contain the secret.
        let invalid = |_| Error::new(ErrorCode::BadResponse, "the token contains no AWS keys");
        serde_json::from_str(token.secret().expose()).map_err(invalid)
    }
}
