//! `kind = "oauth2"`: any service of OAuth 2.0, by configuration.

mod client;
mod config;
mod endpoints;
mod flows;
mod password;

use std::sync::Arc;

use async_trait::async_trait;
use broker_core::{
    Context, Derived, Error, Grant, Issuer, Kind, Login, Provider, Record, RecordUpdate, Result, Revoked,
    Settings, SettingsError, Token, TokenRequest, refuse_derived, refuse_lifetime,
};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::discovery::Endpoint;
use crate::token::Revocation;
use client::Client;
use config::{Auth, Config, Flow};
use flows::Asked;

/// `kind = "oauth2"`.
pub const KIND: Kind = Kind {
    name: "oauth2",
    about: "any service of OAuth 2.0, by configuration",
    keys: &[
        "flow",
        "issuer",
        "token_url",
        "device_url",
        "authorization_url",
        "revocation_url",
        "introspection_url",
        "client_id",
        "client_secret",
        "client_auth",
        "private_key",
        "key_id",
        "algorithm",
        "audience",
        "resource",
        "scope",
        "params",
        "fields",
        "redirect_uri",
        "username",
        "password",
        "from",
        "subject_token_type",
        "requested_token_type",
        "life",
    ],
    secrets: &["client_secret", "private_key", "password"],
    renamed: &[],
    token_variable: "TOKEN",
    build,
};

