//! Carbon Mapper: methane plumes. A password login returns an access token and a refresh token. With the access token,
//! the provider creates ("mints") scoped tokens for STAC. The service returns each scoped token only once.

mod api;
mod config;
mod env_token;
mod mint;
mod tools;

use std::sync::Arc;

use async_trait::async_trait;
use broker_core::{
    Choice, Env, Grant, Issuer, Kind, Login, LoginMethod, NextExchange, Operation, Provider, ProviderInfo,
    Record, RecordUpdate, Result, Revoked, ScopeKey, Scopes, Secret, SecretSource, ServiceUrl, Settings,
    SettingsError, Token, TokenRequest, fingerprint,
};
use chrono::{DateTime, Utc};

use config::Config;

/// The provider type `kind = "carbonmapper"`.
pub const KIND: Kind = Kind::new::<Config>("carbonmapper", build).secrets(&["password"]).tools(&tools::Tools);

/// The web page where users list and delete their scoped tokens.
const TOKEN_PAGE: &str = "https://platform.carbonmapper.org/account/tokens";

fn build(settings: &Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError> {
    let mut config: Config = settings.parse()?;
    let base_url = Settings::url_or(config.base_url.take(), "base_url", config::BASE_URL)?;
    config.add_environment(settings.env());
    // The environment contains the token of one account, so only the provider named `carbonmapper` uses it.
    let env_token = env_token::token(settings.env()).filter(|_| settings.name() == KIND.name);
    let is_read = |name: &str| match name {
        config::PASSWORD_VARIABLE | env_token::VARIABLE => config.password.is_none(),
        config::EMAIL_VARIABLE => config.email.is_none() && config.password.is_some(),
        _ => false,
    };
    let not_text = |why| SettingsError::new("", why);
    settings.env().check_utf8("CARBONMAPPER_", &is_read).map_err(not_text)?;
    // A dotenv file with the password or the token is a source apart from the environment.
    let of_file = config.password.is_some() || env_token.is_some();
    if let Some(file) = settings.env().file_of(env_token::VARIABLE).filter(|_| of_file) {
        settings.check_secret_in(&file.display().to_string())?;
    }
    config::check_path("token_list_path", config.token_list_path.as_deref(), false)?;
    config::check_path("token_delete_path", config.token_delete_path.as_deref(), true)?;
    let issuer =
        Issuer { environment: settings.bound(), ..Issuer::new(KIND.name, "password", base_url.as_str()) };
    let mut provider = CarbonMapper { info: ProviderInfo::new(issuer), base_url, config, env_token };
    provider.describe(settings.env());
    Ok(Arc::new(provider))
}

struct CarbonMapper {
    info: ProviderInfo,
    base_url: ServiceUrl,
    config: Config,
    env_token: Option<Secret>,
}

#[async_trait]
impl Provider for CarbonMapper {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    fn check(&self, request: &TokenRequest, now: DateTime<Utc>) -> Result<()> {
        self.info.requests.check(request)?;
        mint::expiration(request, now).map(drop)
    }

    fn accepts(&self, token: &Token) -> bool {
        let same = |env_token: &Secret| env_token.same_as(token.secret());
        !env_token::is_from_env(token) || self.env_token.as_ref().is_some_and(same)
    }

    fn next_exchange(&self, record: &Record, request: &TokenRequest, now: DateTime<Utc>) -> NextExchange {
        if self.mints_with(record, request, now).is_some() {
            NextExchange::KeepsGrant
        } else if record.usable_grant().is_some() {
            NextExchange::SendsGrant
        } else if self.has_password() || self.env_token_without(record.grant()).is_some() {
            NextExchange::KeepsGrant
        } else {
            NextExchange::NeedsLogin
        }
    }

    /// Tries in this order: mint with the access token, refresh, log in with the configured password, return the
    /// token from the environment.
    async fn exchange(
        &self,
        operation: &Operation,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        if let Some(access) = self.mints_with(record, request, operation.now()) {
            return self.mint(operation, access, request).await;
        }
        if let Some(grant) = record.usable_grant() {
            return self.refresh(operation, grant.secret()).await;
        }
        if let (Some(email), Some(source)) = (&self.config.email, &self.config.password) {
            let password = source.resolve(operation.context(), "password").await?;
            record.check_password(&self.fingerprint(email, &password), request)?;
            return self.pair(operation, email, &password).await;
        }
        if let Some(token) = self.env_token_without(record.grant()) {
            return env_token::update(operation, token.clone(), request);
        }
        Err(record.login_missing())
    }

    async fn login(&self, operation: &Operation, login: &Login) -> Result<RecordUpdate> {
        let hint = |key: &str, variable: &str| {
            format!("set `{key}` of this provider in the configuration, or the variable {variable}")
        };
        let email = match &self.config.email {
            Some(email) => email.clone(),
            None => operation
                .prompt()
                .ask("Carbon Mapper email")
                .await
                .map_err(|error| error.with_hint(hint("email", config::EMAIL_VARIABLE)))?,
        };
        let password = match (login, &self.config.password) {
            (Login::Password(password), _) => password.clone(),
            (_, Some(source)) => source.resolve(operation.context(), "password").await?,
            (_, None) => {
                let question = format!("Carbon Mapper password of {email}");
                let asked = operation.prompt().ask_hidden(&question).await;
                asked.map_err(|error| error.with_hint(hint("password", config::PASSWORD_VARIABLE)))?
            }
        };
        self.pair(operation, &email, &password).await
    }

    async fn revoke(&self, operation: &Operation, record: &Record) -> Result<Revoked> {
        let access = record.usable_token(&ScopeKey::default(), operation.now());
        let deleted = match (&self.config.token_delete_path, access) {
            (Some(delete), Some(access)) => self.delete_minted(operation, record, access, delete).await?,
            _ => Vec::new(),
        };
        let left: Vec<_> = mint::names(record).filter(|name| !deleted.contains(name)).collect();
        let note = match left.as_slice() {
            [] => format!(
                "Carbon Mapper cannot revoke logins; they expire automatically. Delete scoped tokens at {TOKEN_PAGE}"
            ),
            names => {
                format!("these tokens stay valid until you delete them at {TOKEN_PAGE}: {}", names.join(", "))
            }
        };
        let revoked = Revoked::new(!deleted.is_empty(), Some(note));
        // The access token deletes minted tokens.
        let needs_access =
            access.is_none() && self.config.token_delete_path.is_some() && record.details().next().is_some();
        Ok(if needs_access { revoked.needing(TokenRequest::new()) } else { revoked })
    }
}

impl CarbonMapper {
    fn describe(&mut self, env: &dyn Env) {
        let origin = self.config.password.as_ref().map(|source| match source {
            SecretSource::Env(name) => env.describe(name),
            source => source.describe("password"),
        });
        let login = match (&self.config.email, origin) {
            (Some(_), Some(origin)) => origin,
            (None, Some(origin)) => format!("a login, with {origin}"),
            (_, None) => "a login".to_owned(),
        };
        let env_token = self
            .env_token_without(None)
            .map(|_| format!("environment variable {} (used if you are not logged in)", env_token::VARIABLE));
        let info = &mut self.info;
        info.sources = [login].into_iter().chain(env_token).collect();
        info.account.clone_from(&self.config.email);
        info.hosts = vec![self.base_url.host()];
        info.variable = env_token::VARIABLE.into();
        info.requests.scopes = Scopes::Of(mint::SCOPES.map(str::to_owned).to_vec());
        (info.requests.lifetime, info.requests.name) = (Choice::WithScopes, Choice::WithScopes);
        info.logins = vec![LoginMethod::Interactive, LoginMethod::Password];
    }

    /// Returns the access token that can mint the requested scoped token. A token from the environment variable is
    /// never used to mint, because that token may be a scoped token.
    fn mints_with<'a>(
        &self,
        record: &'a Record,
        request: &TokenRequest,
        now: DateTime<Utc>,
    ) -> Option<&'a Token> {
        let access =
            record.usable_token(&ScopeKey::default(), now).filter(|_| !request.scopes().is_empty())?;
        let from_env = self.env_token.as_ref().is_some_and(|token| token.same_as(access.secret()));
        (!from_env).then_some(access)
    }

    fn has_password(&self) -> bool {
        self.config.email.is_some() && self.config.password.is_some()
    }

    /// Returns the token from `CARBONMAPPER_TOKEN`, unless a login or a configured password exists.
    fn env_token_without(&self, login: Option<&Grant>) -> Option<&Secret> {
        self.env_token.as_ref().filter(|_| login.is_none() && !self.has_password())
    }

    /// Returns the password's fingerprint. Its 16 bits are too few to confirm a guessed password.
    fn fingerprint(&self, email: &str, password: &Secret) -> String {
        fingerprint(&format!("{} {email}", self.base_url), password, 16)
    }
}
