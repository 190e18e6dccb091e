//! A token service in this process, which responds after a delay and counts the requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use earthbroker::{Broker, Http, HttpFault, Setup};
use http::{Request, Response};
use serde_json::json;
use tempfile::TempDir;

pub const PROVIDERS: [&str; 2] = ["earthdaily", "another"];

/// Returns a token that is as long as a usual JWT.
pub fn secret() -> String {
    "s".repeat(1200)
}

pub struct Service {
    pub exchanges: AtomicUsize,
    delay: Duration,
}

#[async_trait]
impl Http for Service {
    async fn send(&self, _request: Request<Bytes>, _timeout: Duration) -> Result<Response<Bytes>, HttpFault> {
        self.exchanges.fetch_add(1, Ordering::SeqCst);
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        let body = json!({ "access_token": secret(), "token_type": "Bearer", "expires_in": 86400 });
        Ok(Response::new(body.to_string().into()))
    }
}

/// A broker with a file store and the system clock, as programs use it.
pub struct World {
    pub broker: Broker,
    pub service: Arc<Service>,
    _home: TempDir,
}

impl World {
    pub fn new(delay: Duration) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let service = Arc::new(Service { exchanges: AtomicUsize::new(0), delay });
        let config = home.path().join("providers.toml");
        let entries = PROVIDERS.map(|name| {
            format!(
                "[providers.{name}]\nkind = \"earthdaily\"\nclient_id = \"id\"\nclient_secret = \"secret\"\n"
            )
        });
        std::fs::write(&config, entries.concat()).expect("a configuration");
        let setup = Setup::new().config_file(config).state_dir(home.path().join("state"));
        let broker = setup.http(service.clone()).open().expect("a broker");
        Self { broker, service, _home: home }
    }
}
