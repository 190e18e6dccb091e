//! AWS keys for `object_store`.

use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use broker_core::Error;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;

use crate::AwsKeys;
use crate::aws_keys::Keys;

/// The source of an error is [`broker_core::Error`].
///
/// ```no_run
/// # fn example(broker: broker_core::Broker) -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use broker_http::AwsKeys;
/// use object_store::aws::AmazonS3Builder;
///
/// let keys = AwsKeys::new(broker.provider("earthscope")?, "s3-miniseed-v2");
/// let s3 = AmazonS3Builder::new().with_bucket_name("BUCKET").with_credentials(Arc::new(keys)).build()?;
/// # Ok(())
/// # }
/// ```
#[async_trait]
impl CredentialProvider for AwsKeys {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let failed = |error: Error| object_store::Error::Generic { store: "S3", source: error.into() };
        let token = self.token().await.map_err(failed)?;
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((secret, credential)) = &*cache
            && secret.same_as(token.secret())
        {
            return Ok(credential.clone());
        }
        let keys = Keys::of(&token).map_err(failed)?;
        let Keys { access_key_id: key_id, secret_access_key: secret_key, session_token } = keys;
        let credential = Arc::new(AwsCredential { key_id, secret_key, token: Some(session_token) });
        *cache = Some((token.secret().clone(), credential.clone()));
        Ok(credential)
    }
}
