//! A provider that is a plugin, which implements docs/dev/plugin-protocol.md.

use async_trait::async_trait;
use broker_core::{
    Choice, Error, ErrorCode, Expiry, Hint, Issuer, Login, LoginMethod, NextExchange, Operation, Provider,
    ProviderInfo, Record, RecordUpdate, RequestPart, Result, Revoked, ScopeKey, Scopes, Secret, SecretSource,
    ServiceUrl, Settings, SettingsError, Token, TokenRequest, fingerprint,
};
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::config::Config;
use crate::exchange_response::{ExchangeResponse, IssuedToken, salvage_grant, scope_key};
use crate::program::Program;
use crate::session::{Malformed, Session, Stage};
use crate::wire::{self, Description, RecordView, Request, RequestedToken, RevokeResponse, VERSION, rfc3339};

/// Names of metadata fields in a record: the plugin's data, the plugin's issuer, and whether the plugin has a login.
const PLUGIN_DATA: &str = "plugin";
const ISSUER: &str = "issuer";
const HAS_LOGIN: &str = "login";

pub(crate) struct Plugin {
    name: String,
    program: Program,
    config: Config,
    info: ProviderInfo,
}

/// A started plugin, which has described itself.
struct Run<'a> {
    plugin: &'a Plugin,
    secrets: Vec<(&'a str, Secret)>,
    session: Session<'a>,
    description: Description,
}

impl Plugin {
    pub(crate) fn new(settings: &Settings<'_>, mut config: Config) -> Result<Self, SettingsError> {
        let variables = config.secrets.values().filter_map(|source| match source {
            SecretSource::Env(name) => Some(name.clone()),
            _ => None,
        });
        let program = Program::new(std::mem::take(&mut config.command.0), variables.collect())?;
        // `None` if the broker cannot read one of the secrets.
        let fingerprints: Option<Vec<_>> = config
            .secrets
            .iter()
            .map(|(name, source)| Some(format!("{name} {}", source.fingerprint(name, settings.env())?)))
            .collect();
        // With other settings, a plugin may use a service that must not receive the stored tokens.
        let settings_text = Secret::new(Value::Object(config.settings.0.clone()).to_string());
        let issuer = Issuer {
            audience: (!config.settings.0.is_empty())
                .then(|| format!("settings {}", fingerprint("settings", &settings_text, 64))),
            environment: settings.bound(),
            secret_fingerprint: fingerprints
                .filter(|all| !all.is_empty())
                .map(|all| fingerprint("secrets", &Secret::new(all.join("\n")), 64)),
            ..Issuer::new("exec", "plugin", &program.endpoint())
        };
        let name = settings.name().to_owned();
        let mut info = ProviderInfo::new(issuer);
        // A plugin says only when it runs what it supports.
        info.requests.scopes = Scopes::Any;
        (info.requests.lifetime, info.requests.name) = (Choice::Always, Choice::Always);
        info.logins = vec![LoginMethod::Interactive, LoginMethod::Password, LoginMethod::RefreshToken];
        info.sources =
            config.secrets.iter().map(|(name, source)| source.describe(&format!("secrets.{name}"))).collect();
        info.sources.push(format!("the plugin `{}`", program.name()));
        info.program = Some(program.name());
        Ok(Self { name, program, config, info })
    }

    /// Returns an empty record, for a request without stored data.
    fn new_record(&self) -> Record {
        Record::new(&self.name, self.info.issuer.clone())
    }

    fn request<'a>(
        &'a self,
        action: &'static str,
        now: DateTime<Utc>,
        secrets: Option<&'a [(&'a str, Secret)]>,
    ) -> Request<'a> {
        let exposed = |(name, secret): &'a (&'a str, Secret)| (*name, secret.expose());
        Request {
            v: VERSION,
            action,
            provider: &self.name,
            now: rfc3339(now),
            settings: &self.config.settings.0,
            secrets: secrets.map(|secrets| secrets.iter().map(exposed).collect()),
            record: None,
            requested: None,
            login: None,
        }
    }

    /// Starts the plugin and checks its response to `describe`. The broker sends secrets only after this check.
    async fn begin<'a>(&'a self, operation: &'a Operation, record: Option<&Record>) -> Result<Run<'a>> {
        let mut secrets = Vec::new();
        for (name, source) in &self.config.secrets {
            let secret = source.resolve_lines(operation.context(), &format!("secrets.{name}")).await?;
            secrets.push((name.as_str(), secret));
        }
        let mut session = Session::start(operation, &self.program)?;
        match self.describe(operation, &mut session, record).await {
            Ok(description) => Ok(Run { plugin: self, secrets, session, description }),
            Err(error) => session.close(Err(error)).await,
        }
    }

    async fn describe(
        &self,
        operation: &Operation,
        session: &mut Session<'_>,
        record: Option<&Record>,
    ) -> Result<Description> {
        session.greet().await?;
        let description: Description =
            session.request(&self.request("describe", operation.now(), None)).await?;
        if let Err(why) = ServiceUrl::parse(&description.issuer) {
            let what = format!("returned an invalid `issuer`: {}", session.redact(&why));
            let hint = "the response to `describe` must contain the service's URL as `issuer`";
            return Err(session.error(ErrorCode::ProtocolMismatch, &what).with_hint(hint));
        }
        let stored =
            record.filter(|record| record.usable_grant().is_some() || record.tokens().next().is_some());
        let before = stored.map(|record| record.metadata(ISSUER).and_then(Value::as_str).unwrap_or("(none)"));
        if let Some(before) = before.filter(|before| *before != description.issuer) {
            let (before, now) = (session.redact(before), session.redact(&description.issuer));
            let what = format!(
                "changed its issuer from {before} to {now}: the stored login is not sent there, and a new issuer needs a \
                 new login"
            );
            return Err(session.error(ErrorCode::ConfigInvalid, &what).with_hint(Hint::LogIn));
        }
        Ok(description)
    }

    fn token(&self, issued: IssuedToken, sent_at: DateTime<Utc>) -> Token {
        let (at, lifetime) = (&issued.expires_at, &issued.expires_in);
        let is_permanent = lifetime.is_none() && at.as_ref().is_some_and(Value::is_null);
        let stated = [("expires_at", at), ("expires_in", lifetime)];
        let stated =
            stated.into_iter().filter_map(|(key, value)| Expiry::read(key, value.as_ref()?, sent_at));
        let default = (!is_permanent).then(|| self.config.lifetime());
        Token::printed(issued.secret, sent_at, stated, default)
            .with_scope(issued.scope)
            .with_scheme(issued.token_type.as_deref().unwrap_or("Bearer"))
    }
}