fn build(settings: &Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError> {
    let config: Config = settings.parse()?;
    let (flow, auth) = config.check()?;
    let issuer = issuer(&config, flow, settings);
    let asked = Asked::new(&config, flow)?;
    let redirect_uri = config.redirect_uri()?;
    let name = settings.name().to_owned();
    Ok(Arc::new(OAuth2 { config, flow, auth, issuer, asked, redirect_uri, name }))
}

/// Who gives the tokens: where they are exchanged, who asks, and for whom.
fn issuer(config: &Config, flow: Flow, settings: &Settings<'_>) -> Issuer {
    let of_issuer = || config.issuer.as_ref().map(|issuer| issuer.as_str().to_owned());
    let endpoint = config.url(Endpoint::Token).map(|url| url.as_str().to_owned()).or_else(of_issuer);
    let endpoint = endpoint.unwrap_or_default();
    let audience: Vec<_> = config.audience.iter().chain(config.resources()).map(String::as_str).collect();
    // A person's login outlives a new secret of the client.
    let secret = config.client_secret.as_ref().filter(|_| !flow.is_persons());
    Issuer {
        kind: KIND.name.to_owned(),
        flow: match &config.from {
            Some(from) => format!("{} from {from}", flow.name()),
            None => flow.name().to_owned(),
        },
        secret_fingerprint: secret.and_then(|secret| secret.fingerprint(&endpoint, settings.env())),
        endpoint,
        client_id: config.client_id.clone(),
        audience: (!audience.is_empty()).then(|| audience.join(" ")),
    }
}

struct OAuth2 {
    config: Config,
    flow: Flow,
    auth: Auth,
    issuer: Issuer,
    asked: Asked,
    redirect_uri: broker_core::ServiceUrl,
    name: String,
}

#[async_trait]
impl Provider for OAuth2 {
    fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    fn account(&self) -> Option<&str> {
        self.config.username.as_deref()
    }

    fn check(&self, request: &TokenRequest, _now: DateTime<Utc>) -> Result<()> {
        refuse_derived(request)?;
        refuse_lifetime(request)?;
        if request.scopes().iter().any(Derived::is_key) {
            return Err(Error::usage("this is no scope: it would be taken for keys or a cookie"));
        }
        Ok(())
    }

    fn derives_from(&self) -> Option<&str> {
        self.config.from.as_deref()
    }

    fn sources(&self) -> Vec<String> {
        let of = |key: &str| match key {
            "private_key" => self.config.private_key.as_ref(),
            "password" => self.config.password.as_ref(),
            _ => self.config.client_secret.as_ref(),
        };
        let described = |key: &str| of(key).map(|source| source.describe(key));
        let login = self.flow.is_persons().then(|| format!("a login (broker login {})", self.name));
        let from = self.config.from.as_ref().map(|from| format!("the token of `{from}`"));
        let own = if self.flow == Flow::Password { described("password") } else { None };
        let client = match self.auth {
            Auth::None => None,
            Auth::PrivateKeyJwt => described("private_key"),
            Auth::Basic | Auth::Body => described("client_secret"),
        };
        [own, login, from, client].into_iter().flatten().collect()
    }

    fn accepts(&self, token: &Token) -> bool {
        self.asked.accepts(token)
    }

    fn can_renew(&self, record: &Record) -> bool {
        !self.flow.is_persons() || record.usable_grant().is_some() || self.has_password()
    }

    fn spends_grant(&self, record: &Record, request: &TokenRequest, now: DateTime<Utc>) -> bool {
        let sends = self.flow.is_persons() && record.usable_grant().is_some();
        sends && !self.discovers_first(record, now, request.is_forced())
    }

    /// First where the endpoints are, if that is of any use; then a grant is used, a secret, another provider's token, or a password at hand.
    async fn exchange(
        &self,
        context: &Context,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        let grant = record.usable_grant().map(Grant::secret).filter(|_| self.flow.is_persons());
        if self.flow.is_persons() && grant.is_none() && !self.has_password() {
            return Err(record.login_missing());
        }
        if self.discovers_first(record, context.now(), request.is_forced()) {
            return self.discover(context, record).await;
        }
        let client = Client::resolve(self, context).await?;
        let endpoints = self.kept_endpoints(record);
        match grant {
            Some(refresh_token) => {
                self.refresh(context, &client, &endpoints, record, refresh_token, request).await
            }
            None if self.flow.is_persons() => {
                self.log_in_unasked(context, &client, &endpoints, record, request).await
            }
            None => self.ask(context, &client, &endpoints, request.scopes()).await,
        }
    }

    fn takes_refresh_token(&self) -> bool {
        self.flow.is_persons()
    }

    async fn login(&self, context: &Context, login: &Login) -> Result<RecordUpdate> {
        self.check_login(login)?;
        let endpoints = self.all_endpoints(context).await?;
        let client = Client::resolve(self, context).await?;
        let change = match (login, self.flow) {
            (Login::RefreshToken(token), _) => self.begin_with(context, &client, &endpoints, token).await,
            (_, Flow::Device) => self.device(context, &client, &endpoints).await,
            (_, Flow::AuthorizationCode) => self.authorization_code(context, &client, &endpoints).await,
            (Login::Password(password), _) => {
                self.log_in_with(context, &client, &endpoints, Some(password)).await
            }
            (_, Flow::Password) => self.log_in_with(context, &client, &endpoints, None).await,
            // A machine has no login; this shows that its secret works.
            _ => self.ask(context, &client, &endpoints, &broker_core::ScopeKey::default()).await,
        }?;
        Ok(endpoints.keep_in(self.asked.keep_in(change)))
    }

    /// The refresh token first; what else is held then may be over already.
    async fn revoke(&self, context: &Context, record: &Record) -> Result<Revoked> {
        let endpoints = self.endpoints_to_leave(context, record).await?;
        let Some(url) = endpoints.find(self, Endpoint::Revocation)? else {
            let note = "the service names no way to revoke tokens (`revocation_url`): they end by themselves";
            return Ok(Revoked { revoked: false, note: Some(note.to_owned()) });
        };
        let client = Client::resolve(self, context).await?;
        let token_url = endpoints.find(self, Endpoint::Token)?.unwrap_or_else(|| url.clone());
        let endpoint = client.endpoint(self, &token_url);
        let mut revoked = false;
        if let Some(grant) = record.usable_grant() {
            revoked |=
                endpoint.revoke(context, &url, grant.secret(), "refresh_token").await? == Revocation::Done;
        }
        let now = context.now();
        let live = record.tokens().filter(|(_, token)| token.expires_at().is_none_or(|at| at > now));
        for (_, token) in live {
            match endpoint.revoke(context, &url, token.secret(), "access_token").await {
                Ok(done) => revoked |= done == Revocation::Done,
                // With the refresh token the login is over.
                Err(error) if revoked => tracing::info!(%error, "an access token was not revoked"),
                Err(error) => return Err(error),
            }
        }
        let note =
            (!revoked).then(|| "the service does not revoke such tokens: they end by themselves".to_owned());
        Ok(Revoked { revoked, note })
    }

    async fn introspect(&self, context: &Context, token: &Token) -> Result<Option<Map<String, Value>>> {
        let wanted = [Endpoint::Introspection, Endpoint::Token];
        let endpoints = self.endpoints_for(context, &wanted, &[Endpoint::Token]).await?;
        let Some(url) = endpoints.find(self, Endpoint::Introspection)? else { return Ok(None) };
        let client = Client::resolve(self, context).await?;
        let token_url = endpoints.find(self, Endpoint::Token)?.unwrap_or_else(|| url.clone());
        client.endpoint(self, &token_url).introspect(context, &url, token.secret()).await.map(Some)
    }
}
