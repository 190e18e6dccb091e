//! The provider type `kind = "exec"`: a plugin that implements docs/dev/plugin-protocol.md, or any program that
//! prints a token.

mod config;
mod exchange_response;
mod plugin;
mod process;
mod program;
mod session;
mod source;
mod wire;

use std::sync::Arc;

use broker_core::{Kind, Provider, Settings, SettingsError};
use config::{Config, Protocol};
use plugin::Plugin;
use source::Source;

/// The provider type `kind = "exec"`.
pub const KIND: Kind = Kind::new::<Config>("exec", build).secrets(&["secrets"]);

fn build(settings: &Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError> {
    let config: Config = settings.parse()?;
    config.check()?;
    Ok(match config.protocol {
        Protocol::Broker => Arc::new(Plugin::new(settings, config)?),
        _ => Arc::new(Source::new(settings, config)?),
    })
}
