//! The keys of `kind = "exec"`.

use std::collections::BTreeMap;

use broker_core::{Command, ConfigDuration, ExpiresAs, Fields, SecretSource, SettingsError};
use serde::Deserialize;

/// A provider of the kind; see docs/configuration.md for what each key is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) command: Command,
    #[serde(default)]
    pub(crate) speaks: Protocol,
    #[serde(default)]
    pub(crate) secrets: BTreeMap<String, SecretSource>,
    #[serde(default)]
    pub(crate) settings: Fields,
    pub(crate) token: Option<String>,
    pub(crate) expires: Option<String>,
    pub(crate) expires_as: Option<ExpiresAs>,
    pub(crate) registry: Option<String>,
    pub(crate) life: Option<ConfigDuration>,
}

/// How a program tells its token.
#[derive(Deserialize, Debug, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// The protocol of docs/dev/plugin-protocol.md.
    #[default]
    Broker,
    /// `credential_process` of Amazon's tools.
    Aws,
    /// `ExecCredential` of kubectl.
    Kubectl,
    /// The first line is the token.
    Text,
    /// An object that has it.
    Json,
    /// A credential provider of cargo.
    Cargo,
}

impl Protocol {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Aws => "aws",
            Self::Kubectl => "kubectl",
            Self::Text => "text",
            Self::Json => "json",
            Self::Cargo => "cargo",
        }
    }
}

impl Config {
    /// An error at the first key that means nothing for what the program speaks.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        use Protocol::{Broker, Cargo, Json, Text};
        let given = [
            ("secrets", !self.secrets.is_empty(), &[Broker][..]),
            ("settings", !self.settings.0.is_empty(), &[Broker]),
            ("token", self.token.is_some(), &[Json]),
            ("expires", self.expires.is_some(), &[Json]),
            ("expires_as", self.expires_as.is_some(), &[Json]),
            ("registry", self.registry.is_some(), &[Cargo]),
            ("life", self.life.is_some(), &[Broker, Text, Json, Cargo]),
        ];
        let wrong = |key: &str, message: String| Err(SettingsError::new(key, message));
        if let Some((key, _, with)) =
            given.iter().find(|(_, given, with)| *given && !with.contains(&self.speaks))
        {
            let with: Vec<_> = with.iter().map(|speaks| format!("\"{}\"", speaks.name())).collect();
            let with = with.join(" or ");
            return wrong(key, format!("it has a meaning with `speaks = {with}` only"));
        }
        if self.speaks == Cargo && self.registry.is_none() {
            return wrong(
                "registry",
                "it is needed: the index URL of the registry, \"sparse+https://…\"".to_owned(),
            );
        }
        if self.expires_as.is_some() && self.expires.is_none() {
            return wrong("expires_as", "it needs `expires`, the path of what it is the form of".to_owned());
        }
        Ok(())
    }
}
