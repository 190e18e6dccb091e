//! EarthDaily against its stand-in.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "earthdaily/cookie.rs"]
mod cookie;

use std::sync::Arc;
use std::time::Duration;

use broker_core::{Provider, Settings};
use broker_earthdaily::KIND;
use broker_testkit::conformance::{self, Subject};
use broker_testkit::{EarthDaily, EarthDailyOptions, Server, World};
use serde_json::json;

pub(crate) struct Imagery {
    pub(crate) world: World,
    pub(crate) service: EarthDaily,
}

impl Imagery {
    fn new() -> Self {
        Self::with(EarthDailyOptions::default())
    }

    pub(crate) fn with(options: EarthDailyOptions) -> Self {
        let mut world = World::new();
        world.timeout = Duration::from_millis(300);
        let options = EarthDailyOptions { now: world.clock.for_service(), ..options };
        Self { world, service: EarthDaily::start(options) }
    }

    fn build(&self, secret: &str) -> Arc<dyn Provider> {
        // The whole STAC root, as older clients have it.
        let api_url = format!("{}/platform/v1/stac", self.service.url());
        let table =
            json!({ "auth_url": self.service.auth_url(), "client_secret": secret, "api_url": api_url });
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

#[test]
fn sources_and_hosts_are_told() {
    let told = |world: World, table: serde_json::Value| {
        let provider = (KIND.build)(&Settings::new("lab", table, &world.env)).expect("settings");
        (provider.sources(), provider.hosts())
    };
    let with = |name: &str, value: &str| {
        let mut world = World::new();
        world.env = world.env.with("HOME", "/nowhere").with(name, value);
        world
    };
    let usual = vec!["api.earthdaily.com".to_owned()];
    let secret = with("EDS_SECRET", "s");
    assert_eq!(told(secret, json!({})), (vec!["EDS_SECRET (environment)".to_owned()], usual.clone()));
    let own = json!({ "client_secret": { "file": "/nowhere/secret" } });
    assert_eq!(told(with("EDS_SECRET", "s"), own), (vec!["/nowhere/secret".to_owned()], usual.clone()));
    let (sources, hosts) = told(with("EDS_API_URL", "https://imagery.example/"), json!({}));
    assert!(sources[1].contains("/nowhere/.earthdaily/credentials [default]"), "{sources:?}");
    assert_eq!(hosts, usual, "a URL without its secret is not used");
    for url in ["https://imagery.example", "https://imagery.example/platform/v1/stac/?x=y"] {
        let (_, hosts) = told(with("EDS_API_URL", url), json!({ "client_secret": { "env": "EDS_SECRET" } }));
        assert_eq!(hosts, usual);
        let (_, hosts) = told(with("X", "y"), json!({ "client_secret": "s", "api_url": url }));
        assert_eq!(hosts, [usual[0].as_str(), "imagery.example"]);
    }
}
