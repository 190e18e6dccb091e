//! `kind = "static"`. A key or token that somebody gave, handed out as it is. It stays where it is: the broker's record
//! has when it ends and never the token itself, unless `life` says for how long what was read is to be kept.

mod config;

use std::sync::Arc;

use async_trait::async_trait;
use broker_core::{
    Claims, Context, Error, HttpRequest, Issuer, Kind, Provider, Record, RecordUpdate, Result, Revoked,
    ScopeKey, Secret, SecretSource, Settings, SettingsError, Token, TokenRequest,
};
use chrono::{DateTime, TimeDelta, Utc};

use config::Config;

/// `kind = "static"`.
pub const KIND: Kind = Kind {
    name: "static",
    about: "a key or token that somebody gave, handed out as it is",
    keys: &["token", "username", "life", "expires"],
    secrets: &["token"],
    renamed: &[],
    token_variable: "TOKEN",
    build,
};

/// So long before its end a person is told to get a new one.
const WARNED: TimeDelta = TimeDelta::days(7);

/// Of tokens that live shorter than this, people know that they end soon.
const LONG_LIFE: TimeDelta = TimeDelta::days(30);

fn build(settings: &Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError> {
    let Config { token, username, life, expires } = Config::read(settings)?;
    let token = token.ok_or_else(|| {
        let form = "text, { env = \"NAME\" }, { file = \"PATH\" } or { command = [\"PROGRAM\"] }";
        SettingsError::missing("token", form)
    })?;
    let from = token.describe("token");
    let life = life.map(|life| life.0);
    let issuer = Issuer {
        kind: KIND.name.to_owned(),
        flow: "static".to_owned(),
        endpoint: from.clone(),
        client_id: username.clone(),
        audience: None,
        // What is kept is of this very secret; what is not kept needs no mark.
        secret_fingerprint: life.and_then(|_| token.fingerprint(settings.name(), settings.env())),
    };
    let name = settings.name().to_owned();
    Ok(Arc::new(Static { name, token, from, username, life, expires: expires.map(|end| end.0), issuer }))
}

struct Static {
    name: String,
    token: SecretSource,
    /// Where it is, in words for people.
    from: String,
    username: Option<String>,
    life: Option<TimeDelta>,
    expires: Option<DateTime<Utc>>,
    issuer: Issuer,
}

#[async_trait]
impl Provider for Static {
    fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    fn account(&self) -> Option<&str> {
        self.username.as_deref()
    }

    fn sources(&self) -> Vec<String> {
        vec![self.from.clone()]
    }

    /// A token that ends by itself has to be put there anew by somebody.
    fn can_renew(&self, record: &Record) -> bool {
        let held = record.token(&ScopeKey::default());
        self.life.is_some() || held.is_none_or(|token| token.expires_at().is_none())
    }

    /// Reads it where it is.
    async fn exchange(
        &self,
        context: &Context,
        _record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        let secret = self.read(&self.token.resolve(context, "token").await?)?;
        let now = context.now();
        let claims = Claims::read(&secret);
        let ends = [self.expires, claims.as_ref().and_then(Claims::expires_at)].into_iter().flatten().min();
        let begins = claims.as_ref().and_then(Claims::issued_at).filter(|_| self.expires.is_none());
        if let Some(ends) = ends {
            self.look_ahead(context, begins, ends)?;
        }
        let read_again = self.life.and_then(|life| now.checked_add_signed(life));
        let expires_at = [ends, read_again].into_iter().flatten().min();
        let token = Token::new(self.presented(&secret), now, expires_at);
        let token = if self.username.is_some() { token.with_type("Basic") } else { token };
        let token = if self.life.is_some() { token } else { token.not_stored() };
        Ok(RecordUpdate::token(request.scopes(), token).and_account(self.username.clone()))
    }

    async fn revoke(&self, _context: &Context, _record: &Record) -> Result<Revoked> {
        let from = &self.from;
        let note = format!("the token stays valid at the service, and where it is from: {from}");
        Ok(Revoked { revoked: false, note: Some(note) })
    }
}

impl Static {
    /// The token in what was read: one line, without what editors put around it.
    fn read(&self, text: &Secret) -> Result<Secret> {
        let token = text.expose().trim_start_matches('\u{feff}').trim();
        let problem =
            |what: &str| Err(Error::configuration(format!("there is no token in {}: {what}", self.from)));
        match token {
            "" => problem("it is empty"),
            token if token.contains(['\n', '\r']) => problem("it has several lines").map_err(|error| {
                error.with_hint(
                    "`token` must give one line; kind `exec` with `speaks = \"text\"` takes the first",
                )
            }),
            token if token.contains(char::is_control) => problem("there are control characters in it"),
            token => Ok(Secret::new(token)),
        }
    }

    /// What is handed out: the token, or what follows `Basic` (RFC 7617 section 2).
    fn presented(&self, secret: &Secret) -> Secret {
        let Some(username) = &self.username else { return secret.clone() };
        HttpRequest::basic_pair(username, secret)
    }

    /// An error if it has ended, a word to the person if it soon will.
    fn look_ahead(
        &self,
        context: &Context,
        begins: Option<DateTime<Utc>>,
        ends: DateTime<Utc>,
    ) -> Result<()> {
        let (now, from) = (context.now(), &self.from);
        let at = ends.format("%F %H:%M UTC");
        let says = if self.expires == Some(ends) { ", and `expires`" } else { "" };
        let mend = format!("get a new one from the service and put it there: {from}{says}");
        if ends <= now {
            return Err(Error::login_required(format!("the token has expired at {at}")).with_hint(mend));
        }
        let lives_long = begins.is_some_and(|begins| ends - begins >= LONG_LIFE);
        if ends - now <= WARNED && (self.expires.is_some() || lives_long) {
            context.notify_after_save(format!("{}: the token expires at {at}: {mend}", self.name));
        }
        Ok(())
    }
}
