//! The password grant (RFC 6749 section 4.3), for services that support no other grant.

use broker_core::{
    Hint, Operation, Record, RecordUpdate, Result, ScopeKey, Secret, SecretSource, TokenRequest, fingerprint,
};

use super::OAuth2;
use super::config::Flow;
use super::session::Session;

const WARNING: &str = "WARNING: `flow = \"password\"` gives your password to this program; \
     use another flow if the service supports one (RFC 9700 section 2.4)";

impl OAuth2 {
    /// Whether the configuration contains a username and a password, so that no prompt is needed.
    pub(super) fn has_password(&self) -> bool {
        self.flow == Flow::Password && self.config.username.is_some() && self.config.password.is_some()
    }

    /// Returns a fingerprint of the password. Its 16 bits are too few to confirm a guessed password.
    fn password_fingerprint(&self, username: &str, password: &Secret) -> String {
        fingerprint(&format!("{} {username}", self.info.issuer.endpoint), password, 16)
    }
}

impl Session<'_> {
    /// Logs in with `password`, else with the configured password or one that the user types.
    pub(super) async fn log_in_with(&self, password: Option<&Secret>) -> Result<RecordUpdate> {
        let (operation, config) = (self.operation, &self.provider.config);
        let hint = "set `username` of this provider in the configuration";
        let username = match &config.username {
            Some(username) => username.clone(),
            None => operation.prompt().ask("Username").await.map_err(|error| error.with_hint(hint))?,
        };
        let password = match (password, &config.password) {
            (Some(password), _) => password.clone(),
            // If the configured environment variable is not set, the user can type the password.
            (None, Some(SecretSource::Env(name))) if operation.env().var(name).is_none() => {
                ask_password(operation, &username, format!("set the environment variable {name}")).await?
            }
            (None, Some(source)) => source.resolve(operation.context(), "password").await?,
            (None, None) => {
                let hint = "set `password` of this provider in the configuration";
                ask_password(operation, &username, hint.to_owned()).await?
            }
        };
        self.send_password(&username, &password, &ScopeKey::default()).await
    }

    /// Logs in with the configured password, unless the service has already refused that password.
    pub(super) async fn log_in_configured(
        &self,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        let (Some(username), Some(source)) = (&self.provider.config.username, &self.provider.config.password)
        else {
            return Err(record.login_missing());
        };
        let password = source.resolve(self.operation.context(), "password").await?;
        let fingerprint = self.provider.password_fingerprint(username, &password);
        record.check_password(&fingerprint, request)?;
        let update = self.send_password(username, &password, request.scopes()).await?;
        let is_login = request.scopes().is_empty();
        Ok(if is_login { self.provider.add_login_scope(update) } else { update })
    }

    async fn send_password(
        &self,
        username: &str,
        password: &Secret,
        scopes: &ScopeKey,
    ) -> Result<RecordUpdate> {
        let fields = self.provider.initial_fields(scopes);
        self.operation.notify_after_save(WARNING.to_owned());
        // Repeated wrong passwords lock accounts, so a refused password's fingerprint is stored and checked.
        let fingerprint = self.provider.password_fingerprint(username, password);
        let mut answer =
            self.token().password(self.operation, username, password, fingerprint, &fields).await?;
        // A token request with scopes is not a login, so it must not replace the login's refresh token.
        answer.refresh_token.take_if(|_| answer.token.is_some() && !scopes.is_empty());
        let answer = answer.map_token(|token| self.provider.annotate(token, scopes));
        Ok(answer.into_update(scopes).and_account(Some(username.to_owned())))
    }
}

async fn ask_password(operation: &Operation, username: &str, hint: String) -> Result<Secret> {
    let password = operation.prompt().ask_hidden(&format!("Password of {username}")).await;
    password.map_err(|error| error.with_hint(Hint::SetPassword(hint)))
}
