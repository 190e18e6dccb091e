//! A provider that is a plugin.

use async_trait::async_trait;
use broker_core::{
    Claims, Context, Derived, Error, ExpiresAs, Issuer, Login, Provider, Record, RecordUpdate, Result,
    Revoked, ScopeKey, Secret, SecretSource, ServiceUrl, Settings, SettingsError, Token, TokenRequest,
    fingerprint, refuse_derived, seconds,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use crate::config::Config;
use crate::exchange_input::{EnvToken, ExchangeInput, only_grant, scope_key};
use crate::program::Program;
use crate::session::{Session, Unread};
use crate::wire::{Described, Request, RevokedThere};

/// What is kept for the plugin, what it said who gives its tokens, and whether it has a login.
const KEPT: &str = "plugin";
const GIVEN_BY: &str = "issuer";
const HAS_LOGIN: &str = "login";

/// If neither the answer nor the token tells.
pub(crate) const DEFAULT_LIFE: TimeDelta = TimeDelta::minutes(5);

/// A provider that is a plugin.
pub(crate) struct Plugin {
    name: String,
    program: Program,
    settings: Map<String, Value>,
    secrets: Vec<(String, SecretSource)>,
    life: TimeDelta,
    issuer: Issuer,
}

impl Plugin {
    pub(crate) fn new(settings: &Settings<'_>, config: Config) -> Result<Self, SettingsError> {
        let variables = config.secrets.values().filter_map(|source| match source {
            SecretSource::Env(name) => Some(name.clone()),
            _ => None,
        });
        let program = Program::new(config.command.0)?.without(variables.collect());
        let secrets: Vec<_> = config.secrets.into_iter().collect();
        let marks = secrets
            .iter()
            .map(|(name, source)| Some(format!("{name} {}", source.fingerprint(name, settings.env())?)));
        // One that cannot be read now tells nothing.
        let marks: Option<Vec<_>> = marks.collect();
        // Other settings may be another service: what was given with these is not sent there.
        let chosen = Secret::new(Value::Object(config.settings.0.clone()).to_string());
        let issuer = Issuer {
            kind: "exec".to_owned(),
            flow: "plugin".to_owned(),
            endpoint: program.endpoint(),
            client_id: None,
            audience: (!config.settings.0.is_empty())
                .then(|| format!("settings {}", fingerprint("settings", &chosen, 64))),
            secret_fingerprint: marks
                .filter(|marks| !marks.is_empty())
                .map(|marks| fingerprint("secrets", &Secret::new(marks.join("\n")), 64)),
        };
        let (name, life) = (settings.name().to_owned(), config.life.map_or(DEFAULT_LIFE, |life| life.0));
        Ok(Self { name, program, settings: config.settings.0, secrets, life, issuer })
    }

    async fn secrets(&self, context: &Context) -> Result<Vec<(String, Secret)>> {
        let mut secrets = Vec::new();
        for (name, source) in &self.secrets {
            secrets.push((name.clone(), source.resolve(context, &format!("secrets.{name}")).await?));
        }
        Ok(secrets)
    }

    fn request<'a>(&'a self, action: &'static str, now: DateTime<Utc>) -> Request<'a> {
        Request::new(action, &self.name, now, &self.settings)
    }

    /// Starts the plugin and has it say what it is. It gets no secret before it is known who gives its tokens.
    async fn begin<'a>(
        &'a self,
        context: &'a Context,
        record: Option<&Record>,
    ) -> Result<(Session<'a>, Described)> {
        let mut session = Session::start(context, &self.program)?;
        match self.introduce(context, &mut session, record).await {
            Ok(described) => Ok((session, described)),
            Err(error) => session.close(Err(error)).await,
        }
    }

    async fn introduce(
        &self,
        context: &Context,
        session: &mut Session<'_>,
        record: Option<&Record>,
    ) -> Result<Described> {
        session.greet().await?;
        let described: Described = session.ask(&self.request("describe", context.now())).await?;
        let name = self.program.name();
        if let Err(why) = ServiceUrl::parse(&described.issuer) {
            let why = session.redact(&why);
            return Err(Error::configuration(format!(
                "plugin `{name}` does not say who gives its tokens: {why}"
            ))
            .with_hint("its `describe` has to name the service by its URL, `issuer`"));
        }
        let holds =
            record.filter(|record| record.usable_grant().is_some() || record.tokens().next().is_some());
        let given_by = holds.map(|record| record.kept(GIVEN_BY).and_then(Value::as_str).unwrap_or("nobody"));
        match given_by {
            Some(before) if before != described.issuer => {
                let (before, now) = (session.redact(before), session.redact(&described.issuer));
                Err(Error::configuration(format!(
                    "plugin `{name}` now names {now} as who gives its tokens; what is held was given by {before}, and is \
                     not sent there"
                ))
                .with_hint(format!("if that is right, run: broker login {}", self.name)))
            }
            _ => Ok(described),
        }
    }

    /// What it answered, as a change; also of an answer that is half of use the grant is kept.
    fn change(
        &self,
        session: &mut Session<'_>,
        answer: Result<ExchangeInput, Unread>,
        record: &Record,
        asked: &ScopeKey,
        sent_at: DateTime<Utc>,
    ) -> Result<RecordUpdate> {
        let mut given = match answer {
            Ok(given) => given,
            Err(unread) => {
                let Some(grant) = only_grant(&unread.line) else { return Err(unread.error) };
                session.hide(&grant);
                session.gave();
                tracing::warn!(plugin = self.program.name(), "only the grant of its answer can be read");
                return Ok(RecordUpdate::grant(grant, sent_at));
            }
        };
        given.tokens.iter().for_each(|token| session.hide(&token.secret));
        given.grant.iter().for_each(|grant| session.hide(grant));
        given.tidy();
        if !given.helps(record, asked, sent_at) {
            let name = self.program.name();
            return Err(if given.grant_refused {
                Error::login_required(format!("plugin `{name}` has no login that the service takes"))
            } else {
                Error::failed(format!(
                    "plugin `{name}` answered with neither the token that was asked for nor a new grant"
                ))
            });
        }
        session.gave();
        Ok(self.taken(given, asked, sent_at))
    }

    fn taken(&self, given: ExchangeInput, asked: &ScopeKey, sent_at: DateTime<Utc>) -> RecordUpdate {
        let mut change =
            if given.grant_refused { RecordUpdate::grant_refused() } else { RecordUpdate::default() };
        if let Some(grant) = given.grant {
            change = change.and_grant(grant, sent_at);
        }
        for scopes in &given.dropped {
            change = change.and_dropped(&scope_key(scopes));
        }
        for given in given.tokens {
            let scopes = given.scopes(asked);
            change = change.and_token(&scopes, self.token(given, sent_at));
        }
        if let Some(kept) = given.kept {
            change = change.and_metadata(KEPT, Value::Object(kept));
        }
        change.and_account(given.account.filter(|account| !account.is_empty()))
    }

    fn token(&self, given: EnvToken, sent_at: DateTime<Utc>) -> Token {
        let told = match &given.expires_at {
            Some(Value::Null) if given.expires_in.is_none() => Some(None),
            Some(at) => ExpiresAs::Rfc3339.read(at, sent_at).map(Some),
            None => None,
        };
        let life = || Some(sent_at.checked_add_signed(seconds(given.expires_in.as_ref()?)?));
        let own = || Claims::read(&given.secret)?.expires_at().map(Some);
        let expires_at =
            told.or_else(life).or_else(own).unwrap_or_else(|| sent_at.checked_add_signed(self.life));
        let token = Token::new(given.secret, sent_at, expires_at).with_scope(given.scope);
        token.with_type(given.token_type.as_deref().unwrap_or("Bearer"))
    }

    /// One request that may give something, in a session of its own.
    async fn exchange_once(
        &self,
        context: &Context,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        let secrets = self.secrets(context).await?;
        let (mut session, described) = self.begin(context, Some(record)).await?;
        let outcome = self.exchanged(context, &mut session, &described, record, request, &secrets).await;
        let change = session.close(outcome).await?;
        Ok(Self::signed(change, &described))
    }

    async fn exchanged(
        &self,
        context: &Context,
        session: &mut Session<'_>,
        described: &Described,
        record: &Record,
        request: &TokenRequest,
        secrets: &[(String, Secret)],
    ) -> Result<RecordUpdate> {
        self.fits(described, request)?;
        session.exchanges()?;
        hide(session, record, secrets);
        let sent_at = context.now();
        let ask = self.request("exchange", sent_at).with_secrets(secrets);
        let ask = ask.with_record(record, KEPT, context.began_at()).for_token(request, sent_at);
        context
            .exchange(async {
                let answer = session.ask_or_unread(&ask).await;
                self.change(session, answer, record, request.scopes(), sent_at)
            })
            .await
    }

    fn fits(&self, described: &Described, request: &TokenRequest) -> Result<()> {
        let name = self.program.name();
        if !described.scopes && !request.scopes().is_empty() {
            return Err(Error::usage(format!(
                "the tokens of plugin `{name}` have no scopes to choose: leave out `--scope`"
            )));
        }
        if !described.expires && request.asked_life().is_some() {
            return Err(Error::usage(format!(
                "plugin `{name}` cannot set how long a token lives: leave out `--expires`"
            ))
            .with_hint("to ask for a life that must be left, use --min-ttl"));
        }
        if !described.names && request.asked_name().is_some() {
            return Err(Error::usage(format!(
                "the tokens of plugin `{name}` have no name: leave out `--name`"
            )));
        }
        Ok(())
    }

    fn not_so(&self, login: &Login) -> Error {
        let name = self.program.name();
        let (with, flag) = match login {
            Login::Password(_) => ("a password", "--password-stdin"),
            _ => ("a refresh token", "--refresh-token-stdin"),
        };
        Error::usage(format!("plugin `{name}` has no login with {with} from elsewhere: leave out `{flag}`"))
    }

    /// With who gave it.
    fn signed(change: RecordUpdate, described: &Described) -> RecordUpdate {
        change
            .and_metadata(GIVEN_BY, Value::from(described.issuer.as_str()))
            .and_metadata(HAS_LOGIN, Value::from(described.can("login")))
    }

    async fn logged_in(
        &self,
        context: &Context,
        session: &mut Session<'_>,
        login: &Login,
        secrets: &[(String, Secret)],
    ) -> Result<RecordUpdate> {
        for (_, secret) in secrets {
            session.hide(secret);
        }
        if let Login::RefreshToken(secret) | Login::Password(secret) = login {
            session.hide(secret);
        }
        let ask = self.request("login", context.now()).with_secrets(secrets).for_login(login);
        let answer = session.log_in(&ask).await;
        // Until here a signal may end it: nothing is held yet that would be lost. From here it waits for the save.
        let came_at = context.now();
        if answer.as_ref().is_ok_and(|given: &ExchangeInput| given.grant_refused) {
            return Err(Error::refused("the service refused what was given to log in with"));
        }
        let (record, scopes) = (Record::new(&self.name, self.issuer.clone()), ScopeKey::default());
        context.exchange(async { self.change(session, answer, &record, &scopes, came_at) }).await
    }
}