impl Run<'_> {
    async fn exchange(&mut self, record: &Record, request: &TokenRequest) -> Result<RecordUpdate> {
        self.check_supported(request)?;
        self.session.begin(Stage::Requested)?;
        self.hide(record);
        let operation = self.session.operation;
        let sent_at = operation.now();
        let exchange = async {
            let message = Request {
                record: Some(RecordView::new(record, PLUGIN_DATA, operation.began_at())),
                requested: Some(RequestedToken::new(request, sent_at)),
                ..self.plugin.request("exchange", sent_at, Some(&self.secrets))
            };
            let response = self.session.try_request(&message).await;
            self.update(response, record, request.scopes(), sent_at)
        };
        operation.exchange(exchange).await
    }

    /// Converts a plugin's response to a record update.
    fn update(
        &mut self,
        response: Result<ExchangeResponse, Malformed>,
        record: &Record,
        requested: &ScopeKey,
        sent_at: DateTime<Utc>,
    ) -> Result<RecordUpdate> {
        let session = &mut self.session;
        let mut response = match response {
            Ok(response) => response,
            Err(malformed) => return self.salvage(malformed, record, sent_at),
        };
        response.tokens.iter().for_each(|token| session.hide(&token.secret));
        response.grant.iter().for_each(|grant| session.hide(grant));
        response.remove_invalid();
        // These texts are shown, so they must not repeat a secret.
        response.account.take_if(|account| account.is_empty() || session.repeats_secret(account));
        for token in &mut response.tokens {
            token.scope.take_if(|scope| session.repeats_secret(scope));
            token.token_type.take_if(|kind| session.repeats_secret(kind));
        }
        if !response.makes_progress(record, requested, sent_at) {
            return Err(if response.grant_refused {
                session.error(ErrorCode::LoginRequired, "has no login that the service accepts")
            } else {
                session
                    .error(ErrorCode::ProgramFailed, "returned neither the requested token nor a new grant")
            });
        }
        session.stage = Stage::Issued;
        let mut update = match response.grant {
            Some(grant) => RecordUpdate::grant(grant, sent_at),
            None if response.grant_refused => RecordUpdate::grant_refused(),
            None => RecordUpdate::default(),
        };
        for scopes in &response.dropped {
            update = update.and_dropped(&scope_key(scopes));
        }
        for token in response.tokens {
            update = update.and_token(&token.scopes(requested), self.plugin.token(token, sent_at));
        }
        if let Some(metadata) = response.metadata {
            update = update.and_metadata(PLUGIN_DATA, Value::Object(metadata));
        }
        Ok(update.and_account(response.account))
    }

    /// Saves a new grant from a malformed response.
    fn salvage(
        &mut self,
        malformed: Malformed,
        record: &Record,
        sent_at: DateTime<Utc>,
    ) -> Result<RecordUpdate> {
        let stored = record.usable_grant();
        let grant = salvage_grant(&malformed.output)
            .filter(|new| !stored.is_some_and(|stored| stored.secret().same_as(new)));
        let Some(grant) = grant else { return Err(malformed.error) };
        self.session.hide(&grant);
        self.session.stage = Stage::Issued;
        tracing::warn!(
            plugin = self.plugin.program.name(),
            "the plugin's response is malformed; the broker saves only its field `grant`"
        );
        Ok(RecordUpdate::grant(grant, sent_at))
    }

    fn check_supported(&self, request: &TokenRequest) -> Result<()> {
        let Description { scopes, expires, names, .. } = &self.description;
        let (code, what, part) = if !scopes && !request.scopes().is_empty() {
            (ErrorCode::ScopeUnsupported, "scopes", RequestPart::Scope)
        } else if !expires && request.expires.is_some() {
            (ErrorCode::RequestUnsupported, "lifetime", RequestPart::Lifetime)
        } else if !names && request.name.is_some() {
            (ErrorCode::RequestUnsupported, "name", RequestPart::Name)
        } else {
            return Ok(());
        };
        let what = format!("does not let the caller choose the token's {what}");
        Err(self.session.error(code, &what).with_hint(Hint::LeaveOut(part)))
    }

    async fn log_in(&mut self, login: &Login) -> Result<RecordUpdate> {
        let (operation, record) = (self.session.operation, self.plugin.new_record());
        self.session.begin(Stage::LoggingIn)?;
        self.hide(&record);
        if let Login::RefreshToken(secret) | Login::Password(secret) = login {
            self.session.hide(secret);
        }
        let request = Request {
            login: Some(wire::LoginMethod::new(login)),
            ..self.plugin.request("login", operation.now(), Some(&self.secrets))
        };
        let response = self.session.try_request(&request).await;
        // After the plugin's response, a signal cannot cancel the login until the broker has saved the login.
        let received_at = operation.now();
        if response.as_ref().is_ok_and(|response: &ExchangeResponse| response.grant_refused) {
            let code = match login {
                Login::Password(_) => ErrorCode::PasswordRefused,
                _ => ErrorCode::RequestRefused,
            };
            return Err(Error::new(code, "the service refused the login"));
        }
        let (is_malformed, scopes) = (response.is_err(), ScopeKey::default());
        let update =
            operation.exchange(async { self.update(response, &record, &scopes, received_at) }).await?;
        if is_malformed {
            let name = self.plugin.program.name();
            operation.notify_after_save(format!(
                "warning: plugin `{name}` sent a malformed response, of which only the login was saved"
            ));
        }
        Ok(update)
    }

    fn unsupported_login(&self, login: &Login) -> Error {
        let (with, part) = match login {
            Login::Password(_) => ("a password", RequestPart::Password),
            _ => ("a refresh token", RequestPart::RefreshToken),
        };
        let what = format!("does not support a login with {with}");
        self.session.error(ErrorCode::LoginUnsupported, &what).with_hint(Hint::LeaveOut(part))
    }

    /// Hides the secrets of the configuration and of the record in the plugin's output.
    fn hide(&mut self, record: &Record) {
        self.secrets.iter().for_each(|(_, secret)| self.session.hide(secret));
        record.usable_grant().iter().for_each(|grant| self.session.hide(grant.secret()));
        record.tokens().for_each(|(_, token)| self.session.hide(token.secret()));
    }

    /// Ends the plugin. Adds the plugin's issuer, and whether the plugin supports a login, to the record.
    async fn end(self, result: Result<RecordUpdate>) -> Result<RecordUpdate> {
        let (issuer, has_login) =
            (Value::from(self.description.issuer.as_str()), self.description.supports("login"));
        let update = self.session.close(result).await?;
        Ok(update.and_metadata(ISSUER, issuer).and_metadata(HAS_LOGIN, Value::from(has_login)))
    }
}

