//! EarthScope: seismic and GNSS data. Users log in by device code; programs with a client secret use client
//! credentials.

mod aws;
#[cfg(test)]
mod differential;
mod resolved;
mod sources;
mod tokens_file;
mod tools;

use std::sync::Arc;

use async_trait::async_trait;
use broker_core::{
    Error, ErrorCode, HttpRequest, Kind, Login, NextExchange, Operation, Provider, ProviderInfo, Record,
    RecordUpdate, Repeat, Result, Revoked, ScopeKey, Secret, SecretSource, ServiceUrl, Settings,
    SettingsError, TokenRequest,
};
use broker_oauth2::{ClientAuth, DeviceFlow, TokenAnswer, TokenEndpoint, revoked};
use chrono::{DateTime, TimeDelta, Utc};

use resolved::{Config, ResolvedSettings};
use sources::Layer;
use tokens_file::TOOLS_RENEW_AT;

/// The URL of EarthScope's login server.
const DOMAIN: &str = "https://login.earthscope.org";

/// The URL of EarthScope's API.
const API_URL: &str = "https://api.earthscope.org";

/// The assumed lifetime of an access token if the response has no `expires_in`.
const DEFAULT_LIFETIME: TimeDelta = TimeDelta::hours(24);

/// The provider type `kind = "earthscope"`.
pub const KIND: Kind =
    Kind::new::<Config>("earthscope", build).secrets(&["client_secret"]).tools(&tools::Tools);

