//! The provider type `kind = "oauth2"`: any OAuth 2.0 service, described by the configuration.

mod config;
mod endpoints;
mod flows;

use std::sync::Arc;

use async_trait::async_trait;
use broker_core::{
    Grant, Issuer, Kind, Login, LoginMethod, NextExchange, Operation, Provider, ProviderInfo, Record,
    RecordUpdate, Result, Revoked, ScopeKey, Scopes, SecretSource, ServiceUrl, Settings, SettingsError,
    Token, TokenRequest,
};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::BasicSpelling;
use crate::discovery::{Endpoint, Metadata};
use config::{Auth, Config, Flow};
use flows::{DEFAULT_SCOPE, FINGERPRINT, Session};

/// The provider type `kind = "oauth2"`.
pub const KIND: Kind =
    Kind::new::<Config>("oauth2", build).secrets(&["client_secret", "private_key", "password"]);

fn build(settings: &Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError> {
    let config: Config = settings.parse()?;
    let (flow, auth) = config.check()?;
    let info = info(&config, flow, auth, settings);
    let (params, redirect_uri) = (config.params()?, config.redirect_uri()?);
    let (scope, fingerprint) = (config.scope.0.join(" "), config.fingerprint());
    Ok(Arc::new(OAuth2 { config, flow, auth, info, scope, params, fingerprint, redirect_uri }))
}

fn info(config: &Config, flow: Flow, auth: Auth, settings: &Settings<'_>) -> ProviderInfo {
    let mut info = ProviderInfo::new(issuer(config, flow, settings));
    info.account.clone_from(&config.username);
    info.requests.scopes = Scopes::Any;
    info.derives_from.clone_from(&config.from);
    info.logins = match flow {
        Flow::Device | Flow::AuthorizationCode => vec![LoginMethod::Interactive, LoginMethod::RefreshToken],
        Flow::Password => vec![LoginMethod::Interactive, LoginMethod::Password, LoginMethod::RefreshToken],
        Flow::RefreshToken => vec![LoginMethod::RefreshToken],
        Flow::ClientCredentials | Flow::TokenExchange => Vec::new(),
    };
    let described =
        |key: &str, source: &Option<SecretSource>| source.as_ref().map(|source| source.describe(key));
    let login = flow.has_user_login().then(|| "a login".to_owned());
    let from = config.from.as_ref().map(|from| format!("the token of {from}"));
    let client = match auth {
        Auth::None => None,
        Auth::PrivateKeyJwt => described("private_key", &config.private_key),
        Auth::Basic | Auth::Body => described("client_secret", &config.client_secret),
    };
    let own = described("password", &config.password);
    info.sources = [own, login, from, client].into_iter().flatten().collect();
    info
}

/// Identifies the issuer of stored tokens by token endpoint, client and audience.
fn issuer(config: &Config, flow: Flow, settings: &Settings<'_>) -> Issuer {
    let issuer_url = || config.issuer.as_ref().map(|issuer| issuer.0.clone());
    let endpoint = config.url(Endpoint::Token).map(|url| url.as_str().to_owned()).or_else(issuer_url);
    let endpoint = endpoint.unwrap_or_default();
    let audience: Vec<_> = config.audience.iter().chain(&config.resource.0).map(String::as_str).collect();
    // A user's login stays valid when the client secret changes.
    let secret = config.client_secret.as_ref().filter(|_| !flow.has_user_login());
    let from = config.from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
    let flow_name = format!("{}{from}", flow.name());
    Issuer {
        secret_fingerprint: secret.and_then(|secret| secret.fingerprint(&endpoint, settings.env())),
        client_id: config.client_id.clone(),
        environment: settings.bound(),
        audience: (!audience.is_empty()).then(|| audience.join(" ")),
        ..Issuer::new(KIND.name, &flow_name, &endpoint)
    }
}

struct OAuth2 {
    config: Config,
    flow: Flow,
    auth: Auth,
    info: ProviderInfo,
    scope: String,
    params: Vec<(String, String)>,
    /// The fingerprint of the settings that change the issued token, except the scope.
    fingerprint: String,
    redirect_uri: ServiceUrl,
}

#[async_trait]
impl Provider for OAuth2 {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    fn accepts(&self, token: &Token) -> bool {
        let detail = |key: &str| token.details().and_then(|details| details.get(key)?.as_str());
        let same_scope = |scope: &str| ScopeKey::new([scope]) == ScopeKey::new([self.scope.as_str()]);
        detail(FINGERPRINT).is_none_or(|fingerprint| fingerprint == self.fingerprint)
            && detail(DEFAULT_SCOPE).is_none_or(same_scope)
    }

    fn next_exchange(&self, record: &Record, request: &TokenRequest, now: DateTime<Utc>) -> NextExchange {
        let has_login = self.flow.has_user_login();
        let has_grant = has_login && record.usable_grant().is_some();
        if has_grant && !self.discovers_first(record, now, request.force) {
            NextExchange::SendsGrant
        } else if has_login && !has_grant && !self.has_password() {
            NextExchange::NeedsLogin
        } else {
            NextExchange::KeepsGrant
        }
    }

    /// Discovers the token endpoint if the endpoint is unknown. Otherwise requests a token with the refresh token,
    /// the password, the client credentials or another provider's token.
    async fn exchange(
        &self,
        operation: &Operation,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        let has_login = self.flow.has_user_login();
        let grant = record.usable_grant().map(Grant::secret).filter(|_| has_login);
        if has_login && grant.is_none() && !self.has_password() {
            return Err(record.login_missing());
        }
        if self.discovers_first(record, operation.now(), request.force) {
            return self.discover(operation, record).await;
        }
        let basic = BasicSpelling::stored(record);
        let session = Session::new(self, operation, self.stored(record), basic, None).await?;
        let update = match grant {
            Some(refresh_token) => session.refresh(record, refresh_token, request.scopes()).await,
            None if has_login => session.log_in_configured(record, request).await,
            None => session.request_token(request.scopes()).await,
        }?;
        Ok(session.token.client.add_spelling(update))
    }

    async fn login(&self, operation: &Operation, login: &Login) -> Result<RecordUpdate> {
        let found = self.metadata_for(operation, self.flow.endpoints(), self.flow.endpoints()).await?;
        let session = Session::new(self, operation, found, BasicSpelling::default(), None).await?;
        let update = match (login, self.flow) {
            (Login::RefreshToken(token), _) => session.begin_with(token).await,
            (_, Flow::Device) => session.device().await,
            (_, Flow::AuthorizationCode) => session.authorization_code().await,
            (Login::Password(password), _) => session.log_in_with(Some(password)).await,
            (_, Flow::Password) => session.log_in_with(None).await,
            // In a flow without a user, an issued token proves that the credentials are valid.
            _ => session.request_token(&ScopeKey::default()).await,
        }?;
        let update = session.token.client.add_spelling(self.add_login_scope(update));
        Ok(match &session.found {
            Some(found) => update.and_metadata(Metadata::KEY, found.to_value()),
            None => update,
        })
    }

    /// Revokes the refresh token first, because many services then also revoke the access tokens.
    async fn revoke(&self, operation: &Operation, record: &Record) -> Result<Revoked> {
        let found = self.logout_metadata(operation, record).await?;
        let Some(url) = self.find(found.as_ref(), Endpoint::Revocation)? else {
            let note = "the provider has no `revocation_url`, so the tokens stay valid until they expire";
            return Ok(Revoked::new(false, Some(note.to_owned())));
        };
        let (basic, to) = (BasicSpelling::stored(record), Some((Endpoint::Revocation, &url)));
        let session = Session::new(self, operation, found, basic, to).await?;
        let endpoint = &session.token;
        let mut revoked = false;
        if let Some(grant) = record.usable_grant() {
            revoked |= endpoint.revoke(&url, grant.secret(), "refresh_token").await?;
        }
        let now = operation.now();
        let live = record.tokens().filter(|(_, token)| token.expires_at().is_none_or(|at| at > now));
        for (_, token) in live {
            match endpoint.revoke(&url, token.secret(), "access_token").await {
                Ok(done) => revoked |= done,
                // The revoked refresh token has ended the login, so an access token that stays valid is no error.
                Err(error) if revoked => tracing::info!(%error, "the service did not revoke an access token"),
                Err(error) => return Err(error),
            }
        }
        let note = (!revoked).then(|| {
            "the service revoked none of these tokens; they stay valid until they expire".to_owned()
        });
        Ok(Revoked::new(revoked, note))
    }

    async fn introspect(&self, operation: &Operation, token: &Token) -> Result<Option<Map<String, Value>>> {
        let wanted = [Endpoint::Introspection, Endpoint::Token];
        let found = self.metadata_for(operation, &wanted, &[Endpoint::Token]).await?;
        let Some(url) = self.find(found.as_ref(), Endpoint::Introspection)? else { return Ok(None) };
        let to = Some((Endpoint::Introspection, &url));
        let session = Session::new(self, operation, found, BasicSpelling::default(), to).await?;
        session.token.introspect(&url, token.secret()).await.map(Some)
    }
}
