//! Requests that the configuration describes.

use std::collections::{BTreeMap, BTreeSet};

use broker_core::{
    Error, ErrorCode, Fields, HttpRequest, Method, Repeat, Result, Secret, SecretSource, ServiceUrl,
    SettingsError,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::config::{Auth, Role, Table, Verb};
use crate::template::{Placeholder, Template, Values, ZeroizingJson, texts_in};

impl Role {
    /// Whether a request of this role, such as login or revoke, can contain the placeholder.
    fn allows(self, placeholder: &Placeholder) -> bool {
        match placeholder {
            Placeholder::Username | Placeholder::Secret(_) => true,
            Placeholder::Password => self == Self::Login,
            Placeholder::RefreshToken => matches!(self, Self::Refresh | Self::Revoke),
            Placeholder::Token => matches!(self, Self::Mint | Self::Revoke),
            Placeholder::Scope | Placeholder::Name | Placeholder::Expires(_) => self == Self::Mint,
        }
    }

    fn repeat(self) -> Repeat {
        match self {
            Self::Login | Self::Mint => Repeat::IfNotActed,
            Self::Refresh => Repeat::SpendsGrant,
            Self::Revoke => Repeat::Safe,
        }
    }
}

pub(crate) struct Request {
    pub(crate) role: Role,
    /// The configuration table. The URL, the fields and the scopes are taken out of it.
    pub(crate) table: Table,
    url: Template,
    /// The URL with sample values instead of secrets, for messages.
    pub(crate) sample: ServiceUrl,
    /// The tables `query`, `headers`, `json` and `form`.
    fields: Value,
    /// The texts in `fields` with their configuration keys: see [`texts_in`].
    texts: Vec<(String, Template)>,
    /// The key `scopes` of the table `[mint]`: the scopes that callers can request. If empty, every token is minted.
    pub(crate) scopes: Vec<String>,
}

impl Request {
    pub(crate) fn new(
        mut table: Table,
        role: Role,
        secrets: &BTreeMap<String, SecretSource>,
    ) -> Result<Self, SettingsError> {
        let key = |name: &str| format!("{}.{name}", role.key());
        let has_body = table.json.is_some() || table.form.is_some();
        if table.json.is_some() && table.form.is_some() {
            return Err(SettingsError::new(key("form"), "a request cannot have both `json` and `form`"));
        } else if has_body && table.method != Verb::Post {
            let query = key("query");
            let message = format!("`json` and `form` need `method = \"POST\"`; otherwise use `{query}`");
            return Err(SettingsError::new(key("method"), message));
        }
        let is_allowed = match table.auth {
            Auth::None => true,
            Auth::Bearer => matches!(role, Role::Mint | Role::Revoke),
            Auth::Basic => role == Role::Login,
        };
        if !is_allowed {
            let message = "`auth = \"bearer\"` is only allowed in `mint` and `revoke`, `auth = \"basic\"` only in \
                           `login`";
            return Err(SettingsError::new(key("auth"), message));
        }
        let invalid_url = |message: String| SettingsError::new(key("url"), message);
        let url = table.url.take().ok_or_else(|| SettingsError::missing(key("url"), "https://HOST/PATH"))?;
        let url = Template::parse(&url).map_err(invalid_url)?;
        let sample = sample(&url).map_err(invalid_url)?;
        check_headers(&table.headers, &key("headers"), table.auth)?;
        let (query, headers) = (std::mem::take(&mut table.query), std::mem::take(&mut table.headers));
        let mut fields = Map::new();
        for (name, table) in [("query", Some(query)), ("headers", Some(headers)), ("form", table.form.take())]
        {
            let Some(mut table) = table else { continue };
            scalars_as_text(&mut table, &key(name))?;
            fields.insert(name.to_owned(), Value::Object(table.0));
        }
        fields.extend(table.json.take().map(|json| ("json".to_owned(), Value::Object(json.0))));
        let mut fields = Value::Object(fields);
        let template = |(key, text): (String, &mut String)| match Template::parse(text) {
            Ok(template) => Ok((key, template)),
            Err(why) => Err(SettingsError::new(key, why)),
        };
        let texts = texts_in(&mut fields, role.key()).into_iter().map(template).collect::<Result<_, _>>()?;
        let scopes = table.scopes.take().map(|scopes| scopes.0);
        if scopes.is_some() && role != Role::Mint {
            return Err(SettingsError::new(key("scopes"), "the key `scopes` is only allowed in `mint`"));
        }
        let is_word = |word: &String| !word.is_empty() && word.chars().all(|c| c.is_ascii_graphic());
        if scopes.as_ref().is_some_and(|scopes| scopes.is_empty() || !scopes.iter().all(is_word)) {
            return Err(SettingsError::expected(key("scopes"), "a list of scopes: [\"stac\"]"));
        }
        let scopes = scopes.unwrap_or_default();
        Self::check_response_keys(&table, role)?;
        let request = Self { role, table, url, sample, fields, texts, scopes };
        request.check_placeholders(secrets)?;
        Ok(request)
    }

    fn check_placeholders(&self, secrets: &BTreeMap<String, SecretSource>) -> Result<(), SettingsError> {
        let name = self.role.key();
        for (key, placeholder) in self.placeholders() {
            if !self.role.allows(placeholder) {
                let message = format!("`{name}` cannot contain the placeholder {}", placeholder.text());
                return Err(SettingsError::new(&key, message));
            }
            if let Placeholder::Secret(secret) = placeholder
                && !secrets.contains_key(secret)
            {
                let message =
                    format!("`secrets.{secret}` is missing: secrets = {{ {secret} = {{ env = \"NAME\" }} }}");
                return Err(SettingsError::new(&key, message));
            }
        }
        if self.role == Role::Refresh && !self.needs_refresh_token() {
            return Err(SettingsError::new(name, "`refresh` needs the placeholder {refresh_token}"));
        }
        Ok(())
    }

    /// Returns each placeholder with its configuration key.
    pub(crate) fn placeholders(&self) -> Vec<(String, &Placeholder)> {
        let texts = self.texts.iter().map(|(key, text)| (key.clone(), text));
        let all = [(format!("{}.url", self.role.key()), &self.url)].into_iter().chain(texts);
        all.flat_map(|(key, text)| text.placeholders().map(move |it| (key.clone(), it))).collect()
    }

    pub(crate) fn uses(&self, wanted: &Placeholder) -> bool {
        self.placeholders().iter().any(|(_, placeholder)| *placeholder == wanted)
    }

    pub(crate) fn needs_username(&self) -> bool {
        self.is_basic() || self.uses(&Placeholder::Username)
    }

    pub(crate) fn needs_password(&self) -> bool {
        self.is_basic() || self.uses(&Placeholder::Password)
    }

    pub(crate) fn is_basic(&self) -> bool {
        self.table.auth == Auth::Basic
    }

    pub(crate) fn needs_token(&self) -> bool {
        self.table.auth == Auth::Bearer || self.uses(&Placeholder::Token)
    }

    /// Returns the names of the secrets that the request's placeholders `{secrets.NAME}` use.
    pub(crate) fn secrets(&self) -> BTreeSet<String> {
        let name = |(_, placeholder): (String, &Placeholder)| match placeholder {
            Placeholder::Secret(name) => Some(name.clone()),
            _ => None,
        };
        self.placeholders().into_iter().filter_map(name).collect()
    }

    pub(crate) fn needs_refresh_token(&self) -> bool {
        self.uses(&Placeholder::RefreshToken)
    }

    /// Returns the configured URL, which identifies the issuer of stored tokens.
    pub(crate) fn endpoint(&self) -> String {
        self.url.source()
    }

    /// Returns the configured URL without the query.
    pub(crate) fn path(&self) -> String {
        self.url.source().split('?').next().unwrap_or_default().to_owned()
    }

    /// Fills the placeholders. Also returns the HTTP Basic credentials of `values`, to redact them in errors.
    pub(crate) fn fill(&self, values: &Values<'_>) -> Result<(HttpRequest, Option<Secret>)> {
        let url = self.fill_url(values)?;
        let mut fields = ZeroizingJson(self.fields.clone());
        for ((_, place), (_, text)) in texts_in(&mut fields.0, "").into_iter().zip(&self.texts) {
            *place = std::mem::take(&mut *text.fill(values)?);
        }
        let table = |name| fields.0.get(name).and_then(Value::as_object).into_iter().flatten();
        let texts = |name| table(name).filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
        let query: Vec<_> = texts("query").map(|(name, value)| (name.to_owned(), value)).collect();
        let (url, repeat) = (url.with_query(&query), self.role.repeat());
        let mut request = match (fields.0.get("json"), fields.0.get("form"), self.table.method) {
            (Some(json), ..) => HttpRequest::post_value(url, json, repeat),
            (_, Some(_), _) => HttpRequest::post_form(url, &texts("form").collect::<Vec<_>>(), repeat),
            (.., Verb::Post) => HttpRequest::new(Method::POST, url, repeat),
            (.., Verb::Get) => HttpRequest::new(Method::GET, url, repeat),
            (.., Verb::Delete) => HttpRequest::new(Method::DELETE, url, repeat),
        };
        if self.role.is_login() {
            request = request.with_salvage(self.refresh_token_path());
        }
        for (name, value) in texts("headers") {
            // A line end in a value would start another header.
            if !value.chars().all(|c| matches!(c, ' '..='~')) {
                let message = format!("the value of header `{name}` has characters that HTTP does not allow");
                return Err(Error::new(ErrorCode::ConfigInvalidValue, message));
            }
            request = request.with_header(name, value);
        }
        Ok(match (self.table.auth, values.token) {
            (Auth::Bearer, Some(token)) => (request.with_bearer(token), None),
            (Auth::Basic, _) => {
                let pair = basic(values)?;
                let value = Zeroizing::new(format!("Basic {}", pair.expose()));
                (request.with_header("authorization", &value), Some(pair))
            }
            _ => (request, None),
        })
    }

    /// Inserts the values into the URL. Fails if a value changes the host or adds path segments.
    fn fill_url(&self, values: &Values<'_>) -> Result<ServiceUrl> {
        let encoded = |text: &str| Zeroizing::new(utf8_percent_encode(text, RESERVED).to_string());
        let text = self.url.map(|it| Ok(encoded(&values.get(it)?)))?;
        let invalid = || {
            let message =
                format!("a placeholder's value changes the host or the path of `{}.url`", self.role.key());
            Error::new(ErrorCode::ConfigInvalidValue, message)
        };
        let url = ServiceUrl::parse(&text).map_err(|_| invalid())?;
        // `.` and `..` in a value would remove path segments, even if percent-encoded.
        let depth = |url| path(url).matches('/').count();
        let same = url.host() == self.sample.host() && depth(&url) == depth(&self.sample);
        if same { Ok(url) } else { Err(invalid()) }
    }
}

/// Converts the numbers and booleans of a table to text.
fn scalars_as_text(table: &mut Fields, key: &str) -> Result<(), SettingsError> {
    for (name, value) in &mut table.0 {
        match value {
            Value::String(_) => {}
            Value::Number(_) | Value::Bool(_) => *value = Value::String(value.to_string()),
            _ => {
                let form = "a string, a number or a boolean";
                return Err(SettingsError::expected(format!("{key}.{name}"), form));
            }
        }
    }
    Ok(())
}

fn check_headers(headers: &Fields, key: &str, auth: Auth) -> Result<(), SettingsError> {
    for name in headers.0.keys() {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let reserved = ["host", "connection", "content-length", "content-type", "transfer-encoding"];
        let problem = match name.to_ascii_lowercase().as_str() {
            "" => "the name is empty",
            lower if !lower.chars().all(is_allowed) => {
                "a header name may contain only letters, digits, `-` and `_`"
            }
            lower if reserved.contains(&lower) => "the broker sets this header",
            "authorization" if auth != Auth::None => "the key `auth` sets this header",
            _ => continue,
        };
        return Err(SettingsError::new(format!("{key}.{name}"), format!("header `{name}`: {problem}")));
    }
    Ok(())
}

/// Returns the credentials of HTTP Basic (RFC 7617 section 2).
fn basic(values: &Values<'_>) -> Result<Secret> {
    let [username, password] = [Placeholder::Username, Placeholder::Password].map(|it| values.get(&it));
    let (username, password) = (username?, Secret::new(password?.as_str()));
    if username.contains(':') {
        return Err(Error::new(ErrorCode::ConfigInvalidValue, NO_COLON));
    }
    Ok(HttpRequest::basic_pair(&username, &password))
}

/// The error for a username that contains the separator of RFC 7617 section 2.
pub(crate) const NO_COLON: &str = "HTTP Basic does not allow a colon in the username";

/// All ASCII characters except the unreserved ones (RFC 3986 section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Replaces secrets in a sample of a configured URL. A sample with this text in the path is refused.
const SECRET_SAMPLE: &str = "0-a-secret-0";

/// Fills the URL with sample values. Fails if a value could change the host, or if the path contains secrets.
fn sample(url: &Template) -> Result<ServiceUrl, String> {
    let source = url.source();
    let names_host = |head: &str| head.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    if source.split_once('{').is_some_and(|(head, _)| !names_host(head)) {
        return Err("a URL can contain placeholders only in the path and the query".to_owned());
    }
    let value = |placeholder: &Placeholder| {
        Ok(Zeroizing::new(if placeholder.is_secret() { SECRET_SAMPLE } else { "x" }.to_owned()))
    };
    let text = url.map(value).map_err(|error| error.message().to_owned())?;
    let sample = ServiceUrl::parse(&text)?;
    if path(&sample).contains(SECRET_SAMPLE) {
        return Err(
            "the URL path must not contain secrets, because messages show the URL: use `query`, `headers` or the body"
                .to_owned(),
        );
    }
    Ok(sample)
}

fn path(url: &ServiceUrl) -> &str {
    url.as_str().split('?').next().unwrap_or_default()
}
