//! What an answer says: where in it the token stands, and when that ends.

use broker_core::{
    Error, ExpiresAs, HttpResponse, Problem, Refusal, Secret, ServiceUrl, SettingsError, Token, given,
    read_object, value_at,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use crate::table::{Role, Table, wrong};

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
                return Err(wrong(&format!("{name}.{key}"), &what));
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
        match value {
            Some(value) if meant => Ok(value),
            Some(Value::Object(object)) if self.error_in(&object).is_some() => {
                let told = self.error_in(&object).unwrap_or_default();
                read_object(&in_usual_words(response, &told), from, secrets).map(Value::Object)
            }
            _ if self.is_bare_refusal(response) => {
                let bare = HttpResponse { body: b"{}".to_vec().into(), ..copy_of(response) };
                read_object(&bare, from, secrets).map(Value::Object)
            }
            _ => read_object(response, from, secrets).map(Value::Object),
        }
    }

    /// Whether a refusal says that what was sent is wrong or over, and not merely that the request was.
    pub(crate) fn ends_grant(&self, problem: &Problem) -> bool {
        let Problem::Refused(refusal) = problem else { return false };
        let with_success = (200..300).contains(&refusal.status) && self.error.is_some();
        with_success || refusal.is("invalid_grant") || self.is_over(refusal)
    }

    /// Whether the status says that the token which was sent is not taken.
    pub(crate) fn is_over(&self, refusal: &Refusal) -> bool {
        refusal.status == 401 || self.refused.contains(&refusal.status)
    }

    fn is_bare_refusal(&self, response: &HttpResponse) -> bool {
        self.refused.contains(&response.status) && response.body.trim_ascii().is_empty()
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
        whole.and_then(|answer| self.refresh_token(&answer)).or_else(|| given(response, key))
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
                Token::from_answer(response, secret, Some(end - sent_at), life)
            }
            (Some(end), _) => Token::from_answer(response, secret, None, life).ending(end),
            (None, _) => Token::from_answer(response, secret, None, life),
        }
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

/// The same answer with an error as most services write it, so that one place reads, cleans and shows it.
fn in_usual_words(response: &HttpResponse, told: &Map<String, Value>) -> HttpResponse {
    let body = Value::Object(told.clone()).to_string().into_bytes();
    HttpResponse { body: body.into(), ..copy_of(response) }
}

fn copy_of(response: &HttpResponse) -> HttpResponse {
    let HttpResponse { status, headers, sent_at, .. } = response;
    HttpResponse { status: *status, headers: headers.clone(), body: Vec::new().into(), sent_at: *sent_at }
}
