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

/// A provider that uses a fake EarthScope server. Without a client secret, the provider needs a user's login.
pub(crate) struct TestProvider {
    pub(crate) world: World,
    pub(crate) service: EarthScope,
    client_secret: Option<String>,
}

impl TestProvider {
    pub(crate) fn new(options: EarthScopeOptions) -> Self {
        let (world, client_secret) = (World::new(), options.client_secret.clone());
        let service = EarthScope::start(EarthScopeOptions { now: world.clock.for_service(), ..options });
        Self { world, service, client_secret }
    }

    pub(crate) fn build(&self, mut table: Value) -> Arc<dyn Provider> {
        table["domain"] = json!(self.service.url());
        (KIND.build)(&Settings::new(KIND.name, table, &self.world.env)).expect("settings")
    }
}

impl Subject for TestProvider {
    fn world(&self) -> &World {
        &self.world
    }

    fn provider(&self) -> Arc<dyn Provider> {
        self.build(json!({ "client_secret": self.client_secret }))
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
        self.client_secret.is_none()
    }

    fn secrets(&self) -> Vec<String> {
        self.client_secret.iter().cloned().collect()
    }

    fn scopes(&self) -> Option<&'static [&'static str]> {
        self.client_secret.is_none().then_some(&["profile", "offline_access"])
    }
}

/// Returns a provider whose device logins the fake server approves at once.
pub(crate) fn approved(options: EarthScopeOptions) -> TestProvider {
    let subject = TestProvider::new(options);
    subject.service.approve_all();
    subject
}

async fn run_conformance(rotation: Rotation) {
    conformance::run(|| approved(EarthScopeOptions { rotation, ..Default::default() })).await;
}

#[tokio::test]
async fn earthscope_passes_conformance_if_refresh_token_is_unchanged() {
    run_conformance(Rotation::Keep).await;
}

#[tokio::test]
async fn earthscope_passes_conformance_if_refresh_token_is_omitted() {
    run_conformance(Rotation::Omit).await;
}

#[tokio::test]
async fn earthscope_passes_conformance_if_token_reuse_is_detected() {
    run_conformance(Rotation::RotateDetectReuse).await;
}

#[tokio::test]
async fn earthscope_client_credentials_pass_conformance_suite() {
    let client_secret = Some("the client's secret".to_owned());
    let options = EarthScopeOptions { client_secret, ..Default::default() };
    conformance::run(|| TestProvider::new(options.clone())).await;
}