fn hide(session: &mut Session<'_>, record: &Record, secrets: &[(String, Secret)]) {
    for (_, secret) in secrets {
        session.hide(secret);
    }
    record.usable_grant().iter().for_each(|grant| session.hide(grant.secret()));
    record.tokens().for_each(|(_, token)| session.hide(token.secret()));
}

#[async_trait]
impl Provider for Plugin {
    fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// What the plugin can choose is known when it is asked, not here: a held token starts no process.
    fn check(&self, request: &TokenRequest, _now: DateTime<Utc>) -> Result<()> {
        refuse_derived(request)?;
        if request.scopes().iter().any(Derived::is_key) {
            return Err(Error::usage("this is no scope: a plugin gives no AWS credentials and no cookie"));
        }
        Ok(())
    }

    fn sources(&self) -> Vec<String> {
        let secrets = self.secrets.iter().map(|(name, source)| source.describe(&format!("secrets.{name}")));
        secrets.chain([format!("the plugin `{}`", self.program.name())]).collect()
    }

    fn can_renew(&self, record: &Record) -> bool {
        // Before its first exchange nobody knows whether it has a login.
        record.usable_grant().is_some() || record.kept(HAS_LOGIN).and_then(Value::as_bool) != Some(true)
    }

    async fn exchange(
        &self,
        context: &Context,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        self.exchange_once(context, record, request).await
    }

