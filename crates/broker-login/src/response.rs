//! Reads responses of the service: the token, its expiry and errors, at configured paths.

use broker_core::{
    Claims, Credential, Error, ErrorCode, Expiry, FinalCodes, HttpResponse, Problem, Refusal, Secret,
    SettingsError, Token, read_object, repeats_secret, value_at, without_token,
};
use chrono::TimeDelta;
use serde_json::{Map, Value, json};

use crate::config::{Role, Table};
use crate::request::Request;

/// The lifetime of a token if neither the response, a JWT nor the configuration contains one.
pub(crate) const DEFAULT_LIFETIME: TimeDelta = TimeDelta::minutes(5);

impl Request {
    /// Checks the keys of the table that say how to read the response.
    pub(crate) fn check_response_keys(table: &Table, role: Role) -> Result<(), SettingsError> {
        let name = role.key();
        let is_login = role.is_login();
        let has_token = role != Role::Revoke;
        let unread = |key: &str| {
            let why = format!("the configuration table `{name}` does not support the key `{key}`");
            Err(SettingsError::new(format!("{name}.{key}"), why))
        };
        for (key, path, is_read) in [
            ("token", &table.token, has_token),
            ("refresh_token", &table.refresh_token, is_login),
            ("expires", &table.expires, has_token),
            ("error", &table.error, true),
            ("account", &table.account, role == Role::Login),
        ] {
            let Some(path) = path else { continue };
            if !is_read {
                return unread(key);
            }
            // `token = ""` means that the whole response body is the token.
            if path.split('.').any(str::is_empty) && !(key == "token" && path.is_empty()) {
                let form = "the path of a field in the response: \"data.token\"";
                return Err(SettingsError::expected(format!("{name}.{key}"), form));
            }
        }
        if table.lifetime.is_some() && !has_token {
            return unread("life");
        }
        if table.expires_as.is_some() && table.expires.is_none() {
            let why = format!("`expires_as` needs `{name}.expires`, the path of the expiry in the response");
            return Err(SettingsError::new(format!("{name}.expires_as"), why));
        }
        Ok(())
    }

    /// Returns the path of the token in the response.
    fn token_path(&self) -> &str {
        self.table.token.as_deref().unwrap_or("access_token")
    }

    /// Returns the path of the refresh token in the response.
    pub(crate) fn refresh_token_path(&self) -> &str {
        self.table.refresh_token.as_deref().unwrap_or("refresh_token")
    }

    /// Returns the configured lifetime of a token whose response states none.
    pub(crate) fn lifetime(&self) -> Option<TimeDelta> {
        self.table.lifetime.map(|lifetime| lifetime.0)
    }

    /// Reads a response. The request's `secrets` are redacted in errors.
    pub(crate) fn read(&self, response: &HttpResponse, secrets: &[&Secret]) -> Result<Value, Problem> {
        let from = &self.sample;
        let succeeded = (200..300).contains(&response.status) && !response.is_html();
        let value = if succeeded { response.json_value() } else { None };
        // The body is a string if the token's path is empty, and an array if the path starts with an index.
        let is_expected = match &value {
            Some(Value::String(_)) => self.token_path().is_empty(),
            Some(Value::Array(_)) => self.token_path().starts_with(|c: char| c.is_ascii_digit()),
            _ => false,
        };
        if let Some(value) = value.filter(|_| is_expected) {
            return Ok(value);
        }
        let error = response.json().and_then(|object| self.error_in(&object));
        let error = match error.filter(|_| !response.is_html()) {
            // The setting `refused` lists the status of a response without a JSON object.
            None if self.table.refused.contains(&response.status) && has_no_object(response) => {
                Some(json!({}))
            }
            error => error,
        };
        let replaced = error.map(|error| response.clone().with_body(error.to_string().into_bytes()));
        let result = read_object(replaced.as_ref().unwrap_or(response), from, secrets);
        let read = result.and_then(|object| {
            let body = Value::Object(object.clone());
            let has_token = self.token(&body).is_some() || self.refresh_token(&body).is_some();
            let is_complete = has_token || self.role == Role::Revoke;
            let missing =
                || without_token(response, &object, self.missing_token().message().to_owned(), secrets);
            if is_complete { Ok(body) } else { Err(missing()) }
        });
        read.map_err(|problem| self.check_final(problem))
    }

    /// Converts a refusal to a transient error, unless the service itself sent it: see [`Self::is_final`].
    fn check_final(&self, problem: Problem) -> Problem {
        match problem {
            Problem::Refused(refusal) if !self.is_final(&refusal) => {
                let (name, error) = (self.role.key(), refusal.transient(&self.sample));
                let setting = match &refusal.code {
                    Some(_) => format!("add its code to `{name}.error_final`"),
                    None => format!("add {} to `{name}.refused`", refusal.status),
                };
                Problem::Transient(if error.retry_after().is_some() {
                    error
                } else {
                    error.with_hint(format!("try again later; if this error is final, {setting}"))
                })
            }
            problem => problem,
        }
    }

    /// Whether the service itself refused the request. A gateway may have sent other refusals of a login or refresh:
    /// neither a login nor a password is lost by the HTTP status alone.
    fn is_final(&self, refusal: &Refusal) -> bool {
        if self.role.is_login() {
            return self.ends(refusal) || refusal.is_standard();
        }
        let by_codes =
            self.table.error.is_some() && !self.table.error_final.0.is_empty() && refusal.code.is_some();
        self.rejects_token(refusal) || !by_codes && !(200..300).contains(&refusal.status)
    }

