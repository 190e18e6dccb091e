//! The password grant (RFC 6749 section 4.3), for services that support no other grant.

use broker_core::{
    Context, Record, RecordUpdate, Result, ScopeKey, Secret, SecretSource, TokenRequest, fingerprint,
};

use super::OAuth2;
use super::client::Client;
use super::config::Flow;
use super::endpoints::Endpoints;
use crate::Approved;
use crate::discovery::Endpoint;

const WARNING: &str = "WARNING: `flow = \"password\"` gives your password to this program; \
     use another flow if the service supports one (RFC 9700 section 2.4)";

impl OAuth2 {
    /// Whether the configuration contains a username and a password, so that no prompt is needed.
    pub(super) fn has_password(&self) -> bool {
        self.flow == Flow::Password && self.config.username.is_some() && self.config.password.is_some()
    }

    /// Logs in with the caller's password, the configured password, or the user's answer to a prompt.
    pub(super) async fn log_in_with(
        &self,
        context: &Context,
        client: &Client,
        endpoints: &Endpoints,
        password: Option<&Secret>,
    ) -> Result<RecordUpdate> {
        let username =
            match &self.config.username {
                Some(username) => username.clone(),
                None => context.prompt().ask("Username").await.map_err(|error| {
                    error.with_hint("set `username` of this provider in the configuration")
                })?,
            };
        let password = match (password, &self.config.password) {
            (Some(password), _) => password.clone(),
            // If the configured environment variable is not set, the user can type the password.
            (None, Some(SecretSource::Env(name))) if context.env().var(name).is_none() => {
                let hint =
                    format!("set the environment variable {name}, or pass the password with the login");
                ask_password(context, &username, &hint).await?
            }
            (None, Some(source)) => source.resolve(context, "password").await?,
            (None, None) => {
                let hint = "pass the password with the login, or set `password` of this provider";
                ask_password(context, &username, hint).await?
            }
        };
        self.send_password(context, client, endpoints, &username, &password, &ScopeKey::default()).await
    }

    /// Logs in with the configured password, unless the service has already refused that password.
    pub(super) async fn log_in_configured(
        &self,
        context: &Context,
        client: &Client,
        endpoints: &Endpoints,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        let (Some(username), Some(source)) = (&self.config.username, &self.config.password) else {
            return Err(record.login_missing());
        };
        let password = source.resolve(context, "password").await?;
        let fingerprint = self.password_fingerprint(username, &password);
        record.check_password(&fingerprint, request)?;
        let update =
            self.send_password(context, client, endpoints, username, &password, request.scopes()).await?;
        Ok(if request.scopes().is_empty() { self.parameters.add_login_scope(update) } else { update })
    }

    async fn send_password(
        &self,
        context: &Context,
        client: &Client,
        endpoints: &Endpoints,
        username: &str,
        password: &Secret,
        scopes: &ScopeKey,
    ) -> Result<RecordUpdate> {
        let url = endpoints.require(self, Endpoint::Token)?;
        let endpoint = client.endpoint(self, &url);
        let fields = self.parameters.initial(scopes);
        context.notify_after_save(WARNING.to_owned());
        // Repeated wrong passwords lock accounts, so a refused password's fingerprint is stored and checked.
        let fingerprint = self.password_fingerprint(username, password);
        let approved = endpoint.password(context, username, password, fingerprint, &fields).await?;
        let update = match approved {
            Approved::Granted(mut answer) => {
                answer.token = self.parameters.annotate(answer.token, scopes);
                // A login requests no scopes, so the refresh token of any other request is not stored.
                answer.refresh_token = answer.refresh_token.filter(|_| scopes.is_empty());
                answer.into_update(scopes)
            }
            Approved::OnlyRefreshToken(refresh_token, at) => RecordUpdate::grant(refresh_token, at),
        };
        Ok(update.and_account(Some(username.to_owned())))
    }

    /// Returns a fingerprint of 16 bits: too short to confirm a guessed password.
    fn password_fingerprint(&self, username: &str, password: &Secret) -> String {
        fingerprint(&format!("{} {username}", self.issuer.endpoint), password, 16)
    }
}

async fn ask_password(context: &Context, username: &str, hint: &str) -> Result<Secret> {
    let password = context.prompt().ask_hidden(&format!("Password of {username}")).await;
    password.map_err(|error| error.with_hint(hint))
}
