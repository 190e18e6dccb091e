//! The four requests, each one exchange.

use std::collections::BTreeMap;

use broker_core::{
    Context, Error, ErrorKind, Grant, HttpResponse, Problem, Record, RecordUpdate, Result, Revoked, ScopeKey,
    Secret, Token, TokenRequest, fingerprint, sanitize,
};
use serde_json::{Map, Value};

use crate::LoginProvider;
use crate::answer::is_without_object;
use crate::mint::{Choice, names};
use crate::request::Request;
use crate::template::Values;

/// Who logs in.
pub(crate) struct Who<'a> {
    pub(crate) username: Option<&'a str>,
    pub(crate) password: Option<&'a Secret>,
}

/// An answer that was read.
struct Read {
    response: HttpResponse,
    answer: Value,
}

/// Why there is none.
enum Unread {
    /// It is not what was asked for.
    Not(HttpResponse, Problem),
    Error(Error),
}

impl LoginProvider {
    /// Logs in; with what a person said, or by itself where `record` does not say that the service has refused that.
    pub(crate) async fn log_in(
        &self,
        context: &Context,
        who: &Who<'_>,
        known: Option<(&Record, &TokenRequest)>,
    ) -> Result<RecordUpdate> {
        let request = &self.requests.login;
        let secrets = self.secrets_of(context, request).await?;
        let values = Values { username: who.username, password: who.password, secrets, ..Values::default() };
        let mark = self.fingerprint(&values);
        if let Some((record, request)) = known {
            record.check_password(&mark, request)?;
        }
        let read = self.ask(context, request, &values).await.map_err(|unread| match unread {
            Unread::Not(_, problem) => problem.error("the service refused the login"),
            Unread::Error(error) => error,
        });
        let read = read.map_err(|error| match error.kind() {
            // Wrong passwords lock accounts: this one is not tried again by itself.
            ErrorKind::Refused => error.with_secret_fingerprint(mark),
            _ => error,
        })?;
        let account = who.username.map(str::to_owned).or_else(|| request.answer.account(&read.answer));
        Ok(self.taken(context, request, &read, None)?.and_account(account))
    }

    /// Renews. A grant that is refused for good is no error.
    pub(crate) async fn renew(
        &self,
        context: &Context,
        request: &Request,
        record: &Record,
        grant: &Grant,
    ) -> Result<RecordUpdate> {
        let refresh = grant.secret();
        let secrets = self.secrets_of(context, request).await?;
        let values = Values {
            username: self.username_of(record),
            refresh_token: Some(refresh),
            secrets,
            ..Values::default()
        };
        match self.ask(context, request, &values).await {
            Ok(read) => self.taken(context, request, &read, Some(refresh)),
            Err(Unread::Error(error)) => Err(error),
            Err(Unread::Not(response, problem)) => {
                let ends_grant = |problem: &Problem| match problem {
                    Problem::Refused(refusal) => request.answer.ends_grant(refusal),
                    Problem::Transient(_) => false,
                };
                let stray = request.answer.stray_refresh_token(&response);
                match stray.filter(|new| !new.same_as(refresh)) {
                    // The service has acted, and this is the login now.
                    Some(new) => Ok(RecordUpdate::grant(new, response.sent_at)),
                    None if ends_grant(&problem) => Ok(RecordUpdate::grant_refused()),
                    None => Err(problem.error("the service refused to renew")),
                }
            }
        }
    }

    /// Mints with the login's token.
    pub(crate) async fn mint(
        &self,
        context: &Context,
        (request, choice): (&Request, &Choice),
        record: &Record,
        access: &Token,
        asked: &TokenRequest,
    ) -> Result<RecordUpdate> {
        let now = context.now();
        let end = choice.end(asked, now)?;
        let name = asked.asked_name().map_or_else(|| context.token_name(), str::to_owned);
        let values = Values {
            username: self.username_of(record),
            token: Some(access.secret()),
            scope: asked.scopes().as_str(),
            name: &name,
            expires: end,
            secrets: self.secrets_of(context, request).await?,
            ..Values::default()
        };
        let Read { response, answer } = match self.ask(context, request, &values).await {
            Ok(read) => read,
            // Not the token it should be: forgotten, and the next exchange gets another, unless this is one.
            Err(Unread::Not(_, Problem::Refused(refusal)))
                if request.answer.is_over(&refusal) && access.issued_at() <= context.began_at() =>
            {
                return Ok(RecordUpdate::drop_token(&self.login_key));
            }
            Err(Unread::Not(_, problem)) => {
                return Err(unknown(problem.error("the service refused to make a token"), choice, &name));
            }
            Err(Unread::Error(error)) => return Err(unknown(error, choice, &name)),
        };
        let Some(secret) = request.answer.token(&answer) else {
            return Err(unknown(request.answer.without_token(&request.place()), choice, &name));
        };
        let life = end.map(|end| end - response.sent_at).or(request.answer.life).or(self.life);
        let mut token = request.answer.dated(&response, &answer, secret, life);
        self.tell_of_end(context, request, &answer, &token);
        if !asked.scopes().is_empty() {
            token = token.with_scope(Some(asked.scopes().as_str().to_owned()));
        }
        let mut details = Map::new();
        if choice.named {
            details = request.answer.beside(&answer);
            details.entry("name").or_insert_with(|| Value::from(name.as_str()));
            let until = token
                .expires_at()
                .map_or_else(String::new, |at| at.format(", until %F %H:%M UTC").to_string());
            let days = if choice.in_days() { "; the service counts whole UTC days" } else { "" };
            context.notify_after_save(format!("made a token named {}{until}{days}", sanitize(&name)));
        }
        Ok(RecordUpdate::token(asked.scopes(), self.marks.noted(token, details, true)))
    }

