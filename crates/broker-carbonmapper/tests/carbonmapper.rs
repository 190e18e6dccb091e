//! Tests of `kind = "carbonmapper"` with a fake server and a test clock.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "carbonmapper/mint.rs"]
mod mint;

use std::sync::Arc;

use broker_carbonmapper::KIND;
use broker_core::{Provider, Settings};
use broker_testkit::conformance::{self, Subject};
use broker_testkit::{CarbonMapper, CarbonMapperOptions, Server, TestPrompt, World};
use serde_json::{Value, json};

pub(crate) const EMAIL: &str = "ada@example.org";
pub(crate) const PASSWORD: &str = "standin-password";

/// An account whose user types email and password.
pub(crate) struct Methane {
    pub(crate) world: World,
    pub(crate) service: CarbonMapper,
}

impl Methane {
    pub(crate) fn new(options: CarbonMapperOptions) -> Self {
        let mut world = World::new();
        world.person =
            (0..4).fold(TestPrompt::default(), |prompt, _| prompt.answering(EMAIL).answering(PASSWORD));
        let service = CarbonMapper::start(CarbonMapperOptions { now: world.clock.for_service(), ..options });
        Self { world, service }
    }

    pub(crate) fn build(&self, mut table: Value) -> Arc<dyn Provider> {
        table["base_url"] = json!(self.service.base_url());
        (KIND.build)(&Settings::new(KIND.name, table, &self.world.env)).expect("settings")
    }
}

impl Subject for Methane {
    fn world(&self) -> &World {
        &self.world
    }

    fn provider(&self) -> Arc<dyn Provider> {
        self.build(json!({}))
    }

    fn elsewhere(&self) -> Arc<dyn Provider> {
        self.build(json!({ "email": "eve@example.org" }))
    }

    fn service(&self) -> &Server {
        &self.service
    }

    fn renewal_route(&self) -> &'static str {
        "refresh"
    }

    fn end_grant(&self) -> bool {
        self.service.revoke_refresh_tokens();
        true
    }

    fn login_secrets(&self) -> Vec<String> {
        vec![PASSWORD.to_owned()]
    }

    fn scopes(&self) -> Option<&'static [&'static str]> {
        Some(&["stac", "catalog:read"])
    }
}

#[tokio::test]
async fn carbonmapper_passes_the_conformance_suite() {
    conformance::run(|| Methane::new(CarbonMapperOptions::default())).await;
}

#[tokio::test]
async fn conformance_suite_passes_with_rotated_refresh_tokens() {
    conformance::run(|| Methane::new(CarbonMapperOptions { rotate_refresh: true, ..Default::default() }))
        .await;
}

#[tokio::test]
async fn conformance_suite_passes_if_refresh_token_is_omitted() {
    let options = CarbonMapperOptions { return_refresh_on_refresh: false, ..Default::default() };
    conformance::run(|| Methane::new(options.clone())).await;
}