fn build(settings: &Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError> {
    let config: Config = settings.parse()?;
    Ok(Arc::new(ResolvedSettings::from(config, settings)?.into_provider(settings)?))
}

struct EarthScope {
    domain: ServiceUrl,
    /// Whether the domain is the default, or is set in the configuration or in `~/.earthscope/config.toml`. Imported
    /// refresh tokens are sent only to such a domain.
    domain_is_own: bool,
    token_url: ServiceUrl,
    api_url: ServiceUrl,
    client_id: String,
    client_secret: Option<SecretSource>,
    audience: String,
    scope: String,
    info: ProviderInfo,
    /// The settings of EarthScope's own tools that contain a login, in order of precedence.
    settings_logins: Vec<Layer>,
}

#[async_trait]
impl Provider for EarthScope {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    fn check(&self, request: &TokenRequest, _now: DateTime<Utc>) -> Result<()> {
        self.info.requests.check(request)?;
        aws::check(request)
    }

    fn next_exchange(&self, record: &Record, request: &TokenRequest, now: DateTime<Utc>) -> NextExchange {
        let keeps = self.client_secret.is_some() || aws::derives_with(record, request, now).is_some();
        match record.usable_grant() {
            Some(_) if !keeps => NextExchange::SendsGrant,
            None if !keeps && self.next_settings_login(record).is_none() => NextExchange::NeedsLogin,
            _ => NextExchange::KeepsGrant,
        }
    }

    async fn exchange(
        &self,
        operation: &Operation,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        if let Some((derived, token)) = aws::derives_with(record, request, operation.now()) {
            return self.derive(operation, derived, token, request.scopes()).await;
        }
        // A request for AWS keys needs the default access token, so the broker gets that access token first.
        let usual = ScopeKey::default();
        let scopes = if request.asked_derived().is_some() { &usual } else { request.scopes() };
        if let Some(secret) = &self.client_secret {
            return self.client_credentials(operation, secret, scopes).await;
        }
        if let Some(grant) = record.usable_grant() {
            return self.refresh(operation, record, grant.secret(), scopes).await;
        }
        let login = self.next_settings_login(record).ok_or_else(|| record.login_missing())?;
        login.begin(operation, scopes)
    }

    async fn login(&self, operation: &Operation, login: &Login) -> Result<RecordUpdate> {
        match (login, &self.client_secret) {
            // A new token proves that the client secret is valid.
            (_, Some(secret)) => self.client_credentials(operation, secret, &ScopeKey::default()).await,
            (Login::RefreshToken(token), None) => self.begin_with(operation, token).await,
            _ => self.log_in(operation).await,
        }
    }

    async fn revoke(&self, operation: &Operation, record: &Record) -> Result<Revoked> {
        let Some(grant) = record.usable_grant() else { return Ok(Revoked::default()) };
        let url = self.domain.join("oauth/revoke");
        let fields = [("client_id", self.client_id.as_str()), ("token", grant.secret().expose())];
        // Revocation is idempotent, so the request can be repeated.
        let response = operation.send(&HttpRequest::post_json(url.clone(), &fields, Repeat::Safe)).await?;
        revoked(&response, &url, grant.secret())
            .map_err(|problem| problem.error("the service refused to revoke the token"))?;
        let login = self.settings_logins.iter().find(|login| login.refresh_token().is_some());
        let note = login
            .map(|login| format!("{} contains another login, which the next broker call uses", login.origin));
        Ok(Revoked::new(true, note))
    }
}

impl EarthScope {
    /// Returns the first login in the settings of EarthScope's tools that EarthScope has not refused.
    fn next_settings_login(&self, record: &Record) -> Option<&Layer> {
        let Some(refused) = record.grant().map(broker_core::Grant::secret) else {
            return self.settings_logins.first();
        };
        let differs = |login: &&Layer| login.refresh_token().is_some_and(|token| !token.same_as(refused));
        self.settings_logins.iter().find(differs)
    }

    fn public_client<'a>(&self, operation: &'a Operation) -> TokenEndpoint<'a> {
        let client = ClientAuth::Public(self.client_id.clone());
        TokenEndpoint::new(operation, &self.token_url, client, DEFAULT_LIFETIME)
    }

    /// Requests a token by client credentials. The request contains `audience`, but no `scope`.
    async fn client_credentials(
        &self,
        operation: &Operation,
        secret: &SecretSource,
        scopes: &ScopeKey,
    ) -> Result<RecordUpdate> {
        let secret = secret.resolve(operation.context(), "client_secret").await?;
        let client = ClientAuth::Body(self.client_id.clone(), secret);
        let endpoint = TokenEndpoint::new(operation, &self.token_url, client, DEFAULT_LIFETIME);
        let response = endpoint.client_credentials(&[("audience", &self.audience)]).await?;
        Ok(response.into_update(scopes))
    }

    /// Makes the broker refresh a token without scopes earlier than EarthScope's tools do.
    fn ahead_of_tools(&self, answer: TokenAnswer) -> TokenAnswer {
        let is_shared = self.info.login_file.is_some();
        answer.map_token(|token| if is_shared { token.ahead_of(TOOLS_RENEW_AT) } else { token })
    }

    async fn refresh(
        &self,
        operation: &Operation,
        record: &Record,
        refresh_token: &Secret,
        scopes: &ScopeKey,
    ) -> Result<RecordUpdate> {
        // EarthScope's SDK also sends the login's scope as `scopes`. The field `scope` contains the caller's scopes.
        let mut fields = vec![("scopes", self.scope.as_str())];
        if !scopes.is_empty() {
            fields.push(("scope", scopes.as_str()));
        }
        let Some(answer) = self.public_client(operation).refresh(refresh_token, &fields).await? else {
            return Ok(RecordUpdate::grant_refused());
        };
        let answer = if scopes.is_empty() { self.ahead_of_tools(answer) } else { answer };
        Ok(answer.into_renewal(record, scopes))
    }

    async fn log_in(&self, operation: &Operation) -> Result<RecordUpdate> {
        let fields = [("scope", self.scope.as_str()), ("audience", &self.audience)];
        let (url, token) = (self.domain.join("oauth/device/code"), &self.public_client(operation));
        // Like EarthScope's SDK, the login uses no PKCE.
        let flow = DeviceFlow { url: &url, token, fields: &fields, token_fields: &[], verifier: None };
        Ok(self.ahead_of_tools(flow.run().await?).into_login(operation))
    }

    async fn begin_with(&self, operation: &Operation, refresh_token: &Secret) -> Result<RecordUpdate> {
        if !self.domain_is_own {
            let domain = self.domain.as_str();
            return Err(Error::new(
                ErrorCode::HostNotAllowed,
                format!("the broker does not send the refresh token to {domain}, because only the environment names this domain"),
            )
            .with_hint("set `domain` of this provider in the configuration"));
        }
        let fields = [("scopes", self.scope.as_str())];
        let answer = self.public_client(operation).begin_with(refresh_token, &fields).await?;
        Ok(self.ahead_of_tools(answer).into_update(&ScopeKey::default()))
    }
}
