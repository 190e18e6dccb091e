//! The keys of `kind = "carbonmapper"`.

use broker_core::{Env, SecretSource, ServiceUrl, SettingsError};
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

const PASSWORD_VARIABLE: &str = "CARBONMAPPER_PASSWORD";

/// Whose login, and where its password comes from.
pub(crate) struct Account {
    pub(crate) email: Option<String>,
    pub(crate) password: Option<SecretSource>,
    /// Where from, in words for people.
    pub(crate) password_from: Option<String>,
}

impl Account {
    /// The configuration's own keys win over the environment's; a file that a person names for this call wins over them.
    pub(crate) fn new(email: Option<String>, password: Option<SecretSource>, env: &dyn Env) -> Self {
        let named = env.file_of(PASSWORD_VARIABLE);
        let own_from = password.as_ref().map(|source| source.describe("password"));
        let own = (email, password.zip(own_from));
        let from = named.map_or_else(|| "environment".to_owned(), |file| file.display().to_string());
        let in_env = env.var(PASSWORD_VARIABLE).map(|_| SecretSource::Env(PASSWORD_VARIABLE.to_owned()));
        let in_env = (
            env.var("CARBONMAPPER_EMAIL"),
            in_env.map(|source| (source, format!("{PASSWORD_VARIABLE} ({from})"))),
        );
        let (email, password) = match named {
            None => (own.0.or(in_env.0), own.1.or(in_env.1)),
            // A password of the configuration belongs to the email there.
            Some(_) if in_env.0.is_some() => in_env,
            Some(_) => (own.0, in_env.1.or(own.1)),
        };
        let (password, password_from) = password.unzip();
        Self { email: email.map(|email| email.trim().to_owned()), password, password_from }
    }
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
    let wrong = |message: &str| Err(SettingsError::new(key, message));
    if path.split('/').any(|part| part == ".." || part == ".") || path.contains(['?', '#', '%', '\\']) {
        return wrong("it must be a plain path below `base_url`, such as account/tokens");
    }
    if with_id && !path.split('/').any(|part| part == "{id}") {
        return wrong("it must have {id} in it: account/tokens/{id}");
    }
    Ok(())
}
