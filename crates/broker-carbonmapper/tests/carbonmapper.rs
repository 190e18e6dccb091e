//! Tests of Carbon Mapper with a fake server and a test clock. Two provider kinds can reach the service:
//! `kind = "carbonmapper"`, and `kind = "login"` with the configuration in `login_kind.toml`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "carbonmapper/mint.rs"]
mod mint;

use std::sync::Arc;

use broker_core::{Broker, Error, Kind, Login, Provider, Settings, Token, TokenRequest};
use broker_testkit::conformance::{self, Subject};
use broker_testkit::{CarbonMapper, CarbonMapperOptions, Server, TestPrompt, World};
use serde_json::{Value, json};

pub(crate) const EMAIL: &str = "ada@example.org";
pub(crate) const PASSWORD: &str = "standin-password";

/// The configuration of `kind = "login"` that the documentation shows.
const LOGIN_KIND: &str = include_str!("carbonmapper/login_kind.toml");

/// A Carbon Mapper account at a fake service, and the tested provider kind. A fake user answers the login prompts.
pub(crate) struct Account {
    pub(crate) kind: Kind,
    pub(crate) world: World,
    pub(crate) service: CarbonMapper,
}

impl Account {
    pub(crate) fn new(kind: Kind, options: CarbonMapperOptions) -> Self {
        let mut world = World::new();
        world.person =
            (0..4).fold(TestPrompt::default(), |prompt, _| prompt.answering(EMAIL).answering(PASSWORD));
        let service = CarbonMapper::start(CarbonMapperOptions { now: world.clock.for_service(), ..options });
        Self { kind, world, service }
    }

    /// Returns an account for each of the two provider kinds, `carbonmapper` and `login`.
    pub(crate) fn of_each_kind(options: &CarbonMapperOptions) -> [Self; 2] {
        [broker_carbonmapper::KIND, broker_login::KIND].map(|kind| Self::new(kind, options.clone()))
    }

    /// Returns a logged-in account for each of the two provider kinds, `carbonmapper` and `login`.
    pub(crate) async fn logged_in(options: &CarbonMapperOptions) -> [Self; 2] {
        let accounts = Self::of_each_kind(options);
        for account in &accounts {
            account.broker().login(World::NAME, Login::Usual).await.expect("a login");
        }
        accounts
    }

    /// Builds the provider of the tested kind with these configuration keys.
    pub(crate) fn build(&self, keys: Value) -> Arc<dyn Provider> {
        let url = self.service.base_url();
        let mut table = json!({ "base_url": url });
        if self.kind.name == broker_login::KIND.name {
            let real = "https://api.carbonmapper.org/api/v1/";
            assert_eq!(LOGIN_KIND.matches(real).count(), 3);
            table = toml::from_str(&LOGIN_KIND.replace(real, &url)).expect("TOML");
        }
        let Value::Object(keys) = keys else { panic!("not a table: {keys}") };
        table.as_object_mut().expect("a table").extend(keys);
        (self.kind.build)(&Settings::new(self.kind.name, table, &self.world.env)).expect("settings")
    }

    /// Builds the provider with a configured email and an optional password.
    pub(crate) fn build_for(&self, email: &str, password: Option<&str>) -> Arc<dyn Provider> {
        let key = if self.kind.name == broker_login::KIND.name { "username" } else { "email" };
        self.build(password.map_or_else(
            || json!({ (key): email }),
            |password| json!({ (key): email, "password": password }),
        ))
    }

    pub(crate) fn broker(&self) -> Broker {
        self.world.broker(self.provider())
    }

    /// Gets a token with a new broker, as a new process would. Panics on an error.
    pub(crate) async fn token(&self, request: &TokenRequest) -> Token {
        let token = self.broker().token(World::NAME, request).await;
        token.unwrap_or_else(|error| panic!("kind {}: {error}", self.kind.name))
    }

    /// Returns the error of a token request to a new broker. Panics if the request succeeds.
    pub(crate) async fn token_error(&self, request: &TokenRequest) -> Error {
        self.broker().token(World::NAME, request).await.expect_err(self.kind.name)
    }
}

impl Subject for Account {
    fn world(&self) -> &World {
        &self.world
    }

    fn provider(&self) -> Arc<dyn Provider> {
        self.build(json!({}))
    }

    fn elsewhere(&self) -> Arc<dyn Provider> {
        self.build_for("eve@example.org", None)
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

/// Runs the conformance suite three times: a refresh returns the same refresh token, a new one, or none.
async fn conforms(kind: Kind) {
    let same = CarbonMapperOptions::default();
    let new = CarbonMapperOptions { rotate_refresh: true, ..Default::default() };
    let none = CarbonMapperOptions { return_refresh_on_refresh: false, ..Default::default() };
    for (name, options) in [("same", same), ("new", new), ("none", none)] {
        let suite = tokio::spawn(conformance::run(move || Account::new(kind, options.clone())));
        suite.await.unwrap_or_else(|error| panic!("refresh token `{name}`: {error}"));
    }
}

#[tokio::test]
async fn provider_of_kind_carbonmapper_passes_conformance_suite() {
    conforms(broker_carbonmapper::KIND).await;
}

#[tokio::test]
async fn provider_with_kind_login_in_toml_passes_conformance_suite() {
    conforms(broker_login::KIND).await;
}
