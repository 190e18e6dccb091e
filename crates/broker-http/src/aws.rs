//! AWS keys for the AWS SDK.

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};

use crate::AwsKeys;
use crate::aws_keys::Keys;

/// The credentials have the expiry of the keys, before which the SDK asks again. The source of an error is
/// [`broker_core::Error`].
///
/// ```no_run
/// # fn example(broker: broker_core::Broker) -> Result<(), broker_core::Error> {
/// use aws_credential_types::provider::SharedCredentialsProvider;
/// use broker_http::AwsKeys;
///
/// let keys = AwsKeys::new(broker.provider("earthscope")?, "s3-miniseed-v2");
/// let credentials = SharedCredentialsProvider::new(keys); // for `aws_config::from_env().credentials_provider(…)`
/// # Ok(())
/// # }
/// ```
impl ProvideCredentials for AwsKeys {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let token = self.token().await.map_err(CredentialsError::provider_error)?;
            let keys = Keys::of(&token).map_err(CredentialsError::provider_error)?;
            let expiry = token.expires_at().map(Into::into);
            let session = Some(keys.session_token);
            Ok(Credentials::new(keys.access_key_id, keys.secret_access_key, session, expiry, "earthbroker"))
        })
    }
}
