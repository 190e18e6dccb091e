//! Embeds the broker with a custom HTTP client, store and environment. `tests/features/run` runs this program.

#![allow(clippy::print_stdout, reason = "an example prints its result")]

mod world;

use std::sync::Arc;

use earthbroker::{ErrorKind, MemoryStore, Setup, TokenRequest};
use world::{Service, Variables};

const KEY: &str = "BROKER_PROVIDERS__EARTHDAILY__CLIENT_SECRET";

const COMMAND_KEY: &str = "BROKER_PROVIDERS__EARTHDAILY__CLIENT_SECRET__COMMAND";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let service = Arc::new(Service::default());
    let broker = setup(Variables(&[(KEY, "api-token")]))
        .http(service.clone())
        .store(Arc::new(MemoryStore::new()))
        .open()?;
    let token = broker.token("earthdaily", &TokenRequest::new()).await?;
    assert_eq!(token.secret().expose(), "token-1");
    println!("{token:?}"); // secret: [redacted]

    // The second call returns the stored token without a request.
    broker.token("earthdaily", &TokenRequest::new()).await?;
    assert_eq!(service.exchanges(), 1);
    let renewed = broker.token("earthdaily", &TokenRequest::new().force()).await?;
    assert_eq!(renewed.secret().expose(), "token-2");

    missing_features_are_named().await
}

async fn missing_features_are_named() -> Result<(), Box<dyn std::error::Error>> {
    let service = Arc::new(Service::default());
    let plain = || setup(Variables(&[(KEY, "api-token")]));
    let no_store = plain().http(service.clone()).open().err().ok_or("no error without a store")?;
    assert!(no_store.to_string().contains("`Setup::store`, or enable the feature `file`"), "{no_store}");
    let no_http =
        plain().store(Arc::new(MemoryStore::new())).open().err().ok_or("no error without an HTTP client")?;
    assert!(no_http.to_string().contains("`Setup::http`, or enable the feature `reqwest`"), "{no_http}");

    let broker = setup(Variables(&[(COMMAND_KEY, r#"["echo", "api-token"]"#)]))
        .http(service.clone())
        .store(Arc::new(MemoryStore::new()))
        .open()?;
    let refused =
        broker.token("earthdaily", &TokenRequest::new()).await.err().ok_or("no error for a command")?;
    assert_eq!(refused.kind(), ErrorKind::Configuration);
    assert!(refused.to_string().contains("built without the feature `command`"), "{refused}");
    assert_eq!(service.exchanges(), 0);
    Ok(())
}

fn setup(variables: Variables) -> Setup {
    Setup::new().env(Arc::new(variables))
}