    /// Whether the service says that the credential in the request is invalid, by more than status 401: the password in a
    /// login, else the refresh token or the access token.
    pub(crate) fn ends(&self, refusal: &Refusal) -> bool {
        let credential =
            if self.role == Role::Login { Credential::Password } else { Credential::RefreshToken };
        let codes = FinalCodes::any(&self.table.error_final.0);
        self.table.refused.contains(&refusal.status) || codes.end(refusal, credential)
    }

    /// Whether a refusal means that the access token in the request is invalid.
    pub(crate) fn rejects_token(&self, refusal: &Refusal) -> bool {
        refusal.status == 401 || self.ends(refusal)
    }

    /// Returns the error at the configured path, as the JSON object that [`read_object`] expects.
    fn error_in(&self, object: &Map<String, Value>) -> Option<Value> {
        let object = Value::Object(object.clone());
        let code = match value_at(&object, self.table.error.as_deref()?)? {
            Value::Null | Value::Bool(false) => return None,
            Value::String(text) if text.is_empty() => return None,
            Value::String(text) => text.clone(),
            Value::Array(list) if list.is_empty() => return None,
            Value::Number(number) if number.as_f64() == Some(0.0) => return None,
            other => other.to_string(),
        };
        let keys = ["errorMessage", "error_message", "error_description", "message", "detail", "msg"];
        let message = keys.iter().filter_map(|key| object.get(*key)?.as_str()).find(|text| **text != code);
        Some(json!({ "error": code, "message": message }))
    }

    pub(crate) fn token(&self, body: &Value) -> Option<Secret> {
        text_at(body, self.token_path()).map(Secret::new)
    }

    pub(crate) fn refresh_token(&self, body: &Value) -> Option<Secret> {
        text_at(body, self.refresh_token_path()).map(Secret::new)
    }

    /// Returns the account's name, unless it repeats one of the request's `secrets`.
    pub(crate) fn account(&self, body: &Value, secrets: &[&Secret]) -> Option<String> {
        let name = text_at(body, self.table.account.as_deref()?)?;
        (!repeats_secret(name, secrets)).then(|| name.to_owned())
    }

    /// Returns the warning that the configured expiry could not be read. `None` if the response states no expiry, and a
    /// configured lifetime or a JWT replaces it.
    pub(crate) fn expiry_warning(&self, body: &Value, token: &Token) -> Option<String> {
        let path = self.table.expires.as_deref()?;
        let is_stated = value_at(body, path).is_some_and(|value| !Expiry::is_unstated(value));
        if !is_stated && (self.table.lifetime.is_some() || Claims::read(token.secret()).is_some()) {
            return None;
        }
        let text = "; the broker assumes that the token expires at %F %H:%M UTC";
        let assumed = token.expires_at().map_or_else(String::new, |at| at.format(text).to_string());
        let name = self.role.key();
        let problem = if !is_stated {
            format!("the response has no expiry at the path set by `{name}.expires`")
        } else if self.table.expires_as.is_some() {
            format!("the value at `{name}.expires` does not have the format set by `{name}.expires_as`")
        } else {
            format!("the value at `{name}.expires` has an unknown format; set `{name}.expires_as`")
        };
        Some(problem + &assumed)
    }

    /// Returns the expiries at the configured path, or in the usual fields beside the token.
    pub(crate) fn expiry(&self, body: &Value, response: &HttpResponse) -> Vec<Expiry> {
        let Some(path) = &self.table.expires else {
            return Expiry::beside(self.token_path(), body, response.sent_at);
        };
        let read = |value| match &self.table.expires_as {
            Some(format) => format.read(value),
            None => Expiry::read(path, value, response.sent_at),
        };
        value_at(body, path).and_then(read).into_iter().collect()
    }

    /// Returns the other fields of the JSON object that contains the token, for the token's details. Omits fields that
    /// repeat one of the request's `secrets`.
    pub(crate) fn details(&self, body: &Value, secrets: &[&Secret]) -> Map<String, Value> {
        let token = self.token_path();
        let (parent, key) = token.rsplit_once('.').unwrap_or(("", token));
        let object = if parent.is_empty() { Some(body) } else { value_at(body, parent) };
        let mut details = object.and_then(Value::as_object).cloned().unwrap_or_default();
        details.remove(key);
        details.retain(|name, value| !repeats_secret(&format!("{name}: {value}"), secrets));
        details
    }

    /// Returns the error for a successful response without a token.
    pub(crate) fn missing_token(&self) -> Error {
        let from = &self.sample;
        let message = match self.token_path() {
            "" => format!("the response of {from} is not a token"),
            path => format!("the response of {from} has no token at `{path}`"),
        };
        Error::new(ErrorCode::BadResponse, message)
    }
}

/// Returns the text at `path` in the response body. An empty path means the whole body.
fn text_at<'a>(body: &'a Value, path: &str) -> Option<&'a str> {
    let value = if path.is_empty() { body } else { value_at(body, path)? };
    value.as_str().filter(|text| !text.is_empty())
}

/// Whether the body is neither a web page nor the beginning of a JSON object.
pub(crate) fn has_no_object(response: &HttpResponse) -> bool {
    !response.is_html() && !response.body.trim_ascii_start().starts_with(b"{")
}
