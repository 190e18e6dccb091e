//! Carbon Mapper: methane plumes. A password login gives an access token and a refresh token; scoped tokens for
//! STAC are minted with the access token, and shown once.

mod api;
mod config;
mod env_token;
mod mint;

use std::sync::Arc;

use async_trait::async_trait;
use broker_core::{
    Context, Error, Grant, Issuer, Kind, Login, Provider, Record, RecordUpdate, Result, Revoked, ScopeKey,
    Secret, SecretSource, Settings, SettingsError, Token, TokenRequest, fingerprint, refuse_derived,
    refuse_life,
};
use chrono::{DateTime, Utc};

use api::{Api, Paired};
use config::{Account, Config, Routes};

/// `kind = "carbonmapper"`.
pub const KIND: Kind = Kind {
    name: "carbonmapper",
    about: "Carbon Mapper: methane plumes (password, then scoped tokens)",
    keys: &["base_url", "email", "password", "token_list_path", "token_delete_path"],
    secrets: &["password"],
    renamed: &[],
    token_variable: "CARBONMAPPER_TOKEN",
    build,
};

/// Where people see and delete their scoped tokens.
const TOKEN_PAGE: &str = "https://platform.carbonmapper.org/account/tokens";

fn build(settings: &Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError> {
    let config: Config = settings.parse()?;
    let base_url = Settings::url_or(config.base_url, "base_url", config::BASE_URL)?;
    let issuer = Issuer {
        kind: KIND.name.to_owned(),
        flow: "password".to_owned(),
        endpoint: base_url.as_str().to_owned(),
        client_id: None,
        audience: None,
        secret_fingerprint: None,
    };
    let Account { email, password, password_from } =
        Account::new(config.email, config.password, settings.env());
    // It is one person's token: of several entries only the one named as the kind uses it.
    let given = env_token::token(settings.env()).filter(|_| settings.name() == KIND.name);
    config::check_path("token_list_path", config.token_list_path.as_deref(), false)?;
    config::check_path("token_delete_path", config.token_delete_path.as_deref(), true)?;
    let routes = Routes { list: config.token_list_path, delete: config.token_delete_path };
    Ok(Arc::new(CarbonMapper {
        api: Api { base_url },
        email,
        password,
        password_from,
        given,
        routes,
        issuer,
        name: settings.name().to_owned(),
    }))
}

struct CarbonMapper {
    api: Api,
    email: Option<String>,
    password: Option<SecretSource>,
    password_from: Option<String>,
    /// The token in [`env_token::VARIABLE`].
    given: Option<Secret>,
    routes: Routes,
    issuer: Issuer,
    name: String,
}

#[async_trait]
impl Provider for CarbonMapper {
    fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    fn account(&self) -> Option<&str> {
        self.email.as_deref()
    }

    fn check(&self, request: &TokenRequest, now: DateTime<Utc>) -> Result<()> {
        refuse_derived(request)?;
        if request.scopes().is_empty() {
            return refuse_life(request)
                .map_err(|_| Error::usage("the life and the name of a token can be chosen for scoped tokens only: add `--scope stac`"));
        }
        match request.scopes().iter().find(|scope| !mint::SCOPES.contains(scope)) {
            None => mint::check(request, now),
            Some(other) => {
                let known = mint::SCOPES.join("`, `");
                Err(Error::usage(format!("Carbon Mapper has no scope `{other}`: it has `{known}`")))
            }
        }
    }

    fn hosts(&self) -> Vec<String> {
        vec![self.api.base_url.host()]
    }

    fn sources(&self) -> Vec<String> {
        let login = match (&self.email, &self.password_from) {
            (Some(_), Some(from)) => from.clone(),
            (None, Some(from)) => format!("a login (broker login {}), with {from}", self.name),
            (_, None) => format!("a login (broker login {})", self.name),
        };
        let given =
            self.given_without(None).map(|_| format!("{} (only without a login)", env_token::VARIABLE));
        [login].into_iter().chain(given).collect()
    }

    fn accepts(&self, token: &Token) -> bool {
        let same = |given: &Secret| given.same_as(token.secret());
        !env_token::is_given(token) || self.given.as_ref().is_some_and(same)
    }

    fn can_renew(&self, record: &Record) -> bool {
        record.usable_grant().is_some() || self.has_password() || self.given_without(record.grant()).is_some()
    }

    fn spends_grant(&self, record: &Record, request: &TokenRequest, now: DateTime<Utc>) -> bool {
        self.mints_with(record, request, now).is_none() && record.usable_grant().is_some()
    }

    /// A live access token mints; else a refresh token refreshes; else a password at hand logs in; else a token at hand
    /// serves as it is; else a person.
    async fn exchange(
        &self,
        context: &Context,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        if let Some(access) = self.mints_with(record, request, context.now()) {
            return self.api.mint(context, access, request).await;
        }
        if let Some(grant) = record.usable_grant() {
            let refreshed = self.api.refresh(context, grant.secret()).await?;
            return Ok(refreshed.map_or_else(RecordUpdate::grant_refused, Paired::change));
        }
        if let (Some(email), Some(source)) = (&self.email, &self.password) {
            let password = source.resolve(context, "password").await?;
            return self.pair_unasked(context, record, request, email, &password).await;
        }
        if let Some(given) = self.given_without(record.grant()) {
            return env_token::hand_out(context, given.clone(), request);
        }
        Err(record.login_missing())
    }

    async fn login(&self, context: &Context, login: &Login) -> Result<RecordUpdate> {
        if let Login::RefreshToken(_) = login {
            return Err(Error::usage(
                "Carbon Mapper logs in with a password: leave out `--refresh-token-stdin`",
            ));
        }
        let email = match &self.email {
            Some(email) => email.clone(),
            None => context.person().ask("Carbon Mapper email").await.map_err(|error| {
                error.with_hint("set `email` of this provider in the configuration, or CARBONMAPPER_EMAIL")
            })?,
        };
        let password = match (login, &self.password) {
            (Login::Password(password), _) => password.clone(),
            (_, Some(source)) => source.resolve(context, "password").await?,
            (_, None) => {
                let asked = context.person().ask_hidden(&format!("Carbon Mapper password of {email}")).await;
                asked.map_err(|error| {
                    error.with_hint("give it with --password-stdin, or set CARBONMAPPER_PASSWORD")
                })?
            }
        };
        self.pair(context, &email, &password).await
    }

    /// With a route to delete tokens by, an access token is needed.
    fn needed_to_revoke(&self, record: &Record) -> Option<TokenRequest> {
        (self.routes.delete.is_some() && record.details().next().is_some()).then(TokenRequest::new)
    }

    async fn revoke(&self, context: &Context, record: &Record) -> Result<Revoked> {
        let access = record.usable_token(&ScopeKey::default(), context.now());
        let deleted = match (&self.routes.delete, access) {
            (Some(delete), Some(access)) => {
                self.api.delete_minted(context, record, access, self.routes.list.as_deref(), delete).await?
            }
            _ => Vec::new(),
        };
        let left: Vec<_> = mint::names(record).filter(|name| !deleted.contains(name)).collect();
        let note = match left.as_slice() {
            [] => format!(
                "logins end by themselves at Carbon Mapper; scoped tokens are managed at {TOKEN_PAGE}"
            ),
            names => {
                format!("still valid at Carbon Mapper until deleted at {TOKEN_PAGE}: {}", names.join(", "))
            }
        };
        Ok(Revoked { revoked: !deleted.is_empty(), note: Some(note) })
    }
}

impl CarbonMapper {
    /// The access token that mints the scoped token asked for, if one is asked for and an access token is at hand. Only
    /// a login's can: the one that a person gave may be a scoped token itself.
    fn mints_with<'a>(
        &self,
        record: &'a Record,
        request: &TokenRequest,
        now: DateTime<Utc>,
    ) -> Option<&'a Token> {
        let access =
            record.usable_token(&ScopeKey::default(), now).filter(|_| !request.scopes().is_empty())?;
        let given = self.given.as_ref().is_some_and(|given| given.same_as(access.secret()));
        (!given).then_some(access)
    }

    fn has_password(&self) -> bool {
        self.email.is_some() && self.password.is_some()
    }

    /// The token that a person gave, where there is no login.
    fn given_without(&self, login: Option<&Grant>) -> Option<&Secret> {
        self.given.as_ref().filter(|_| login.is_none() && !self.has_password())
    }

    async fn pair(&self, context: &Context, email: &str, password: &Secret) -> Result<RecordUpdate> {
        let paired = self.api.pair(context, email, password).await.map_err(|error| {
            // Wrong passwords lock accounts: this one is not tried again by itself.
            let refused = error.kind() == broker_core::ErrorKind::Refused;
            if refused { error.with_secret_fingerprint(self.fingerprint(email, password)) } else { error }
        })?;
        Ok(paired.change())
    }

    /// Logs in with the configured password, unless it is known to be wrong.
    async fn pair_unasked(
        &self,
        context: &Context,
        record: &Record,
        request: &TokenRequest,
        email: &str,
        password: &Secret,
    ) -> Result<RecordUpdate> {
        record.check_password(&self.fingerprint(email, password), request)?;
        self.pair(context, email, password).await
    }

    /// Two bytes: people's passwords can be guessed, and this must confirm no guess.
    fn fingerprint(&self, email: &str, password: &Secret) -> String {
        fingerprint(&format!("{} {email}", self.api.base_url), password, 16)
    }
}
