//! Sends requests by reqwest: `cargo run -p broker-http --example reqwest_middleware --features reqwest-middleware`

#![allow(clippy::print_stdout, reason = "an example prints its results")]
#![allow(dead_code, reason = "the examples share a module")]

mod fake;

use broker_http::TokenMiddleware;
use broker_testkit::{EarthDaily, EarthDailyOptions};
use earthbroker::Setup;
use reqwest_middleware::reqwest::Client;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let service = EarthDaily::start(EarthDailyOptions::default());
    let (broker, _home) = fake::open(Setup::new(), &fake::earthdaily(&service))?;
    // Not needed with reqwest's feature `rustls` or `native-tls`.
    let _ = rustls::crypto::ring::default_provider().install_default();

    let client = TokenMiddleware::new(broker.provider("earthdaily")?).client(Client::builder())?;
    let url = format!("{}/platform/v1/stac/", service.url());
    println!("{}", client.get(&url).send().await?.text().await?);

    // The service rejects the stored token. The middleware replaces the token and repeats the request.
    service.revoke_access_tokens();
    assert_eq!(client.get(&url).send().await?.status(), 200);
    assert_eq!(service.exchanges(), 2);
    Ok(())
}