    /// Ends the login at the service, if the configuration says how.
    pub(crate) async fn end(&self, context: &Context, record: &Record) -> Result<Revoked> {
        let left = match names(record).as_slice() {
            [] => None,
            names => Some(format!("still valid at the service, if not deleted there: {}", names.join(", "))),
        };
        let note = |note: &str| match &left {
            Some(left) => Some(format!("{note}; {left}")),
            None => Some(note.to_owned()),
        };
        let nothing = |why: &str| Ok(Revoked { revoked: false, note: note(why) });
        let Some(request) = &self.requests.revoke else {
            return nothing("no `revoke` is configured: what was given ends by itself at the service");
        };
        let access = record.usable_token(&self.login_key, context.now());
        let refresh = record.usable_grant().map(Grant::secret);
        if request.needs_token() && access.is_none() || request.needs_refresh_token() && refresh.is_none() {
            return nothing("what the service would revoke is over already");
        }
        let values = Values {
            username: self.username_of(record),
            token: access.map(Token::secret),
            refresh_token: refresh,
            secrets: self.secrets_of(context, request).await?,
            ..Values::default()
        };
        match self.ask(context, request, &values).await {
            Ok(_) => Ok(Revoked { revoked: true, note: left }),
            // Answers to this are often empty, or a word.
            Err(Unread::Not(response, _))
                if (200..300).contains(&response.status) && is_without_object(&response) =>
            {
                Ok(Revoked { revoked: true, note: left })
            }
            Err(Unread::Not(_, Problem::Refused(refusal)))
                if refusal.status == 404 || request.answer.is_over(&refusal) =>
            {
                nothing("the service knew it no longer")
            }
            Err(Unread::Not(_, problem)) => Err(problem.error("the service did not revoke it")),
            Err(Unread::Error(error)) => Err(error),
        }
    }

    async fn ask(&self, context: &Context, request: &Request, values: &Values<'_>) -> Result<Read, Unread> {
        let (filled, pair) = request.fill(values).map_err(Unread::Error)?;
        let response = context.send(&filled).await.map_err(Unread::Error)?;
        let secrets: Vec<_> = values.secrets().into_iter().chain(&pair).collect();
        match request.answer.read(&response, &request.place(), &secrets) {
            Ok(answer) => Ok(Read { response, answer }),
            Err(problem) => Err(Unread::Not(response, problem)),
        }
    }

    /// Reads what a login or a refresh gave. A refresh token other than the one that was `sent` is kept even without a
    /// token: the old one may be spent, and this is the login now.
    fn taken(
        &self,
        context: &Context,
        request: &Request,
        Read { response, answer }: &Read,
        sent: Option<&Secret>,
    ) -> Result<RecordUpdate> {
        let access = request.answer.token(answer);
        let refresh = self.requests.refresh.as_ref().and_then(|_| request.answer.refresh_token(answer));
        let rotated = refresh.as_ref().is_some_and(|new| !sent.is_some_and(|sent| new.same_as(sent)));
        if access.is_none() && !rotated {
            return Err(request.answer.without_token(&request.place()));
        }
        let mut change = RecordUpdate::default();
        if let Some(access) = access {
            let life = request.answer.life.or(self.life);
            let token = request.answer.dated(response, answer, access, life);
            self.tell_of_end(context, request, answer, &token);
            change = change.and_token(&self.login_key, self.marks.noted(token, Map::new(), false));
        }
        Ok(match refresh {
            Some(refresh) => change.and_grant(refresh, response.sent_at),
            None => change,
        })
    }

    fn tell_of_end(&self, context: &Context, request: &Request, answer: &Value, token: &Token) {
        let has_life = request.answer.life.or(self.life).is_some();
        if let Some(warning) = request.answer.without_end(answer, token, has_life) {
            context.notify_after_save(format!("{}: {warning}", self.name));
        }
    }

    async fn secrets_of(&self, context: &Context, request: &Request) -> Result<BTreeMap<String, Secret>> {
        let mut secrets = BTreeMap::new();
        for name in request.secrets() {
            if let Some(source) = self.secrets.get(&name) {
                let secret = source.resolve(context, &format!("secrets.{name}")).await?;
                secrets.insert(name, secret);
            }
        }
        Ok(secrets)
    }

    fn username_of<'a>(&'a self, record: &'a Record) -> Option<&'a str> {
        self.username.as_deref().or(record.account())
    }

    /// Two bytes: people's passwords can be guessed, and this must confirm no guess.
    fn fingerprint(&self, values: &Values<'_>) -> String {
        let salt = format!("{} {}", self.issuer.endpoint, values.username.unwrap_or_default());
        let all: Vec<_> = values.secrets().into_iter().map(Secret::expose).collect();
        fingerprint(&salt, &Secret::new(all.join("\0")), 16)
    }
}

/// The key of the login's token, where what callers get is minted with it. No scope can be asked for there.
pub(crate) fn key_of_first() -> ScopeKey {
    ScopeKey::new(["(login)"])
}

/// After most faults nobody knows whether a token was made.
fn unknown(error: Error, choice: &Choice, name: &str) -> Error {
    let silent = error.kind() == ErrorKind::Unavailable && error.retry_after().is_none();
    if silent && choice.named {
        let name = sanitize(name);
        return error.with_hint(format!("if a token named {name} was made, the account lists it; try again"));
    }
    error
}
