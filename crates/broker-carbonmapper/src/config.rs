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
    /// The URL path that lists scoped tokens. The service documents neither this path nor `token_delete_path`.
    pub(crate) token_list_path: Option<String>,
    /// The URL path that deletes a scoped token. The path contains the placeholder `{id}`.
    pub(crate) token_delete_path: Option<String>,
}

pub(crate) const EMAIL_VARIABLE: &str = "CARBONMAPPER_EMAIL";
pub(crate) const PASSWORD_VARIABLE: &str = "CARBONMAPPER_PASSWORD";

impl Config {
    /// Chooses the email and password: from the `.env` file if it contains the password, else from configuration
    /// keys, else from environment variables.
    pub(crate) fn add_environment(&mut self, env: &dyn Env) {
        let email = env.var(EMAIL_VARIABLE);
        let password = env.var(PASSWORD_VARIABLE).map(|_| SecretSource::Env(PASSWORD_VARIABLE.to_owned()));
        let (own_email, own_password) = (self.email.take(), self.password.take());
        (self.email, self.password) = match (env.file_of(PASSWORD_VARIABLE), email) {
            (None, email) => (own_email.or(email), own_password.or(password)),
            // The password of one source must not be sent with the email address of another source.
            (Some(_), Some(email)) => (Some(email), password),
            (Some(_), None) => (own_email, password.or(own_password)),
        };
        self.email = self.email.take().map(|email| email.trim_start_matches('\u{feff}').trim().to_owned());
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
