//! Logins described in configuration, against fake servers, on a clock that the tests move.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "login/answers.rs"]
mod answers;
#[path = "login/carbonmapper.rs"]
mod carbonmapper;
#[path = "login/mint.rs"]
mod mint;
#[path = "login/requests.rs"]
mod requests;
#[path = "login/settings.rs"]
mod settings;
#[path = "login/stand.rs"]
mod stand;

use std::sync::Arc;

use broker_core::{Provider, Settings, SettingsError};
use broker_login::KIND;
use broker_testkit::World;
use serde_json::Value;

/// A provider of a table of TOML.
fn build(world: &World, toml: &str) -> Result<Arc<dyn Provider>, SettingsError> {
    let table: toml::Table = toml::from_str(toml).expect("TOML");
    let table: Value = serde_json::to_value(table).expect("JSON");
    (KIND.build)(&Settings::new(World::NAME, table, &world.env))
}

fn provider(world: &World, toml: &str) -> Arc<dyn Provider> {
    build(world, toml).unwrap_or_else(|error| panic!("{}: {error}", error.key))
}
