//! `kind = "login"`. A login of one or two requests, described in the configuration: where it goes, what is in it, and
//! where in the answer the token stands.

mod answer;
mod config;
mod exchanges;
mod json;
mod marks;
mod mint;
mod request;
mod table;
mod template;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use broker_core::{
    Context, Error, Issuer, Kind, Login, Provider, Record, RecordUpdate, Result, Revoked, ScopeKey, Secret,
    SecretSource, Settings, SettingsError, Token, TokenRequest, refuse_derived, refuse_lifetime,
    refuse_scopes,
};
use chrono::{DateTime, TimeDelta, Utc};

use config::{Config, Requests};
use exchanges::{Who, key_of_first};
use marks::Marks;
use mint::Choice;
use request::Request;

/// `kind = "login"`.
pub const KIND: Kind = Kind {
    name: "login",
    about: "a login of one or two requests, described in the configuration",
    keys: &["username", "password", "secrets", "login", "refresh", "mint", "revoke", "life"],
    secrets: &["password", "secrets"],
    renamed: &[],
    token_variable: "TOKEN",
    build,
};

/// Between the broker's question and the exchange that it is about.
const SOON: TimeDelta = TimeDelta::minutes(1);

fn build(settings: &Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError> {
    let mut config = Config::read(settings)?;
    let requests = config.requests()?;
    let life = config.life.map(|life| life.0);
    let endpoint = requests.login.endpoint();
    let others = [&requests.refresh, &requests.mint, &requests.revoke].into_iter().flatten();
    let others: Vec<_> = others.map(Request::path).collect();
    let issuer = Issuer {
        kind: KIND.name.to_owned(),
        flow: "login".to_owned(),
        endpoint: endpoint.clone(),
        client_id: None,
        // What is held is sent there: never to another host than it was had for.
        audience: Some(others.join(" ")).filter(|others| !others.is_empty()),
        secret_fingerprint: secret_fingerprint(&config, &requests, settings),
    };
    let choice = requests.mint.as_ref().map(|mint| Choice::of(mint, life));
    let login_key = match &choice {
        Some(choice) if choice.scopes.is_empty() => key_of_first(),
        _ => ScopeKey::default(),
    };
    let marks = Marks::of(settings, login_key != ScopeKey::default())?;
    Ok(Arc::new(LoginProvider {
        name: settings.name().to_owned(),
        username: config.username,
        password: config.password,
        secrets: config.secrets,
        requests,
        choice,
        life,
        login_key,
        marks,
        issuer,
    }))
}

/// Another secret is another account, where a login has no more than that.
fn secret_fingerprint(config: &Config, requests: &Requests, settings: &Settings<'_>) -> Option<String> {
    let (salt, env) = (requests.login.endpoint(), settings.env());
    let mut marks = Vec::new();
    for name in requests.login.secrets() {
        marks.push(config.secrets.get(&name)?.fingerprint(&salt, env)?);
    }
    if requests.login.needs() == (false, true)
        && let Some(password) = &config.password
    {
        // A person may have chosen it: few bits, which confirm no guess.
        marks.push(password.fingerprint(&salt, env)?.chars().take(4).collect());
    }
    Some(marks.concat()).filter(|marks| !marks.is_empty())
}

struct LoginProvider {
    name: String,
    username: Option<String>,
    password: Option<SecretSource>,
    secrets: BTreeMap<String, SecretSource>,
    requests: Requests,
    /// What can be chosen, if there is a request that mints.
    choice: Option<Choice>,
    life: Option<TimeDelta>,
    /// Under which the login's token is held.
    login_key: ScopeKey,
    marks: Marks,
    issuer: Issuer,
}

#[async_trait]
impl Provider for LoginProvider {
    fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    fn account(&self) -> Option<&str> {
        self.username.as_deref()
    }

    fn check(&self, request: &TokenRequest, now: DateTime<Utc>) -> Result<()> {
        if let Some(choice) = &self.choice {
            return choice.check(request, now);
        }
        refuse_derived(request)?;
        refuse_scopes(request)?;
        refuse_lifetime(request)
    }

    fn hosts(&self) -> Vec<String> {
        vec![self.requests.login.host()]
    }

    fn sources(&self) -> Vec<String> {
        let (_, needs_password) = self.requests.login.needs();
        let password =
            self.password.as_ref().filter(|_| needs_password).map(|source| source.describe("password"));
        let secrets = self.requests.login.secrets();
        let secret = |name: &String| Some(self.secrets.get(name)?.describe(&format!("secrets.{name}")));
        let own: Vec<_> = password.into_iter().chain(secrets.iter().filter_map(secret)).collect();
        if self.logs_in_by_itself() {
            own
        } else {
            [vec![format!("a login (broker login {})", self.name)], own].concat()
        }
    }

    fn accepts(&self, token: &Token) -> bool {
        self.marks.accept(token)
    }

    fn can_renew(&self, record: &Record) -> bool {
        self.requests.refresh.is_some() && record.usable_grant().is_some() || self.logs_in_by_itself()
    }

    fn spends_grant(&self, record: &Record, request: &TokenRequest, now: DateTime<Utc>) -> bool {
        // The exchange decides a little later: what is about to end then may not mint any more.
        self.mints_with(record, request, now + SOON).is_none()
            && self.requests.refresh.is_some()
            && record.usable_grant().is_some()
    }

    /// The login's token mints, if one is to be minted; else a refresh token refreshes; else what is configured logs
    /// in; else a person.
    async fn exchange(
        &self,
        context: &Context,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        if let Some((mint, access)) = self.mints_with(record, request, context.now()) {
            return self.mint(context, mint, record, access, request).await;
        }
        if let (Some(refresh), Some(grant)) = (&self.requests.refresh, record.usable_grant()) {
            return self.renew(context, refresh, record, grant).await;
        }
        if self.logs_in_by_itself() {
            let password = match &self.password {
                Some(source) if self.requests.login.needs().1 => {
                    Some(source.resolve(context, "password").await?)
                }
                _ => None,
            };
            let who = Who { username: self.username.as_deref(), password: password.as_ref() };
            return self.log_in(context, &who, Some((record, request))).await;
        }
        Err(match (record.grant(), record.token(&self.login_key)) {
            (None, Some(_)) => {
                Error::login_required("the login is over: its token has ended, and nothing renews it")
            }
            _ => record.login_missing(),
        })
    }

    async fn login(&self, context: &Context, login: &Login) -> Result<RecordUpdate> {
        let (needs_username, needs_password) = self.requests.login.needs();
        // What can be had without a person comes first: nobody types for nothing.
        let password = match (login, &self.password) {
            (Login::RefreshToken(_), _) => {
                return Err(Error::usage("this kind logs in anew: leave out `--refresh-token-stdin`"));
            }
            (Login::Password(_), _) if !needs_password => {
                return Err(Error::usage("this login has no password: leave out `--password-stdin`"));
            }
            (Login::Password(password), _) => Some(password.clone()),
            (_, Some(SecretSource::Env(name))) if context.env().var(name).is_none() => None,
            (_, Some(source)) if needs_password => Some(source.resolve(context, "password").await?),
            _ => None,
        };
        let asks_password = needs_password && password.is_none();
        let username = match &self.username {
            Some(username) => Some(username.clone()),
            None if needs_username => Some(self.ask_username(context, asks_password).await?),
            None => None,
        };
        let password = match password {
            None if asks_password => Some(self.ask_password(context, username.as_deref()).await?),
            password => password,
        };
        self.log_in(context, &Who { username: username.as_deref(), password: password.as_ref() }, None).await
    }

    /// A refresh token that can be revoked is worth a token to do it with.
    fn needed_to_revoke(&self, record: &Record) -> Option<TokenRequest> {
        let revoke = self.requests.revoke.as_ref()?;
        let needed = revoke.needs_token() && revoke.needs_refresh_token() && record.usable_grant().is_some();
        needed.then(|| self.login_key.iter().fold(TokenRequest::new(), TokenRequest::scope))
    }

    async fn revoke(&self, context: &Context, record: &Record) -> Result<Revoked> {
        self.end(context, record).await
    }
}

impl LoginProvider {
    /// The request that mints what is asked for and the login's token for it, if one is to be minted and the token is
    /// at hand.
    fn mints_with<'a>(
        &'a self,
        record: &'a Record,
        request: &TokenRequest,
        now: DateTime<Utc>,
    ) -> Option<((&'a Request, &'a Choice), &'a Token)> {
        let (mint, choice) = self.requests.mint.as_ref().zip(self.choice.as_ref())?;
        let minted = choice.covers(request) && *request.scopes() != self.login_key;
        let access = record.usable_token(&self.login_key, now).filter(|_| minted)?;
        Some(((mint, choice), access))
    }

    /// Whether no person is needed: all that a login needs is configured.
    fn logs_in_by_itself(&self) -> bool {
        let (username, password) = self.requests.login.needs();
        (!username || self.username.is_some()) && (!password || self.password.is_some())
    }

    async fn ask_username(&self, context: &Context, asks_password: bool) -> Result<String> {
        let asked = context.prompt().ask(&format!("{} username", self.name)).await;
        let name = asked.map_err(|error| {
            let hint = "set `username` of this provider in the configuration".to_owned();
            let password =
                if asks_password { format!("; {}", self.ways_of_password()) } else { String::new() };
            error.with_hint(hint + &password)
        })?;
        match name.trim() {
            "" => Err(Error::usage("a username is needed")),
            name => Ok(name.to_owned()),
        }
    }

    async fn ask_password(&self, context: &Context, username: Option<&str>) -> Result<Secret> {
        let of = username.map(|name| format!(" of {name}")).unwrap_or_default();
        let asked = context.prompt().ask_hidden(&format!("{} password{of}", self.name)).await;
        asked.map_err(|error| error.with_hint(self.ways_of_password()))
    }

    /// How the password can be given where nobody sits.
    fn ways_of_password(&self) -> String {
        let other = match &self.password {
            Some(SecretSource::Env(name)) => format!("set {name}"),
            _ => "set `password` of this provider in the configuration".to_owned(),
        };
        format!("give the password with --password-stdin, or {other}")
    }
}
