//! my-service: describe the service here. Users log in with a password, and refresh tokens renew the login.

use std::sync::Arc;

use async_trait::async_trait;
use broker_core::{
    Error, HttpRequest, HttpResponse, Issuer, Kind, Login, LoginMethod, Operation, Problem, Provider,
    ProviderInfo, Record, RecordUpdate, Repeat, Result, Revoked, ScopeKey, Secret, ServiceUrl, Settings,
    SettingsError, Token, TokenRequest, read_object, seconds,
};
use chrono::TimeDelta;
use serde::Deserialize;

/// The provider kind that `kind = "my-service"` selects in the configuration.
pub const KIND: Kind = Kind::new::<Config>("my-service", build);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    url: ServiceUrl,
    username: String,
}

struct Service {
    config: Config,
    info: ProviderInfo,
}

fn build(settings: &Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError> {
    let config: Config = settings.parse()?;
    // The broker never sends a stored login to another issuer than this one.
    let mut info = ProviderInfo::new(Issuer::new(KIND.name, "password", config.url.as_str()));
    info.account = Some(config.username.clone());
    info.hosts = vec![config.url.host()];
    info.variable = "MY_SERVICE_TOKEN".into();
    info.logins = vec![LoginMethod::Interactive, LoginMethod::Password];
    Ok(Arc::new(Service { config, info }))
}

#[async_trait]
impl Provider for Service {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    /// Exchanges the stored refresh token for a token. The broker saves the `RecordUpdate` before the next request.
    async fn exchange(
        &self,
        operation: &Operation,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        let grant = record.usable_grant().ok_or_else(|| record.login_missing())?;
        let fields = [("grant_type", "refresh_token"), ("refresh_token", grant.secret().expose())];
        let post = HttpRequest::post_form(self.config.url.join("token"), &fields, Repeat::SpendsGrant);
        let response = operation.send(&post.with_salvage("refresh_token")).await?;
        let change = self.read(&response, grant.secret(), request.scopes());
        // `invalid_grant` ends the login. If your service uses another code, return `RecordUpdate::grant_refused()`.
        RecordUpdate::refreshed(change, &response, "refresh_token", grant.secret())
    }

    async fn login(&self, operation: &Operation, login: &Login) -> Result<RecordUpdate> {
        let password = match login {
            Login::Password(password) => password.clone(),
            _ => operation.prompt().ask_hidden("Password").await?,
        };
        let (name, password) = (self.config.username.as_str(), &password);
        let fields = [("grant_type", "password"), ("username", name), ("password", password.expose())];
        // Repeating a wrong password may lock the account.
        let post = HttpRequest::post_form(self.config.url.join("token"), &fields, Repeat::IfNotActed);
        let change = self.read(&operation.send(&post).await?, password, &ScopeKey::default());
        change.map_err(|problem| problem.error("the login failed"))
    }

    /// Revokes the login. Delete this function if your service cannot revoke logins.
    async fn revoke(&self, operation: &Operation, record: &Record) -> Result<Revoked> {
        let Some(grant) = record.usable_grant() else { return Ok(Revoked::default()) };
        let fields = [("token", grant.secret().expose())];
        let post = HttpRequest::post_form(self.config.url.join("revoke"), &fields, Repeat::Safe);
        match operation.send(&post).await?.status {
            200 => Ok(Revoked::new(true, None)),
            status => Err(Error::unavailable(format!("{} answered HTTP {status}", self.config.url))),
        }
    }
}

impl Service {
    /// Reads token, lifetime and refresh token from a response. Errors never show `sent`, the request's secret.
    fn read(&self, response: &HttpResponse, sent: &Secret, key: &ScopeKey) -> Result<RecordUpdate, Problem> {
        let object = read_object(response, &self.config.url, &[sent])?;
        let text = |key: &str| object.get(key)?.as_str().map(Secret::new);
        let missing = || Problem::Transient(Error::unavailable("the response has no access token"));
        let secret = text("access_token").ok_or_else(missing)?;
        let lifetime = object.get("expires_in").and_then(seconds);
        let token = Token::from_response(response, secret, lifetime, TimeDelta::hours(1));
        let update = RecordUpdate::token(key, token).and_grant(text("refresh_token"), response.sent_at);
        Ok(update.and_account(Some(self.config.username.clone())))
    }
}
