//! The password grant (RFC 6749 section 4.3), which is there for services that have nothing else.

use broker_core::{
    Context, Record, RecordUpdate, Result, ScopeKey, Secret, SecretSource, TokenRequest, fingerprint,
};

use super::OAuth2;
use super::client::Client;
use super::config::Flow;
use super::endpoints::Endpoints;
use crate::Approved;
use crate::discovery::Endpoint;

/// RFC 9700 section 2.4.
const WARNING: &str = "WARNING: `flow = \"password\"` hands your password to this program and the service's token endpoint; \
     it must not be used where the service has another flow (RFC 9700 section 2.4)";

impl OAuth2 {
    /// Whether it can log in without a person.
    pub(super) fn has_password(&self) -> bool {
        self.flow == Flow::Password && self.config.username.is_some() && self.config.password.is_some()
    }

    /// Logs in with a password: the one that is given, configured, or asked for.
    pub(super) async fn log_in_with(
        &self,
        context: &Context,
        client: &Client,
        endpoints: &Endpoints,
        given: Option<&Secret>,
    ) -> Result<RecordUpdate> {
        let username =
            match &self.config.username {
                Some(username) => username.clone(),
                None => context.prompt().ask("User name").await.map_err(|error| {
                    error.with_hint("set `username` of this provider in the configuration")
                })?,
            };
        let password = match (given, &self.config.password) {
            (Some(password), _) => password.clone(),
            // Whoever sits there knows what the variable would say.
            (None, Some(SecretSource::Env(name))) if context.env().var(name).is_none() => {
                let hint = format!("set the environment variable {name}, or give it with --password-stdin");
                ask_password(context, &username, &hint).await?
            }
            (None, Some(source)) => source.resolve(context, "password").await?,
            (None, None) => {
                let hint = "give it with --password-stdin, or set `password` of this provider";
                ask_password(context, &username, hint).await?
            }
        };
        self.send_password(context, client, endpoints, &username, &password, &ScopeKey::default()).await
    }

    /// Logs in with the configured password, unless it is known to be wrong.
    pub(super) async fn log_in_unasked(
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
        let mark = self.password_mark(username, &password);
        record.check_password(&mark, request)?;
        let change =
            self.send_password(context, client, endpoints, username, &password, request.scopes()).await?;
        Ok(if request.scopes().is_empty() { self.asked.keep_in(change) } else { change })
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
        let url = endpoints.need(self, Endpoint::Token)?;
        let endpoint = client.endpoint(self, &url);
        let fields = self.asked.beginning(scopes);
        context.notify_after_save(WARNING.to_owned());
        // Wrong passwords lock accounts: one that is refused is not tried again by itself.
        let mark = self.password_mark(username, password);
        let approved = endpoint.password(context, username, password, mark, &fields).await?;
        let change = match approved {
            Approved::Granted(mut answer) => {
                answer.token = self.asked.note(answer.token, scopes);
                // A refresh token of some scopes only is not the login.
                answer.refresh_token = answer.refresh_token.filter(|_| scopes.is_empty());
                answer.change(scopes)
            }
            Approved::OnlyRefreshToken(refresh_token, at) => RecordUpdate::grant(refresh_token, at),
        };
        Ok(change.and_account(Some(username.to_owned())))
    }

    /// Two bytes: people's passwords can be guessed, and this must confirm no guess.
    fn password_mark(&self, username: &str, password: &Secret) -> String {
        fingerprint(&format!("{} {username}", self.issuer.endpoint), password, 16)
    }
}

async fn ask_password(context: &Context, username: &str, hint: &str) -> Result<Secret> {
    let asked = context.prompt().ask_hidden(&format!("Password of {username}")).await;
    asked.map_err(|error| error.with_hint(hint))
}
