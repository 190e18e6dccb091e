//! my-service: describe the service here. Users log in with a password, and refresh tokens renew the login.

use std::sync::Arc;

use async_trait::async_trait;
use broker_core::{
    Context, Error, HttpRequest, HttpResponse, Issuer, Kind, Login, Problem, Provider, Record, RecordUpdate,
    Repeat, Result, Revoked, ScopeKey, Secret, ServiceUrl, Settings, SettingsError, Token, TokenRequest,
    read_object, seconds,
};
use chrono::TimeDelta;
use serde::Deserialize;

/// The provider kind that `kind = "my-service"` selects in the configuration.
pub const KIND: Kind = Kind {
    name: "my-service",
    about: "my-service: describe the service here (password)",
    keys: &["url", "username"],
    secrets: &[],
    renamed: &[],
    token_variable: "MY_SERVICE_TOKEN",
    build,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    url: ServiceUrl,
    username: String,
}

struct Service(Config, Issuer);

fn build(settings: &Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError> {
    let config: Config = settings.parse()?;
    // The broker never sends a stored login to another issuer than this one.
    let issuer = Issuer::new(KIND.name, "password", config.url.as_str());
    Ok(Arc::new(Service(config, issuer)))
}

#[async_trait]
impl Provider for Service {
    fn issuer(&self) -> &Issuer {
        &self.1
    }

    fn account(&self) -> Option<&str> {
        Some(&self.0.username)
    }

    fn hosts(&self) -> Vec<String> {
        vec![self.0.url.host()]
    }

    /// Exchanges the stored refresh token for a token. The broker saves the `RecordUpdate` before the next request.
    async fn exchange(&self, context: &Context, record: &Record, req: &TokenRequest) -> Result<RecordUpdate> {
        let Some(grant) = record.usable_grant() else {
            return Err(Error::login_required("not logged in, or the login has expired"));
        };
        let fields = [("grant_type", "refresh_token"), ("refresh_token", grant.secret().expose())];
        let post = HttpRequest::post_form(self.0.url.join("token"), &fields, Repeat::SpendsGrant);
        let response = context.send(&post.with_salvage("refresh_token")).await?;
        let change = self.read(&response, grant.secret(), req.scopes());
        // `invalid_grant` ends the login. If your service uses another code, return `RecordUpdate::grant_refused()`.
        RecordUpdate::refreshed(change, &response, "refresh_token", grant.secret())
    }

    async fn login(&self, context: &Context, login: &Login) -> Result<RecordUpdate> {
        let password = match login {
            Login::Usual => context.prompt().ask_hidden("Password").await?,
            Login::Password(password) => password.clone(),
            _ => return Err(Error::usage("this service logs in with a password")),
        };
        let (name, password) = (self.0.username.as_str(), &password);
        let fields = [("grant_type", "password"), ("username", name), ("password", password.expose())];
        // Repeating a wrong password may lock the account.
        let post = HttpRequest::post_form(self.0.url.join("token"), &fields, Repeat::IfNotActed);
        let response = context.send(&post).await?;
        let change = self.read(&response, password, &ScopeKey::default());
        change.map_err(|problem| problem.error("the login failed"))
    }

    /// Revokes the login. Delete this function if your service cannot revoke logins.
    async fn revoke(&self, context: &Context, record: &Record) -> Result<Revoked> {
        let Some(grant) = record.usable_grant() else { return Ok(Revoked::default()) };
        let fields = [("token", grant.secret().expose())];
        let post = HttpRequest::post_form(self.0.url.join("revoke"), &fields, Repeat::Safe);
        match context.send(&post).await?.status {
            200 => Ok(Revoked { revoked: true, note: None }),
            status => Err(Error::unavailable(format!("{} answered HTTP {status}", self.0.url))),
        }
    }
}

impl Service {
    /// Reads token, lifetime and refresh token from a response. Errors never show `sent`, the request's secret.
    fn read(&self, response: &HttpResponse, sent: &Secret, key: &ScopeKey) -> Result<RecordUpdate, Problem> {
        let object = read_object(response, &self.0.url, &[sent])?;
        let text = |key: &str| object.get(key)?.as_str().map(Secret::new);
        let missing =
            || Problem::Transient(Error::unavailable(format!("the response of {} has no token", self.0.url)));
        let secret = text("access_token").ok_or_else(missing)?;
        let lifetime = object.get("expires_in").and_then(seconds);
        let token = Token::from_response(response, secret, lifetime, TimeDelta::hours(1));
        let update = RecordUpdate::token(key, token).and_account(Some(self.0.username.clone()));
        let Some(refresh_token) = text("refresh_token") else { return Ok(update) };
        Ok(update.and_grant(refresh_token, response.sent_at))
    }
}
