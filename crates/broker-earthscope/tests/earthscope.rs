//! Tests of `kind = "earthscope"` with a fake server and a test clock.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "earthscope/crowd.rs"]
mod crowd;
#[path = "earthscope/device.rs"]
mod device;

use std::sync::Arc;

use broker_core::{Provider, Settings};
use broker_earthscope::KIND;
use broker_testkit::conformance::{self, Subject};
use broker_testkit::{EarthScope, EarthScopeOptions, Rotation, Server, World};
use serde_json::{Value, json};

/// A provider for a user's login at the fake server.
pub(crate) struct Seismic {
    pub(crate) world: World,
    pub(crate) service: EarthScope,
}

impl Seismic {
    pub(crate) fn new(options: EarthScopeOptions) -> Self {
        let world = World::new();
        let service = EarthScope::start(EarthScopeOptions { now: world.clock.for_service(), ..options });
        Self { world, service }
    }

    pub(crate) fn build(&self, mut table: Value) -> Arc<dyn Provider> {
        table["domain"] = json!(self.service.url());
        (KIND.build)(&Settings::new(KIND.name, table, &self.world.env)).expect("settings")
    }
}

impl Subject for Seismic {
    fn world(&self) -> &World {
        &self.world
    }

    fn provider(&self) -> Arc<dyn Provider> {
        self.build(json!({}))
    }

    fn elsewhere(&self) -> Arc<dyn Provider> {
        self.build(json!({ "audience": "https://account.earthscope.org" }))
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

    fn scopes(&self) -> Option<&'static [&'static str]> {
        Some(&["profile", "offline_access"])
    }
}

fn approved(rotation: Rotation) -> Seismic {
    let subject = Seismic::new(EarthScopeOptions { rotation, ..EarthScopeOptions::default() });
    subject.service.approve_all();
    subject
}

#[tokio::test]
async fn conformance_suite_passes_if_refresh_token_is_unchanged() {
    conformance::run(|| approved(Rotation::Keep)).await;
}

#[tokio::test]
async fn conformance_suite_passes_if_refresh_token_is_omitted() {
    conformance::run(|| approved(Rotation::Omit)).await;
}

#[tokio::test]
async fn conformance_suite_passes_with_token_reuse_detection() {
    conformance::run(|| approved(Rotation::RotateDetectReuse)).await;
}

/// A provider with a client secret at the fake server.
struct Machine(Seismic);

impl Machine {
    fn new() -> Self {
        let client_secret = Some("the client's secret".to_owned());
        Self(Seismic::new(EarthScopeOptions { client_secret, ..EarthScopeOptions::default() }))
    }
}

impl Subject for Machine {
    fn world(&self) -> &World {
        &self.0.world
    }

    fn provider(&self) -> Arc<dyn Provider> {
        self.0.build(json!({ "client_secret": "the client's secret" }))
    }

    fn elsewhere(&self) -> Arc<dyn Provider> {
        self.0.build(json!({}))
    }

    fn service(&self) -> &Server {
        &self.0.service
    }

    fn renewal_route(&self) -> &'static str {
        "token"
    }

    fn end_grant(&self) -> bool {
        false
    }

    fn secrets(&self) -> Vec<String> {
        vec!["the client's secret".to_owned()]
    }
}

#[tokio::test]
async fn client_credentials_pass_the_conformance_suite() {
    conformance::run(Machine::new).await;
}
