//! The provider type `kind = "login"`: the configuration describes the requests and responses of a login.

mod config;
mod exchanges;
mod fingerprints;
mod mint;
mod request;
mod response;
mod template;

use std::sync::Arc;

use async_trait::async_trait;
use broker_core::{
    Error, Hint, Issuer, Kind, Login, LoginMethod, NextExchange, Operation, Provider, ProviderInfo, Record,
    RecordUpdate, Result, Revoked, ScopeKey, Secret, SecretSource, Settings, SettingsError, Token,
    TokenRequest,
};
use chrono::{DateTime, TimeDelta, Utc};

use config::{Config, Requests};
use fingerprints::TableFingerprints;
use mint::Mint;
use request::Request;

/// The provider type `kind = "login"`.
pub const KIND: Kind = Kind::new::<Config>("login", build).secrets(&["password", "secrets"]);

/// The reserved scope of a login's token that only mints other tokens. No caller can request this scope.
const LOGIN_ONLY: &str = "(login)";

/// The longest expected time between the decision to use the refresh token and the token request.
const EXCHANGE_DELAY: TimeDelta = TimeDelta::minutes(1);

fn build(settings: &Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError> {
    let (config, requests) = Config::read(settings)?;
    let mint = requests.mint.as_ref().map(|mint| &mint.request);
    let others = [requests.refresh.as_ref(), mint, requests.revoke.as_ref()].into_iter().flatten();
    let others: Vec<_> = others.map(Request::path).collect();
    let issuer = Issuer {
        // If the URL of a refresh, mint or revoke request changes, stored tokens must not be sent to the new URL.
        audience: Some(others.join(" ")).filter(|others| !others.is_empty()),
        environment: settings.bound(),
        secret_fingerprint: secret_fingerprint(&config, &requests, settings),
        ..Issuer::new(KIND.name, "login", &requests.login.endpoint())
    };
    let login_key = match mint {
        Some(mint) if mint.scopes.is_empty() => ScopeKey::new([LOGIN_ONLY]),
        _ => ScopeKey::default(),
    };
    let fingerprints = TableFingerprints::of(settings, login_key != ScopeKey::default())?;
    let mut provider = LoginProvider {
        name: settings.name().to_owned(),
        config,
        requests,
        login_key,
        fingerprints,
        info: ProviderInfo::new(issuer),
    };
    provider.describe();
    Ok(Arc::new(provider))
}

/// Fingerprints the secrets that identify the account. Without a username, the password identifies the account.
fn secret_fingerprint(config: &Config, requests: &Requests, settings: &Settings<'_>) -> Option<String> {
    let (login, env) = (&requests.login, settings.env());
    let salt = login.endpoint();
    let mut fingerprints = Vec::new();
    for name in login.secrets() {
        fingerprints.push(config.secrets.get(&name)?.fingerprint(&salt, env)?);
    }
    if !login.needs_username()
        && login.needs_password()
        && let Some(password) = &config.password
    {
        // Only 16 bits of the password's fingerprint are stored, so that they cannot confirm a guessed password.
        fingerprints.push(password.fingerprint(&salt, env)?.chars().take(4).collect());
    }
    Some(fingerprints.concat()).filter(|all| !all.is_empty())
}

struct LoginProvider {
    name: String,
    /// The settings; the tables of the requests are in `requests`.
    config: Config,
    requests: Requests,
    /// The key under which the record stores the login's token.
    login_key: ScopeKey,
    fingerprints: TableFingerprints,
    info: ProviderInfo,
}

#[async_trait]
impl Provider for LoginProvider {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    fn check(&self, request: &TokenRequest, now: DateTime<Utc>) -> Result<()> {
        self.info.requests.check(request)?;
        self.requests.mint.as_ref().map_or(Ok(()), |mint| mint.expiry(request, now).map(drop))
    }

    fn accepts(&self, token: &Token) -> bool {
        self.fingerprints.accept(token)
    }

    fn next_exchange(&self, record: &Record, request: &TokenRequest, now: DateTime<Utc>) -> NextExchange {
        // If the login's token expires before the mint request starts, the broker must refresh the login's token first.
        let mints = self.mint_inputs(record, request, broker_core::later(now, EXCHANGE_DELAY)).is_some();
        if !mints && self.requests.refresh.is_some() && record.usable_grant().is_some() {
            NextExchange::SendsGrant
        } else if mints || self.logs_in_automatically() {
            NextExchange::KeepsGrant
        } else {
            NextExchange::NeedsLogin
        }
    }

    async fn exchange(
        &self,
        operation: &Operation,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        if let Some((mint, login_token)) = self.mint_inputs(record, request, operation.now()) {
            return self.mint(operation, mint, record, login_token, request).await;
        }
        if let (Some(refresh), Some(grant)) = (&self.requests.refresh, record.usable_grant()) {
            return self.refresh(operation, refresh, record, grant).await;
        }
        if self.logs_in_automatically() {
            let password = match &self.config.password {
                Some(source) if self.requests.login.needs_password() => {
                    Some(source.resolve(operation.context(), "password").await?)
                }
                _ => None,
            };
            let (username, automatic) = (self.config.username.as_deref(), Some((record, request)));
            return self.log_in(operation, username, password.as_ref(), automatic).await;
        }
        Err(match (record.grant(), record.token(&self.login_key)) {
            (None, Some(_)) => Error::login_required("the login has expired and has no refresh token"),
            _ => record.login_missing(),
        })
    }

    async fn login(&self, operation: &Operation, login: &Login) -> Result<RecordUpdate> {
        let request = &self.requests.login;
        // Reads the secrets before the prompts, so that a missing secret fails before the user types.
        let password = match (login, &self.config.password) {
            (Login::Password(password), _) => Some(password.clone()),
            (_, Some(SecretSource::Env(name))) if operation.env().var(name).is_none() => None,
            (_, Some(source)) if request.needs_password() => {
                Some(source.resolve(operation.context(), "password").await?)
            }
            _ => None,
        };
        let asks_password = request.needs_password() && password.is_none();
        let username = match &self.config.username {
            Some(username) => Some(username.clone()),
            None if request.needs_username() => Some(self.ask_username(operation, asks_password).await?),
            None => None,
        };
        let password = match password {
            None if asks_password => Some(self.ask_password(operation, username.as_deref()).await?),
            password => password,
        };
        self.log_in(operation, username.as_deref(), password.as_ref(), None).await
    }

    async fn revoke(&self, operation: &Operation, record: &Record) -> Result<Revoked> {
        self.revoke_login(operation, record).await
    }
}

impl LoginProvider {
    fn describe(&mut self) {
        let login = &self.requests.login;
        let prompts = (!self.logs_in_automatically()).then(|| "a login".to_owned());
        let password = self.config.password.as_ref().filter(|_| login.needs_password());
        let password = password.map(|source| source.describe("password"));
        let secret =
            |name: String| Some(self.config.secrets.get(&name)?.describe(&format!("secrets.{name}")));
        let secrets = login.secrets().into_iter().filter_map(secret);
        let info = &mut self.info;
        info.sources = prompts.into_iter().chain(password).chain(secrets).collect();
        info.account.clone_from(&self.config.username);
        info.hosts = vec![login.sample.host()];
        info.logins = vec![LoginMethod::Interactive];
        if login.needs_password() {
            info.logins.push(LoginMethod::Password);
        }
        info.requests = self.requests.mint.as_ref().map(Mint::requests).unwrap_or_default();
    }

    /// Returns the configured `[mint]` request and the login's access token to send in it. Returns `None` if the
    /// requested token needs no `[mint]` request, or if the login's access token has expired.
    fn mint_inputs<'a>(
        &'a self,
        record: &'a Record,
        request: &TokenRequest,
        now: DateTime<Utc>,
    ) -> Option<(&'a Mint, &'a Token)> {
        let mint = self.requests.mint.as_ref()?;
        let is_minted = mint.covers(request) && *request.scopes() != self.login_key;
        Some((mint, record.usable_token(&self.login_key, now).filter(|_| is_minted)?))
    }

    /// Whether the provider can get a login token without asking the user.
    pub(crate) fn can_renew(&self, record: &Record) -> bool {
        self.requests.refresh.is_some() && record.usable_grant().is_some() || self.logs_in_automatically()
    }

    /// Whether the configuration contains all values that a login needs, so that no prompt is needed.
    pub(crate) fn logs_in_automatically(&self) -> bool {
        let login = &self.requests.login;
        (!login.needs_username() || self.config.username.is_some())
            && (!login.needs_password() || self.config.password.is_some())
    }

    async fn ask_username(&self, operation: &Operation, asks_password: bool) -> Result<String> {
        let answer = operation.prompt().ask(&format!("{} username", self.name)).await;
        let name = answer.map_err(|error| {
            let hint = "set `username` of this provider in the configuration";
            if asks_password {
                error.with_hint(Hint::SetPassword(format!("{hint}; {}", self.set_password())))
            } else {
                error.with_hint(hint)
            }
        })?;
        match name.trim() {
            "" => Err(Error::usage("the username is empty")),
            name => Ok(name.to_owned()),
        }
    }

    async fn ask_password(&self, operation: &Operation, username: Option<&str>) -> Result<Secret> {
        let of = username.map(|name| format!(" of {name}")).unwrap_or_default();
        let answer = operation.prompt().ask_hidden(&format!("{} password{of}", self.name)).await;
        answer.map_err(|error| error.with_hint(Hint::SetPassword(self.set_password())))
    }

    /// Returns the hint that says how to configure the password.
    fn set_password(&self) -> String {
        match &self.config.password {
            Some(SecretSource::Env(name)) => format!("set the environment variable {name}"),
            _ => "set `password` of this provider in the configuration".to_owned(),
        }
    }
}
