//! EarthDaily: satellite images. Tokens are issued by client credentials (RFC 6749 section 4.4), without a user's
//! login.

mod config;
mod cookie;
#[cfg(test)]
mod differential;
mod ini;
mod sources;
mod tools;

use std::sync::Arc;

use async_trait::async_trait;
use broker_core::{
    Derived, Error, ErrorCode, ErrorKind, Hint, Issuer, Kind, Operation, Provider, ProviderInfo, Record,
    RecordUpdate, Result, Revoked, ScopeKey, Settings, SettingsError, TokenRequest,
};
use broker_oauth2::{BasicSpelling, ClientAuth, TokenEndpoint};
use chrono::{DateTime, TimeDelta, Utc};

use config::{Account, Authentication, Config, HOST};

/// The assumed lifetime of a token if the response has no `expires_in`.
const DEFAULT_LIFETIME: TimeDelta = TimeDelta::seconds(3600);

/// The provider type `kind = "earthdaily"`.
pub const KIND: Kind = Kind::new::<Config>("earthdaily", build)
    .secrets(&["client_secret"])
    .renamed(&[("auth_style", "client_auth")])
    .tools(&tools::Tools);

struct EarthDaily {
    account: Account,
    info: ProviderInfo,
}

fn build(settings: &Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError> {
    let account = settings.parse::<Config>()?.account(settings)?;
    let (endpoint, secret) = (account.auth_url.as_str(), account.secret.as_ref());
    let mut info = ProviderInfo::new(Issuer {
        client_id: Some(account.client_id.clone()),
        environment: settings.bound(),
        secret_fingerprint: secret.and_then(|secret| secret.fingerprint(endpoint, settings.env())),
        ..Issuer::new(KIND.name, "client_credentials", endpoint)
    });
    info.variable = "EDS_TOKEN".into();
    info.hosts = vec![HOST.to_owned()];
    info.hosts.extend(Some(account.api.host()).filter(|host| host != HOST));
    info.requests.derived = &[Derived::COOKIE];
    info.sources.clone_from(&account.sources);
    info.secret_missing = account.secret.is_none().then(secret_missing);
    Ok(Arc::new(EarthDaily { account, info }))
}

#[async_trait]
impl Provider for EarthDaily {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    fn check(&self, request: &TokenRequest, now: DateTime<Utc>) -> Result<()> {
        if wants_cookie(request) {
            cookie::lifetime(request, now).map(drop)
        } else {
            self.info.requests.check(request)
        }
    }

    /// Requests the asset cookie, or an access token if no access token is stored or the caller wants no cookie.
    async fn exchange(
        &self,
        operation: &Operation,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        let usual = ScopeKey::default();
        match record.usable_token(&usual, operation.now()).filter(|_| wants_cookie(request)) {
            Some(access) => cookie::request_cookie(operation, &self.account.api, access, request).await,
            None if wants_cookie(request) => self.request_token(operation, record, &usual).await,
            None => self.request_token(operation, record, request.scopes()).await,
        }
    }

    async fn revoke(&self, _operation: &Operation, _record: &Record) -> Result<Revoked> {
        let note = "EarthDaily cannot revoke tokens; manage the API token at console.earthdaily.com/account";
        Ok(Revoked::new(false, Some(note.to_owned())))
    }
}

fn wants_cookie(request: &TokenRequest) -> bool {
    request.asked_derived().is_some_and(|derived| derived.what == Derived::COOKIE)
}

fn secret_missing() -> Error {
    let hint = "create an API token at console.earthdaily.com/account and put it into EDS_SECRET, `client_secret` of the \
                configuration, or ~/.earthdaily/credentials";
    let why = "no secret is configured, and EDS_SECRET is not set";
    Error::new(ErrorCode::SecretMissing, why).with_hint(Hint::SetOrImport(hint.to_owned()))
}

impl EarthDaily {
    /// Requests a token without scope or audience. The default client authentication is HTTP Basic.
    async fn request_token(
        &self,
        operation: &Operation,
        record: &Record,
        scopes: &ScopeKey,
    ) -> Result<RecordUpdate> {
        let Account { auth_url, client_id, secret, client_auth, .. } = &self.account;
        let source = secret.as_ref().ok_or_else(secret_missing)?;
        let secret = source.resolve(operation.context(), "client_secret").await?;
        let client_id = client_id.clone();
        let client = match client_auth {
            Authentication::Basic => ClientAuth::Basic(client_id, secret, BasicSpelling::stored(record)),
            Authentication::Body => ClientAuth::Body(client_id, secret),
        };
        let endpoint = TokenEndpoint::new(operation, auth_url, client, DEFAULT_LIFETIME);
        let answer = endpoint.client_credentials(&[]).await.map_err(|error| match error.kind() {
            ErrorKind::Refused => {
                let varies = endpoint.client.spelling_varies();
                let body = if varies { ". If it is correct, set `client_auth = \"body\"`" } else { "" };
                error.with_hint(format!(
                    "check the secret from {}: with HTTP 401 it is wrong or revoked, with HTTP 403 it belongs to another \
                     environment than `auth_url`. Create a new one at console.earthdaily.com/account{body}",
                    self.account.sources.join(", ")
                ))
            }
            _ => error,
        })?;
        Ok(endpoint.client.add_spelling(answer.into_update(scopes)))
    }
}
