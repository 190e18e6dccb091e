//! EarthScope: seismic and GNSS data. A person logs in by device code; a client with a secret asks for itself.

mod aws;
mod config;
mod resolved;
mod tokens_file;
mod tools;

use std::sync::Arc;

use async_trait::async_trait;
use broker_core::{
    Context, Derived, Error, HttpRequest, Issuer, Kind, Login, LoginFile, Provider, Record, RecordUpdate,
    Repeat, Result, Revoked, ScopeKey, Secret, SecretSource, ServiceUrl, Settings, SettingsError, Token,
    TokenRequest, refuse_life, refuse_scopes,
};
use broker_oauth2::{ClientAuth, DeviceFlow, TokenEndpoint, UserLogin, revoked};
use chrono::{DateTime, TimeDelta, Utc};

use config::Config;
use resolved::ResolvedSettings;
use tokens_file::{RENEWED_BY_TOOLS, TokensFile};
use tools::Given;

/// Where people log in.
const DOMAIN: &str = "https://login.earthscope.org";

/// Access tokens live for a day, should an answer not tell.
const DEFAULT_LIFE: TimeDelta = TimeDelta::hours(24);

/// `kind = "earthscope"`.
pub const KIND: Kind = Kind {
    name: "earthscope",
    about: "EarthScope: seismic and GNSS data (device code, or a client secret)",
    keys: &[
        "domain",
        "audience",
        "client_id",
        "client_secret",
        "scope",
        "api_url",
        "profile",
        "sdk_home",
        "share",
    ],
    secrets: &["client_secret"],
    renamed: &[],
    token_variable: "EARTHSCOPE_TOKEN",
    build,
};

