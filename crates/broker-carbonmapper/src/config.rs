//! The configuration keys of `kind = "carbonmapper"`.

use broker_core::{Env, SecretSource, ServiceUrl, SettingsError};
use serde::Deserialize;

pub(crate) const BASE_URL: &str = "https://api.carbonmapper.org/api/v1/";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) base_url: Option<ServiceUrl>,
    pub(crate) email: Option<String>,
    pub(crate) password: Option<SecretSource>,
    pub(crate) token_list_path: Option<String>,
    pub(crate) token_delete_path: Option<String>,
}

pub(crate) const EMAIL_VARIABLE: &str = "CARBONMAPPER_EMAIL";
pub(crate) const PASSWORD_VARIABLE: &str = "CARBONMAPPER_PASSWORD";

pub(crate) struct Account {
    pub(crate) email: Option<String>,
    pub(crate) password: Option<SecretSource>,
    /// The file or environment variable that the password comes from, for messages.
    pub(crate) password_origin: Option<String>,
}

impl Account {
    /// Chooses the email and password: from the `.env` file if it contains the password, else from configuration
    /// keys, else from environment variables.
    pub(crate) fn new(email: Option<String>, password: Option<SecretSource>, env: &dyn Env) -> Self {
        let file = env.file_of(PASSWORD_VARIABLE);
        let own_origin = password.as_ref().map(|source| source.describe("password"));
        let own = (email, password.zip(own_origin));
        let in_env = env.var(PASSWORD_VARIABLE).map(|_| SecretSource::Env(PASSWORD_VARIABLE.to_owned()));
        let in_env =
            (env.var(EMAIL_VARIABLE), in_env.map(|source| (source, env.describe(PASSWORD_VARIABLE))));
        let (email, password) = match file {
            None => (own.0.or(in_env.0), own.1.or(in_env.1)),
            // The password of one source must not be sent with the email address of another source.
            Some(_) if in_env.0.is_some() => in_env,
            Some(_) => (own.0, in_env.1.or(own.1)),
        };
        let (password, password_origin) = password.unzip();
        Self {
            email: email.map(|email| email.trim_start_matches('\u{feff}').trim().to_owned()),
            password,
            password_origin,
        }
    }
}

/// Checks that a URL path stays below `base_url`. A delete path needs `{id}`, or it could delete all tokens.
pub(crate) fn check_path(key: &str, path: Option<&str>, with_id: bool) -> Result<(), SettingsError> {
    let Some(path) = path else { return Ok(()) };
    let wrong = |message: &str| Err(SettingsError::new(key, message));
    if path.split('/').any(|part| part == ".." || part == ".") || path.contains(['?', '#', '%', '\\']) {
        return wrong(
            "the value must be a path below `base_url` without `.`, `..`, `?`, `#`, `%` or `\\`, such as account/tokens",
        );
    }
    if with_id && !path.split('/').any(|part| part == "{id}") {
        return wrong("the path must contain {id} as a segment: account/tokens/{id}");
    }
    Ok(())
}
