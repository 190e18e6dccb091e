//! What an answer says: where in it the token stands, and when that ends.

use broker_core::{
    Claims, Error, ExpiresAs, HttpResponse, Problem, Refusal, Secret, ServiceUrl, SettingsError, Token,
    read_object, salvage, value_at,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use crate::table::{Role, Table};

/// If neither an answer nor its token nor the configuration says how long that lives.
const DEFAULT_LIFE: TimeDelta = TimeDelta::minutes(5);

/// Where in an answer things stand, as paths of keys.
pub(crate) struct Answer {
    token: String,
    refresh_token: String,
    expires: Option<(String, ExpiresAs)>,
    error: Option<String>,
    account: Option<String>,
    refused: Vec<u16>,
    /// The codes at `error` that mean it.
    error_final: Vec<String>,
    name: &'static str,
    pub(crate) life: Option<TimeDelta>,
}

impl Answer {
    pub(crate) fn new(table: Table, role: Role) -> Result<Self, SettingsError> {
        let login = matches!(role, Role::Login | Role::Refresh);
        let token = login || role == Role::Mint;
        for (key, given, fits) in [
            ("token", table.token.is_some(), token),
            ("refresh_token", table.refresh_token.is_some(), login),
            ("expires", table.expires.is_some(), token),
            ("expires_as", table.expires_as.is_some(), table.expires.is_some()),
            ("account", table.account.is_some(), role == Role::Login),
            ("life", table.life.is_some(), token),
        ] {
            if given && !fits {
                let name = role.key();
                let what = match key {
                    "expires_as" => format!("it says how `{name}.expires` is written, which is missing"),
                    _ => format!("the answer of `{name}` is not looked into for it"),
                };
                return Err(SettingsError::new(format!("{name}.{key}"), what));
            }
        }
        for (key, path) in [
            ("token", table.token.as_ref().filter(|path| !path.is_empty())),
            ("refresh_token", table.refresh_token.as_ref()),
            ("expires", table.expires.as_ref()),
            ("error", table.error.as_ref()),
            ("account", table.account.as_ref()),
        ] {
            if path.is_some_and(|path| path.split('.').any(str::is_empty)) {
                let what = "it must be a path of keys with a dot between two: \"data.token\"";
                return Err(SettingsError::new(format!("{}.{key}", role.key()), what));
            }
        }
        let form = table.expires_as.unwrap_or(ExpiresAs::Seconds);
        Ok(Self {
            token: table.token.unwrap_or_else(|| "access_token".to_owned()),
            refresh_token: table.refresh_token.unwrap_or_else(|| "refresh_token".to_owned()),
            expires: table.expires.map(|path| (path, form)),
            error: table.error,
            account: table.account,
            refused: table.refused.0,
            error_final: table.error_final.0,
            name: role.key(),
            life: table.life.map(|life| life.0),
        })
    }

    /// Reads an answer: what is at the paths of it, or why it is none. `secrets` are those that were sent.
    pub(crate) fn read(
        &self,
        response: &HttpResponse,
        from: &ServiceUrl,
        secrets: &[&Secret],
    ) -> Result<Value, Problem> {
        let succeeded = (200..300).contains(&response.status) && !response.is_html();
        let value = if succeeded { whole(response) } else { None };
        // What is no object is an answer only where the paths say so.
        let meant = match &value {
            Some(Value::String(_)) => self.token.is_empty(),
            Some(Value::Array(_)) => self.token.starts_with(|c: char| c.is_ascii_digit()),
            _ => false,
        };
        if let Some(value) = value.filter(|_| meant) {
            return Ok(value);
        }
        let told = response.json().and_then(|object| self.error_in(&object));
        let read = match told {
            Some(told) if !response.is_html() => read_object(&in_usual_words(response, &told), from, secrets),
            _ if self.is_bare_refusal(response) => {
                let bare = HttpResponse { body: b"{}".to_vec().into(), ..copy_of(response) };
                read_object(&bare, from, secrets)
            }
            _ => read_object(response, from, secrets),
        };
        read.map(Value::Object).map_err(|problem| self.passing(problem, from))
    }

    /// An error that may pass is no refusal: one with a success, or of a service that is known by its codes, whose code is
    /// not known to be final.
    fn passing(&self, problem: Problem, from: &ServiceUrl) -> Problem {
        match problem {
            Problem::Refused(refusal) if !self.is_final(&refusal) => {
                let name = self.name;
                let what = format!("{from} answered with an error: {}", refusal.words);
                Problem::Transient(Error::unavailable(what).with_hint(format!(
                    "try again later; a code that means a refusal stands in `{name}.error_final` of the configuration"
                )))
            }
            problem => problem,
        }
    }

    fn is_final(&self, refusal: &Refusal) -> bool {
        let by_codes = self.error.is_some() && !self.error_final.is_empty() && refusal.code.is_some();
        self.ends_grant(refusal) || !by_codes && !(200..300).contains(&refusal.status)
    }

    /// Whether a refusal says that what was sent is wrong or over, and not merely that the request was.
    pub(crate) fn ends_grant(&self, refusal: &Refusal) -> bool {
        refusal.is("invalid_grant") || self.is_over(refusal)
    }

    /// Whether the status or the code says that the token which was sent is not taken.
    pub(crate) fn is_over(&self, refusal: &Refusal) -> bool {
        refusal.status == 401
            || self.refused.contains(&refusal.status)
            || self.error_final.iter().any(|code| refusal.is(code))
    }

    /// Whether it is a refusal by its status alone: what is in it is no answer, and half of none.
    fn is_bare_refusal(&self, response: &HttpResponse) -> bool {
        self.refused.contains(&response.status) && is_without_object(response)
    }

    /// What the service says at `error`, in the words of [`read_object`].
    fn error_in(&self, object: &Map<String, Value>) -> Option<Map<String, Value>> {
        let object = Value::Object(object.clone());
        let code = match value_at(&object, self.error.as_deref()?)? {
            Value::Null | Value::Bool(false) => return None,
            Value::String(text) if text.is_empty() => return None,
            Value::String(text) => text.clone(),
            Value::Array(list) if list.is_empty() => return None,
            Value::Number(number) if number.as_f64() == Some(0.0) => return None,
            other => other.to_string(),
        };
        let words = ["errorMessage", "error_message", "error_description", "message", "detail", "msg"];
        let told = words.iter().filter_map(|key| object.get(*key)?.as_str()).find(|told| **told != code);
        let told = json!({ "error": code, "message": told });
        if let Value::Object(told) = told { Some(told) } else { None }
    }

    /// The token itself.
    pub(crate) fn token(&self, answer: &Value) -> Option<Secret> {
        text(answer, &self.token).map(Secret::new)
    }

    /// The refresh token.
    pub(crate) fn refresh_token(&self, answer: &Value) -> Option<Secret> {
        text(answer, &self.refresh_token).map(Secret::new)
    }

    /// A refresh token in an answer that is of no use otherwise.
    pub(crate) fn stray_refresh_token(&self, response: &HttpResponse) -> Option<Secret> {
        let succeeded = (200..300).contains(&response.status);
        let whole = whole(response).filter(|_| succeeded);
        let key = self.refresh_token.rsplit('.').next().unwrap_or_default();
        whole.and_then(|answer| self.refresh_token(&answer)).or_else(|| salvage(response, key))
    }

    /// Whose login it is.
    pub(crate) fn account(&self, answer: &Value) -> Option<String> {
        text(answer, self.account.as_deref()?).map(str::to_owned)
    }

    /// The token with its end: as the answer says; else as the token says, if it is a JWT; else after `life`.
    pub(crate) fn dated(
        &self,
        response: &HttpResponse,
        answer: &Value,
        secret: Secret,
        life: Option<TimeDelta>,
    ) -> Token {
        let life = life.unwrap_or(DEFAULT_LIFE);
        let sent_at = response.sent_at;
        let end = self.end(answer, sent_at);
        match (end, &self.expires) {
            (Some(end), Some((_, ExpiresAs::Seconds))) => {
                Token::from_response(response, secret, Some(end - sent_at), life)
            }
            (Some(end), _) => Token::from_response(response, secret, None, life).ending(end),
            (None, _) => Token::from_response(response, secret, None, life),
        }
    }

    /// What a person should know where the answer does not say when the token ends although it should.
    /// `has_life`: whether the configuration says how long it lives.
    pub(crate) fn without_end(&self, answer: &Value, token: &Token, has_life: bool) -> Option<String> {
        let (path, _) = self.expires.as_ref()?;
        let told = value_at(answer, path).is_some_and(|value| !value.is_null());
        let needless = !told && (has_life || Claims::read(token.secret()).is_some());
        if needless || self.end(answer, token.issued_at()).is_some() {
            return None;
        }
        let until = token.expires_at().map(|at| at.format(" until %F %H:%M UTC").to_string());
        let (name, until) = (self.name, until.unwrap_or_default());
        let what = if told { "cannot be read: see" } else { "is not there: see" };
        Some(format!(
            "when the token ends {what} `{name}.expires` and `{name}.expires_as`; it is taken to live{until}"
        ))
    }

    fn end(&self, answer: &Value, sent_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (path, form) = self.expires.as_ref()?;
        form.read(value_at(answer, path)?, sent_at)
    }

    /// What else stands beside the token.
    pub(crate) fn beside(&self, answer: &Value) -> Map<String, Value> {
        let (folder, key) = self.token.rsplit_once('.').unwrap_or(("", &self.token));
        let beside = if folder.is_empty() { Some(answer) } else { value_at(answer, folder) };
        let mut beside = beside.and_then(Value::as_object).cloned().unwrap_or_default();
        beside.remove(key);
        beside
    }

    /// Where the token should be, in words.
    pub(crate) fn without_token(&self, from: &ServiceUrl) -> Error {
        Error::unavailable(match self.token.as_str() {
            "" => format!("{from} answered with something else than a token"),
            path => format!("{from} answered without a token at `{path}`"),
        })
    }
}

/// Text at a path of an answer; of the answer itself if the path is empty.
fn text<'a>(answer: &'a Value, path: &str) -> Option<&'a str> {
    let value = if path.is_empty() { answer } else { value_at(answer, path)? };
    value.as_str().filter(|text| !text.is_empty())
}

/// The body as JSON of any kind.
fn whole(response: &HttpResponse) -> Option<Value> {
    serde_json::from_slice(response.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&response.body)).ok()
}

/// Whether an answer's body is neither a web page nor an object of JSON, nor the beginning of one.
pub(crate) fn is_without_object(response: &HttpResponse) -> bool {
    !response.is_html() && !response.body.trim_ascii_start().starts_with(b"{")
}

/// The same answer with an error as most services write it, so that one place reads, cleans and shows it.
fn in_usual_words(response: &HttpResponse, told: &Map<String, Value>) -> HttpResponse {
    let body = Value::Object(told.clone()).to_string().into_bytes();
    HttpResponse { body: body.into(), ..copy_of(response) }
}

fn copy_of(response: &HttpResponse) -> HttpResponse {
    let HttpResponse { status, headers, sent_at, .. } = response;
    HttpResponse { status: *status, headers: headers.clone(), body: Vec::new().into(), sent_at: *sent_at }
}
