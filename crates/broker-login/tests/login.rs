//! Tests of `kind = "login"` with fake servers and a test clock.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "login/mint.rs"]
mod mint;
#[path = "login/recording_server.rs"]
mod recording_server;
#[path = "login/requests.rs"]
mod requests;
#[path = "login/responses.rs"]
mod responses;
#[path = "login/settings.rs"]
mod settings;

use std::sync::Arc;

use broker_core::{Broker, Provider, Result, Settings, SettingsError, Token, TokenRequest};
use broker_login::KIND;
use broker_testkit::World;
use serde_json::Value;

/// Builds a provider from a TOML table.
fn build(world: &World, toml: &str) -> std::result::Result<Arc<dyn Provider>, SettingsError> {
    let table: toml::Table = toml::from_str(toml).expect("TOML");
    let table: Value = serde_json::to_value(table).expect("JSON");
    (KIND.build)(&Settings::new(World::NAME, table, &world.env))
}

fn provider(world: &World, toml: &str) -> Arc<dyn Provider> {
    build(world, toml).unwrap_or_else(|error| panic!("{}: {error}", error.key))
}

fn broker(world: &World, toml: &str) -> Broker {
    world.broker(provider(world, toml))
}

/// Gets a token with a new broker, which has cached no token.
async fn token(world: &World, toml: &str) -> Result<Token> {
    broker(world, toml).token(World::NAME, &TokenRequest::new()).await
}
