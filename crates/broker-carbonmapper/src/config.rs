//! The keys of `kind = "carbonmapper"`.

use broker_core::{SecretSource, ServiceUrl, SettingsError};
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

/// A path stays below `base_url`, and one that deletes says what: without `{id}` it would be all there is.
pub(crate) fn check_path(key: &str, path: Option<&str>, with_id: bool) -> Result<(), SettingsError> {
    let Some(path) = path else { return Ok(()) };
    let wrong = |message: &str| Err(SettingsError { key: key.to_owned(), message: message.to_owned() });
    if path.split('/').any(|part| part == ".." || part == ".") || path.contains(['?', '#', '%', '\\']) {
        return wrong("it must be a plain path below `base_url`, such as account/tokens");
    }
    if with_id && !path.split('/').any(|part| part == "{id}") {
        return wrong("it must have {id} in it: account/tokens/{id}");
    }
    Ok(())
}
