//! EarthDaily: imagery. Tokens by client credentials (RFC 6749 section 4.4), no login.

use std::sync::Arc;

use async_trait::async_trait;
use broker_core::{
    Change, Context, Env, Error, ErrorKind, Issuer, Kind, Login, Provider, Record, Result, Revoked, ScopeKey,
    SecretSource, ServiceUrl, Settings, SettingsError, TokenRequest,
};
use broker_oauth2::{ClientAuth, TokenEndpoint};
use chrono::TimeDelta;
use serde::Deserialize;

/// If an answer does not tell how long its token lives.
const DEFAULT_LIFE: TimeDelta = TimeDelta::seconds(3600);

/// The token URL of the new login (the default since 2025-03-10).
const AUTH_URL: &str = "https://api.earthdaily.com/account_management/v1/authentication/api_tokens/exchange";

/// The client id of the new login, where the API token is the secret.
const CLIENT_ID: &str = "EARTHDAILY_API_TOKEN";

/// `kind = "earthdaily"`.
pub const KIND: Kind = Kind {
    name: "earthdaily",
    about: "EarthDaily: imagery (client credentials)",
    keys: &["auth_url", "client_id", "client_secret", "auth_style", "api_url"],
    secrets: &["client_secret"],
    token_variable: "EDS_TOKEN",
    build,
};

/// A provider of the kind; see `providers.toml` for what each key is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    auth_url: Option<ServiceUrl>,
    client_id: Option<String>,
    client_secret: Option<SecretSource>,
    #[serde(default)]
    auth_style: AuthStyle,
    api_url: Option<ServiceUrl>,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum AuthStyle {
    #[default]
    Basic,
    Body,
}

struct EarthDaily {
    auth_url: ServiceUrl,
    client_id: String,
    secret: SecretSource,
    style: AuthStyle,
    issuer: Issuer,
}

fn build(settings: &Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError> {
    let config: Config = settings.parse()?;
    let mut variables = Variables { env: settings.env(), used: true };
    let secret = match config.client_secret {
        Some(SecretSource::Env(name)) if name == "EDS_SECRET" => SecretSource::Env(name),
        Some(own) => {
            variables.used = false;
            own
        }
        None => SecretSource::Env("EDS_SECRET".to_owned()),
    };
    let configured = match config.auth_url {
        Some(url) => Some(url),
        None => variables.url("EDS_AUTH_URL", "auth_url")?,
    };
    let auth_url = Settings::url_or(configured, "auth_url", AUTH_URL)?;
    let client_id =
        config.client_id.or_else(|| variables.get("EDS_CLIENT_ID")).unwrap_or_else(|| CLIENT_ID.to_owned());
    if config.api_url.is_none() {
        variables.url("EDS_API_URL", "api_url")?;
    }
    let issuer = Issuer {
        kind: KIND.name.to_owned(),
        flow: "client_credentials".to_owned(),
        endpoint: auth_url.as_str().to_owned(),
        client_id: Some(client_id.clone()),
        audience: None,
        secret_mark: secret.mark(auth_url.as_str(), settings.env()),
    };
    Ok(Arc::new(EarthDaily { auth_url, client_id, secret, style: config.auth_style, issuer }))
}

/// The variables of EarthDaily's own client. They are one set: where the configuration brings a secret of its
/// own, they are not used, so that a URL from one place never gets the secret from another.
struct Variables<'a> {
    env: &'a dyn Env,
    used: bool,
}

impl Variables<'_> {
    fn get(&self, name: &str) -> Option<String> {
        self.env.var(name).filter(|_| self.used)
    }

    fn url(&self, name: &str, key: &str) -> Result<Option<ServiceUrl>, SettingsError> {
        let wrong = |why| SettingsError {
            key: key.to_owned(),
            message: format!("the environment variable {name}: {why}"),
        };
        self.get(name).map(|text| ServiceUrl::parse(&text).map_err(wrong)).transpose()
    }
}

#[async_trait]
impl Provider for EarthDaily {
    fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    fn hosts(&self) -> Vec<String> {
        vec!["api.earthdaily.com".to_owned()]
    }

    fn can_renew(&self, _record: &Record) -> bool {
        true
    }

    async fn exchange(&self, context: &Context, _record: &Record, request: &TokenRequest) -> Result<Change> {
        self.ask(context, request.scopes()).await
    }

    async fn login(&self, context: &Context, login: &Login) -> Result<Change> {
        match login {
            // There is no login; this shows that the secret works.
            Login::Usual => self.ask(context, &ScopeKey::default()).await,
            _ => Err(Error::usage(
                "EarthDaily has no login: its secret is `client_secret` of the configuration, or EDS_SECRET",
            )),
        }
    }

    async fn revoke(&self, _context: &Context, _record: &Record) -> Result<Revoked> {
        let note =
            "EarthDaily has nothing to revoke: the API token is managed at console.earthdaily.com/account";
        Ok(Revoked { revoked: false, note: Some(note.to_owned()) })
    }
}

impl EarthDaily {
    /// No scope, no audience; Basic unless the configuration says otherwise.
    async fn ask(&self, context: &Context, scopes: &ScopeKey) -> Result<Change> {
        let secret = self.secret.resolve(context, "client_secret").await.map_err(|error| match &self.secret {
            SecretSource::Env(name) if name == "EDS_SECRET" => error.with_hint(
                "put the API token of console.earthdaily.com/account into EDS_SECRET, or into `client_secret` of the configuration",
            ),
            _ => error,
        })?;
        let client = match self.style {
            AuthStyle::Basic => ClientAuth::Basic(&self.client_id, &secret),
            AuthStyle::Body => ClientAuth::Body(&self.client_id, &secret),
        };
        let endpoint = TokenEndpoint { url: &self.auth_url, client, default_life: DEFAULT_LIFE };
        let answer = endpoint.client_credentials(context, &[]).await.map_err(|error| match error.kind() {
            ErrorKind::Refused => error.with_hint(
                "HTTP 401: the secret is wrong or revoked; 403: it belongs to another environment than `auth_url`. \
                 New ones are made at console.earthdaily.com/account",
            ),
            _ => error,
        })?;
        Ok(answer.change(scopes))
    }
}
