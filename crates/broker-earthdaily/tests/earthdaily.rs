//! EarthDaily against its stand-in.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use broker_core::{Provider, Settings};
use broker_earthdaily::KIND;
use broker_testkit::conformance::{self, Subject};
use broker_testkit::{EarthDaily, EarthDailyOptions, Server, World};
use serde_json::json;

struct Imagery {
    world: World,
    service: EarthDaily,
}

impl Imagery {
    fn new() -> Self {
        let mut world = World::new();
        world.timeout = Duration::from_millis(300);
        let options = EarthDailyOptions { now: world.clock.for_service(), ..EarthDailyOptions::default() };
        Self { world, service: EarthDaily::start(options) }
    }

    fn build(&self, secret: &str) -> Arc<dyn Provider> {
        let table = json!({ "auth_url": self.service.auth_url(), "client_secret": secret });
        (KIND.build)(&Settings::new(KIND.name, table, &self.world.env)).expect("settings")
    }
}

impl Subject for Imagery {
    fn world(&self) -> &World {
        &self.world
    }

    fn provider(&self) -> Arc<dyn Provider> {
        self.build("standin-api-token")
    }

    fn elsewhere(&self) -> Arc<dyn Provider> {
        self.build("the secret of another account")
    }

    fn service(&self) -> &Server {
        &self.service
    }

    fn renewal_route(&self) -> &'static str {
        "token"
    }

    fn end_grant(&self) -> bool {
        false
    }

    fn secrets(&self) -> Vec<String> {
        vec!["standin-api-token".to_owned()]
    }
}

#[tokio::test]
async fn conforms() {
    conformance::run(Imagery::new).await;
}
