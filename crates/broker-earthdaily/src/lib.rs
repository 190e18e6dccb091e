//! EarthDaily: satellite images. Tokens are issued by client credentials (RFC 6749 section 4.4), without a user's
//! login.

mod config;
mod cookie;
#[cfg(test)]
mod differential;
mod ini;
mod sources;

use std::sync::Arc;

use async_trait::async_trait;
use broker_core::{
    Context, Derived, Error, ErrorCode, ErrorKind, Hint, Issuer, Kind, Login, Provider, Record, RecordUpdate,
    Result, Revoked, ScopeKey, Settings, SettingsError, TokenRequest, refuse_derived, refuse_lifetime,
    refuse_scopes,
};
use broker_oauth2::{BasicSpelling, ClientAuth, TokenEndpoint};
use chrono::{DateTime, TimeDelta, Utc};

use config::{Account, Authentication, Config};

pub use sources::Credentials;

/// The assumed lifetime of a token if the response has no `expires_in`.
const DEFAULT_LIFETIME: TimeDelta = TimeDelta::seconds(3600);

const HOST: &str = "api.earthdaily.com";

/// The provider type `kind = "earthdaily"`.
pub const KIND: Kind = Kind {
    name: "earthdaily",
    about: "EarthDaily: imagery (client credentials)",
    keys: &["auth_url", "client_id", "client_secret", "client_auth", "api_url"],
    secrets: &["client_secret"],
    renamed: &[("auth_style", "client_auth")],
    token_variable: "EDS_TOKEN",
    build,
};

struct EarthDaily {
    account: Account,
    issuer: Issuer,
}

fn build(settings: &Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError> {
    let account = settings.parse::<Config>()?.account(settings)?;
    let (endpoint, secret) = (account.auth_url.as_str(), account.secret.as_ref());
    let issuer = Issuer {
        kind: KIND.name.to_owned(),
        flow: "client_credentials".to_owned(),
        endpoint: endpoint.to_owned(),
        client_id: Some(account.client_id.clone()),
        audience: None,
        environment: settings.bound(),
        secret_fingerprint: secret.and_then(|secret| secret.fingerprint(endpoint, settings.env())),
    };
    Ok(Arc::new(EarthDaily { account, issuer }))
}

#[async_trait]
impl Provider for EarthDaily {
    fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    fn check(&self, request: &TokenRequest, now: DateTime<Utc>) -> Result<()> {
        if wants_cookie(request) {
            return cookie::lifetime(request, now).map(drop);
        }
        refuse_derived(request)?;
        refuse_scopes(request)?;
        refuse_lifetime(request)
    }

    fn hosts(&self) -> Vec<String> {
        let configured = Some(self.account.api.host()).filter(|host| host != HOST);
        [HOST.to_owned()].into_iter().chain(configured).collect()
    }

    fn sources(&self) -> Vec<String> {
        self.account.sources.clone()
    }

    fn check_secret(&self) -> Result<()> {
        self.account.secret.as_ref().map(drop).ok_or_else(secret_missing)
    }

    fn can_renew(&self, _record: &Record) -> bool {
        true
    }

    /// Requests the asset cookie, or an access token if no access token is stored or the caller wants no cookie.
    async fn exchange(
        &self,
        context: &Context,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        let usual = ScopeKey::default();
        match record.usable_token(&usual, context.now()).filter(|_| wants_cookie(request)) {
            Some(access) => cookie::request_cookie(context, &self.account.api, access, request).await,
            None if wants_cookie(request) => self.request_token(context, Some(record), &usual).await,
            None => self.request_token(context, Some(record), request.scopes()).await,
        }
    }

    async fn login(&self, context: &Context, login: &Login) -> Result<RecordUpdate> {
        match login {
            // The login requests a token, which proves that the client secret is valid.
            Login::Usual => self.request_token(context, None, &ScopeKey::default()).await,
            _ => Err(Error::new(
                ErrorCode::LoginUnsupported,
                "EarthDaily has no login with a password or refresh token",
            )
            .with_hint("set `client_secret` of this provider in the configuration, or EDS_SECRET")),
        }
    }

    async fn revoke(&self, _context: &Context, _record: &Record) -> Result<Revoked> {
        let note = "EarthDaily cannot revoke tokens; manage the API token at console.earthdaily.com/account";
        Ok(Revoked { revoked: false, note: Some(note.to_owned()) })
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
        context: &Context,
        record: Option<&Record>,
        scopes: &ScopeKey,
    ) -> Result<RecordUpdate> {
        let Account { auth_url, client_id, secret, client_auth, .. } = &self.account;
        let source = secret.as_ref().ok_or_else(secret_missing)?;
        let secret = source.resolve(context, "client_secret").await?;
        let basic = record.map(BasicSpelling::stored).unwrap_or_default();
        let client = match client_auth {
            Authentication::Basic => ClientAuth::Basic(client_id, &secret, &basic),
            Authentication::Body => ClientAuth::Body(client_id, &secret),
        };
        let endpoint = TokenEndpoint::new(auth_url, client, DEFAULT_LIFETIME);
        let answer = endpoint.client_credentials(context, &[]).await.map_err(|error| match error.kind() {
            ErrorKind::Refused => {
                let varies = matches!(client_auth, Authentication::Basic) && BasicSpelling::varies(client_id, &secret);
                let body = if varies { ". If it is correct, set `client_auth = \"body\"`" } else { "" };
                error.with_hint(format!(
                    "check the secret from {}: with HTTP 401 it is wrong or revoked, with HTTP 403 it belongs to another \
                     environment than `auth_url`. Create a new one at console.earthdaily.com/account{body}",
                    self.account.sources.join(", ")
                ))
            }
            _ => error,
        })?;
        Ok(basic.add_to(answer.into_update(scopes), record))
    }
}