fn build(settings: &Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError> {
    let config: Config = settings.parse()?;
    Ok(Arc::new(ResolvedSettings::from(config, settings)?.into_provider(settings)?))
}

struct EarthScope {
    domain: ServiceUrl,
    /// Whether a secret may be sent there that comes without a domain of its own.
    domain_is_own: bool,
    token_url: ServiceUrl,
    api_url: ServiceUrl,
    client_id: String,
    client_secret: Option<SecretSource>,
    audience: String,
    scope: String,
    issuer: Issuer,
    /// Logins that somebody put into a setting of EarthScope's own tools: one that goes before all others, or those that
    /// are used where no other is.
    given: Vec<Given>,
    file: Option<Arc<TokensFile>>,
    sources: Vec<String>,
    hosts: Vec<String>,
}

#[async_trait]
impl Provider for EarthScope {
    fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    fn check(&self, request: &TokenRequest, _now: DateTime<Utc>) -> Result<()> {
        refuse_life(request)?;
        if request.asked_derived().is_some() {
            return aws::check(request);
        }
        if request.scopes().iter().any(Derived::is_key) {
            return Err(Error::usage("this is no scope: keys for Amazon's services are had with `--role`"));
        }
        if self.client_secret.is_some() { refuse_scopes(request) } else { Ok(()) }
    }

    fn hosts(&self) -> Vec<String> {
        self.hosts.clone()
    }

    fn sources(&self) -> Vec<String> {
        self.sources.clone()
    }

    fn takes_refresh_token(&self) -> bool {
        self.client_secret.is_none()
    }

    fn login_file(&self) -> Option<Arc<dyn LoginFile>> {
        self.file.clone().map(|file| file as Arc<dyn LoginFile>)
    }

    fn can_renew(&self, record: &Record) -> bool {
        self.client_secret.is_some() || record.usable_grant().is_some() || self.next_given(record).is_some()
    }

    fn spends_grant(&self, record: &Record, request: &TokenRequest, now: DateTime<Utc>) -> bool {
        let derives = aws::derives_with(record, request, now).is_some();
        !derives && self.client_secret.is_none() && record.usable_grant().is_some()
    }

    async fn exchange(
        &self,
        context: &Context,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        if let Some((derived, token)) = aws::derives_with(record, request, context.now()) {
            return self.derive(context, derived, token, request.scopes()).await;
        }
        // A derived credential begins with the usual token.
        let usual = ScopeKey::default();
        let scopes = if request.asked_derived().is_some() { &usual } else { request.scopes() };
        if let Some(secret) = &self.client_secret {
            return self.ask_as_machine(context, secret, scopes).await;
        }
        if let Some(grant) = record.usable_grant() {
            return self.refresh(context, record, grant.secret(), scopes).await;
        }
        if let Some(given) = self.next_given(record) {
            return given.begin(context, scopes);
        }
        Err(record.login_missing())
    }

    async fn login(&self, context: &Context, login: &Login) -> Result<RecordUpdate> {
        match (login, &self.client_secret) {
            // A machine has no login; this shows that its secret works.
            (Login::Usual, Some(secret)) => self.ask_as_machine(context, secret, &ScopeKey::default()).await,
            (Login::Usual, None) => self.log_in(context).await,
            (Login::RefreshToken(_), Some(_)) => {
                Err(Error::usage("`client_secret` is set, so this is a machine's entry: a person's refresh token has no place in it")
                    .with_hint("make a second entry with `kind = \"earthscope\"` for the person"))
            }
            (Login::RefreshToken(token), None) => self.begin_with(context, token).await,
            _ => Err(Error::usage("EarthScope logs in in a browser: leave out `--password-stdin`")),
        }
    }

    async fn revoke(&self, context: &Context, record: &Record) -> Result<Revoked> {
        let Some(grant) = record.usable_grant() else { return Ok(Revoked::default()) };
        let url = self.domain.join("oauth/revoke");
        let fields = [("client_id", self.client_id.as_str()), ("token", grant.secret().expose())];
        // Revoking twice is revoking once.
        let response = context.send(&HttpRequest::post_json(url.clone(), &fields, Repeat::Safe)).await?;
        revoked(&response, &url, grant.secret())?;
        let given = self.given.iter().find(|given| given.refresh_token.is_some());
        let note = given.map(|given| format!("{} still has a login: the next call uses it", given.origin));
        Ok(Revoked { revoked: true, note })
    }
}

impl EarthScope {
    /// The login in a setting that is next where the record has none. What was refused is not tried again.
    fn next_given(&self, record: &Record) -> Option<&Given> {
        let refused = record.grant().map(broker_core::Grant::secret);
        let fresh = |given: &&Given| match (&given.refresh_token, refused) {
            (Some(given), Some(refused)) => !given.same_as(refused),
            (None, Some(_)) => false,
            _ => true,
        };
        self.given.iter().find(fresh)
    }

    fn endpoint<'a>(&'a self, client: ClientAuth<'a>) -> TokenEndpoint<'a> {
        TokenEndpoint::new(&self.token_url, client, DEFAULT_LIFE)
    }

    fn as_person(&self) -> TokenEndpoint<'_> {
        self.endpoint(ClientAuth::Public(&self.client_id))
    }

    /// Client credentials with the audience; no scope, no Basic, no refresh token.
    async fn ask_as_machine(
        &self,
        context: &Context,
        secret: &SecretSource,
        scopes: &ScopeKey,
    ) -> Result<RecordUpdate> {
        let secret = secret.resolve(context, "client_secret").await?;
        let endpoint = self.endpoint(ClientAuth::Body(&self.client_id, &secret));
        let answer = endpoint.client_credentials(context, &[("audience", &self.audience)]).await?;
        Ok(answer.into_update(scopes))
    }

    /// The token that is shared is renewed before the official tools would.
    fn finish(&self) -> impl Fn(Token, &ScopeKey) -> Token + Send + Sync + use<> {
        let shared = self.file.is_some();
        move |token, scopes| {
            if shared && scopes.is_empty() { token.ahead_of(RENEWED_BY_TOOLS) } else { token }
        }
    }

    async fn refresh(
        &self,
        context: &Context,
        record: &Record,
        refresh_token: &Secret,
        scopes: &ScopeKey,
    ) -> Result<RecordUpdate> {
        // The SDK spells it `scopes`; the RFC's `scope` is sent when somebody asks for one.
        let mut fields = vec![("scopes", self.scope.as_str())];
        if !scopes.is_empty() {
            fields.push(("scope", scopes.as_str()));
        }
        let login = UserLogin { token: self.as_person(), fields: &fields, finish: &self.finish() };
        login.refresh(context, record, refresh_token, scopes).await
    }

    async fn log_in(&self, context: &Context) -> Result<RecordUpdate> {
        let fields = [("scope", self.scope.as_str()), ("audience", &self.audience)];
        let (url, token) = (self.domain.join("oauth/device/code"), self.as_person());
        let flow = DeviceFlow { url: &url, token, fields: &fields, token_fields: &[] };
        let approved = flow.run(context).await?;
        Ok(UserLogin { token, fields: &[], finish: &self.finish() }.approved(context, approved))
    }

    async fn begin_with(&self, context: &Context, refresh_token: &Secret) -> Result<RecordUpdate> {
        if !self.domain_is_own {
            let domain = self.domain.as_str();
            return Err(Error::configuration(format!(
                "a refresh token is not sent to {domain}, which only the environment names"
            ))
            .with_hint("set `domain` of this provider in the configuration"));
        }
        let fields = [("scopes", self.scope.as_str())];
        let login = UserLogin { token: self.as_person(), fields: &fields, finish: &self.finish() };
        login.begin_with(context, refresh_token).await
    }
}
