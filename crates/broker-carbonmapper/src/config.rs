//! The keys of `kind = "carbonmapper"`.

use broker_core::{SecretSource, ServiceUrl};
use serde::Deserialize;

pub(crate) const BASE_URL: &str = "https://api.carbonmapper.org/api/v1/";

/// A provider of the kind; see `providers.toml` for what each key is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) base_url: Option<ServiceUrl>,
    pub(crate) email: Option<String>,
    pub(crate) password: Option<SecretSource>,
    pub(crate) token_list_path: Option<String>,
    pub(crate) token_delete_path: Option<String>,
}

/// Where scoped tokens are listed and deleted: the service documents no such routes.
pub(crate) struct Routes {
    pub(crate) list: Option<String>,
    /// With `{id}` in it.
    pub(crate) delete: Option<String>,
}