    async fn login(&self, context: &Context, login: &Login) -> Result<RecordUpdate> {
        let secrets = self.secrets(context).await?;
        let (mut session, described) = self.begin(context, None).await?;
        let outcome = match login {
            _ if described.takes(login) => self.logged_in(context, &mut session, login, &secrets).await,
            // That its secrets work is all there is to see.
            _ if described.can("login") => Err(self.not_so(login)),
            Login::Usual => {
                let record = Record::new(&self.name, self.issuer.clone());
                let request = TokenRequest::new();
                self.exchanged(context, &mut session, &described, &record, &request, &secrets).await
            }
            _ => Err(Error::usage("this plugin has no login: what it needs stands in the configuration")),
        };
        let change = session.close(outcome).await?;
        Ok(Self::signed(change, &described))
    }

    async fn revoke(&self, context: &Context, record: &Record) -> Result<Revoked> {
        let secrets = self.secrets(context).await?;
        let (mut session, described) = self.begin(context, Some(record)).await?;
        if !described.can("revoke") {
            return session.close(Ok(Revoked::default())).await;
        }
        hide(&mut session, record, &secrets);
        let ask = self.request("revoke", context.now()).with_secrets(&secrets);
        let ask = ask.with_record(record, KEPT, context.began_at());
        let outcome = context.exchange(session.ask::<RevokedThere>(&ask)).await;
        let outcome = outcome.map(|there| {
            let note = there.note.map(|note| session.redact(&note));
            Revoked { revoked: there.revoked, note }
        });
        session.close(outcome).await
    }
}
