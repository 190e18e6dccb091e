//! The configuration keys of `kind = "exec"`.

use std::collections::BTreeMap;

use broker_core::{Command, ConfigDuration, ExpiresAs, Fields, SecretSource, SettingsError};
use chrono::TimeDelta;
use serde::Deserialize;

/// The settings of a provider: see docs/configuration.md.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) command: Command,
    #[serde(default, rename = "speaks")]
    pub(crate) protocol: Protocol,
    #[serde(default)]
    pub(crate) secrets: BTreeMap<String, SecretSource>,
    #[serde(default)]
    pub(crate) settings: Fields,
    pub(crate) token: Option<String>,
    pub(crate) expires: Option<String>,
    pub(crate) expires_as: Option<ExpiresAs>,
    pub(crate) registry: Option<String>,
    #[serde(rename = "life")]
    lifetime: Option<ConfigDuration>,
}

/// The format of a program's output.
#[derive(Deserialize, Debug, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// The plugin protocol of docs/dev/plugin-protocol.md.
    #[default]
    Broker,
    /// The format of `credential_process` of AWS tools.
    Aws,
    /// The format `ExecCredential` of kubectl.
    Kubectl,
    /// The token is the first line of the output.
    Text,
    /// The token is a field of a JSON object.
    Json,
    /// The credential provider protocol of cargo.
    Cargo,
}

impl Protocol {
    /// Returns the name of the protocol in the configuration. Records keep it, so a variant must not be renamed.
    pub(crate) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

impl Config {
    /// Returns the lifetime of a token if neither the program nor a JWT states one.
    pub(crate) fn lifetime(&self) -> TimeDelta {
        self.lifetime.map_or(TimeDelta::minutes(5), |lifetime| lifetime.0)
    }

    /// Rejects configuration keys that do not apply to the configured protocol.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        use Protocol::{Broker, Cargo, Json, Text};
        let keys = [
            ("secrets", !self.secrets.is_empty(), &[Broker][..]),
            ("settings", !self.settings.0.is_empty(), &[Broker]),
            ("token", self.token.is_some(), &[Json]),
            ("expires", self.expires.is_some(), &[Json]),
            ("expires_as", self.expires_as.is_some(), &[Json]),
            ("registry", self.registry.is_some(), &[Cargo]),
            ("life", self.lifetime.is_some(), &[Broker, Text, Json, Cargo]),
        ];
        let unused =
            keys.iter().find(|(_, is_set, protocols)| *is_set && !protocols.contains(&self.protocol));
        if let Some((key, _, protocols)) = unused {
            let names: Vec<_> = protocols.iter().map(|protocol| format!("\"{}\"", protocol.name())).collect();
            let message = format!("this key is only used with `speaks = {}`", names.join(" or "));
            return Err(SettingsError::new(*key, message));
        }
        if self.protocol == Cargo && self.registry.is_none() {
            return Err(SettingsError::missing(
                "registry",
                "the index URL of the registry, \"sparse+https://…\"",
            ));
        }
        if self.expires_as.is_some() && self.expires.is_none() {
            return Err(SettingsError::new(
                "expires_as",
                "this key needs the key `expires`: the path of the expiry in the program's output",
            ));
        }
        Ok(())
    }
}
