//! Sends requests by hyper's client as a tower service: `cargo run -p broker-http --example tower --features tower`

#![allow(clippy::print_stdout, reason = "an example prints its results")]
#![allow(dead_code, reason = "the examples share a module")]

mod fake;

use broker_http::TokenLayer;
use broker_testkit::{EarthDaily, EarthDailyOptions};
use earthbroker::Setup;
use http::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tower::{Service, ServiceBuilder, ServiceExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let service = EarthDaily::start(EarthDailyOptions::default());
    let (broker, _home) =
        fake::open(Setup::new(), &fake::earthdaily(&service)).map_err(|error| error.to_string())?;

    let layer = TokenLayer::new(broker.provider("earthdaily")?);
    let mut client =
        ServiceBuilder::new().layer(layer).service(Client::builder(TokioExecutor::new()).build_http());
    let url = format!("{}/platform/v1/stac/", service.url());
    let response = client.ready().await?.call(Request::get(&url).body(String::new())?).await?;
    println!("{}", response.status());

    // The service rejects the stored token. The layer replaces the token and repeats the request.
    service.revoke_access_tokens();
    let response = client.ready().await?.call(Request::get(&url).body(String::new())?).await?;
    assert_eq!(response.status(), 200);
    assert_eq!(service.exchanges(), 2);
    Ok(())
}
