//! Reads an object from S3 by `object_store`:
//! `cargo run -p broker-http --example object_store --features object_store/reqwest,object_store/ring`

#![allow(clippy::print_stdout, reason = "an example prints its results")]
#![allow(dead_code, reason = "the examples share a module")]

mod fake;

use std::sync::Arc;

use broker_http::AwsKeys;
use broker_testkit::{EarthScope, Fault};
use earthbroker::Setup;
use object_store::ObjectStoreExt;
use object_store::aws::AmazonS3Builder;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let service = EarthScope::start(fake::earthscope_options());
    let (broker, _home) = fake::open(Setup::new(), &fake::earthscope(service.url()))?;
    // Not needed with the feature `aws` of object_store.
    let _ = rustls::crypto::ring::default_provider().install_default();

    let keys = AwsKeys::new(broker.provider("earthscope")?, "s3-miniseed-v2");
    let s3 = AmazonS3Builder::new()
        .with_bucket_name("miniseed")
        .with_region("us-east-2")
        .with_credentials(Arc::new(keys))
        // The fake server answers for S3.
        .with_endpoint(service.url())
        .with_allow_http(true)
        .build()?;

    let headers = [("etag", "\"1\""), ("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    service.fault("none", Fault::Answer { status: 200, headers, body: "waveforms".to_owned() });
    let object = s3.get(&"2026/001/ANMO.mseed".into()).await?.bytes().await?;
    println!("{} bytes", object.len());

    let request = service.seen().pop().ok_or("no request")?;
    assert!(request.header("authorization").is_some_and(|value| value.contains("Credential=ASIA")));
    Ok(())
}
