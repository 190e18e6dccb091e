//! Runs the conformance suite for `kind = "oauth2"`, configured for the fake servers of EarthScope and EarthDaily.

use std::sync::Arc;
use std::time::Duration;

use broker_core::{Provider, Settings};
use broker_oauth2::KIND;
use broker_testkit::conformance::{self, ClientSubject, Subject};
use broker_testkit::{EarthDailyOptions, EarthScope, EarthScopeOptions, Rotation, Server, World};
use serde_json::{Value, json};

fn world() -> World {
    let mut world = World::new();
    world.timeout = Duration::from_millis(300);
    world
}

fn build(world: &World, table: Value) -> Arc<dyn Provider> {
    (KIND.build)(&Settings::new(World::NAME, table, &world.env)).expect("settings")
}

/// A provider whose user logs in by device code.
struct Device {
    world: World,
    service: EarthScope,
}

impl Device {
    fn approved(rotation: Rotation) -> Self {
        let world = world();
        let now = world.clock.for_service();
        let service = EarthScope::start(EarthScopeOptions { rotation, now, ..EarthScopeOptions::default() });
        service.approve_all();
        Self { world, service }
    }

    fn table(&self) -> Value {
        json!({
            "flow": "device",
            "token_url": format!("{}/oauth/token", self.service.url()),
            "device_url": format!("{}/oauth/device/code", self.service.url()),
            "client_id": "b9DtAFBd6QvMg761vI3YhYquNZbJX5G0",
            "audience": "https://api.earthscope.org",
            "scope": "offline_access",
        })
    }
}

impl Subject for Device {
    fn world(&self) -> &World {
        &self.world
    }

    fn provider(&self) -> Arc<dyn Provider> {
        build(&self.world, self.table())
    }

    fn elsewhere(&self) -> Arc<dyn Provider> {
        let mut table = self.table();
        table["audience"] = json!("https://account.earthscope.org");
        build(&self.world, table)
    }

    fn service(&self) -> &Server {
        &self.service
    }

    fn renewal_route(&self) -> &'static str {
        "token"
    }

    fn end_grant(&self) -> bool {
        self.service.revoke_everything();
        true
    }
}

#[tokio::test]
async fn device_login_with_rotation_passes_conformance_suite() {
    conformance::run(|| Device::approved(Rotation::RotateDetectReuse)).await;
}

#[tokio::test]
async fn device_login_without_rotation_passes_conformance_suite() {
    conformance::run(|| Device::approved(Rotation::Omit)).await;
}

/// A provider that uses client credentials.
fn client_credentials() -> ClientSubject {
    ClientSubject::new(world(), EarthDailyOptions::default(), |world, service, secret| {
        let table = json!({
            "flow": "client_credentials",
            "token_url": service.auth_url(),
            "client_id": "EARTHDAILY_API_TOKEN",
            "client_secret": secret,
        });
        build(world, table)
    })
}

#[tokio::test]
async fn client_credentials_pass_the_conformance_suite() {
    conformance::run(client_credentials).await;
}
