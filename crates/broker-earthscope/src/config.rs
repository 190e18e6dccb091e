//! The keys of `kind = "earthscope"`.

use broker_core::{SecretSource, ServiceUrl};
use serde::Deserialize;

/// A provider of the kind; see `providers.toml` for what each key is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) domain: Option<ServiceUrl>,
    #[serde(default = "audience")]
    pub(crate) audience: String,
    #[serde(default = "client_id")]
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<SecretSource>,
    #[serde(default = "scope")]
    pub(crate) scope: String,
    /// Understood, for the features that will use them.
    #[expect(dead_code, reason = "checked here, so that a configuration of today is one of tomorrow")]
    api_url: Option<ServiceUrl>,
    #[expect(dead_code, reason = "as above")]
    profile: Option<String>,
    #[expect(dead_code, reason = "as above")]
    sdk_home: Option<std::path::PathBuf>,
}

fn audience() -> String {
    "https://api.earthscope.org".to_owned()
}

/// The public client of the SDK.
fn client_id() -> String {
    "b9DtAFBd6QvMg761vI3YhYquNZbJX5G0".to_owned()
}

fn scope() -> String {
    "offline_access".to_owned()
}