#[async_trait]
impl Provider for Plugin {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    fn next_exchange(&self, record: &Record, _: &TokenRequest, _: DateTime<Utc>) -> NextExchange {
        // A record without this entry is new: the plugin has not yet said whether it supports a login.
        let has_login = record.metadata(HAS_LOGIN).and_then(Value::as_bool) == Some(true);
        match record.usable_grant() {
            Some(_) => NextExchange::SendsGrant,
            None if has_login => NextExchange::NeedsLogin,
            None => NextExchange::KeepsGrant,
        }
    }

    async fn exchange(
        &self,
        operation: &Operation,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        let mut run = self.begin(operation, Some(record)).await?;
        let result = run.exchange(record, request).await;
        run.end(result).await
    }

    async fn login(&self, operation: &Operation, login: &Login) -> Result<RecordUpdate> {
        let mut run = self.begin(operation, None).await?;
        let result = match login {
            _ if run.description.supports_login(login) => run.log_in(login).await,
            // For a plugin without a login, requests a token, which proves that the secrets are valid.
            Login::Usual if !run.description.supports("login") => {
                run.exchange(&self.new_record(), &TokenRequest::new()).await
            }
            _ => Err(run.unsupported_login(login)),
        };
        run.end(result).await
    }

    async fn revoke(&self, operation: &Operation, record: &Record) -> Result<Revoked> {
        let mut run = self.begin(operation, Some(record)).await?;
        if !run.description.supports("revoke") {
            return run.session.close(Ok(Revoked::default())).await;
        }
        run.hide(record);
        let request = Request {
            record: Some(RecordView::new(record, PLUGIN_DATA, operation.began_at())),
            ..self.request("revoke", operation.now(), Some(&run.secrets))
        };
        let result = operation.exchange(run.session.request::<RevokeResponse>(&request)).await;
        let result = result.map(|response| {
            let note = response.note.map(|note| run.session.redact(&note));
            Revoked::new(response.revoked, note)
        });
        run.session.close(result).await
    }
}
