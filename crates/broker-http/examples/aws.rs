//! Gets credentials for the AWS SDK: `cargo run -p broker-http --example aws --features aws`

#![allow(clippy::print_stdout, reason = "an example prints its results")]
#![allow(dead_code, reason = "the examples share a module")]

mod fake;

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use broker_http::AwsKeys;
use broker_testkit::EarthScope;
use earthbroker::Setup;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let service = EarthScope::start(fake::earthscope_options());
    let (broker, _home) = fake::open(Setup::new(), &fake::earthscope(service.url()))?;

    let keys = AwsKeys::new(broker.provider("earthscope")?, "s3-miniseed-v2");
    // Pass this to `aws_config::from_env().credentials_provider(…)`.
    let provider = SharedCredentialsProvider::new(keys);

    let credentials = provider.provide_credentials().await?;
    println!("{credentials:?}"); // secret_access_key: "** redacted **"
    assert!(credentials.expiry().is_some());
    Ok(())
}
