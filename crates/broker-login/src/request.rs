//! Requests that the configuration describes.

use std::collections::{BTreeMap, BTreeSet};

use broker_core::{
    Error, ErrorCode, Fields, HttpRequest, Method, Repeat, Result, Secret, SecretSource, ServiceUrl,
    SettingsError,
};
use serde_json::Value;
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
    query: Vec<(String, Template)>,
    headers: Vec<(String, Template)>,
    body: Body,
    /// The key `scopes` of the table `[mint]`: the scopes that callers can request. If empty, every token is minted.
    pub(crate) scopes: Vec<String>,
}

enum Body {
    None,
    /// The JSON value, and the templates of its texts: see [`texts_in`].
    Json(Value, Vec<(String, Template)>),
    Form(Vec<(String, Template)>),
}

impl Request {
    pub(crate) fn new(
        mut table: Table,
        role: Role,
        secrets: &BTreeMap<String, SecretSource>,
    ) -> Result<Self, SettingsError> {
        let key = |name: &str| format!("{}.{name}", role.key());
        let body = match (table.json.take(), table.form.take()) {
            (Some(_), Some(_)) => {
                return Err(SettingsError::new(key("form"), "a request cannot have both `json` and `form`"));
            }
            (Some(_), _) | (_, Some(_)) if table.method != Verb::Post => {
                let query = key("query");
                let message = format!("`json` and `form` need `method = \"POST\"`; otherwise use `{query}`");
                return Err(SettingsError::new(key("method"), message));
            }
            (Some(json), None) => {
                let mut json = Value::Object(json.0);
                let texts = texts_in(&mut json, "json").into_iter().map(|(name, text)| {
                    let invalid = |why| SettingsError::new(key(&name), why);
                    Ok((name.clone(), Template::parse(text).map_err(invalid)?))
                });
                let texts = texts.collect::<Result<_, _>>()?;
                Body::Json(json, texts)
            }
            (None, Some(form)) => Body::Form(texts(form, &key("form"))?),
            (None, None) => Body::None,
        };
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
        let query = texts(std::mem::take(&mut table.query), &key("query"))?;
        let headers = headers(std::mem::take(&mut table.headers), &key("headers"), table.auth)?;
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
        let request = Self { role, table, url, sample, query, headers, body, scopes };
        request.check_placeholders(secrets)?;
        Ok(request)
    }

    fn check_placeholders(&self, secrets: &BTreeMap<String, SecretSource>) -> Result<(), SettingsError> {
        let name = self.role.key();
        for (part, placeholder) in self.placeholders() {
            let key = format!("{name}.{part}");
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
        let mut all: Vec<_> = self.url.placeholders().map(|it| ("url".to_owned(), it)).collect();
        let form: &[_] = if let Body::Form(form) = &self.body { form } else { &[] };
        for (part, texts) in [("query", &*self.query), ("headers", &*self.headers), ("form", form)] {
            for (name, text) in texts {
                all.extend(text.placeholders().map(|it| (format!("{part}.{name}"), it)));
            }
        }
        if let Body::Json(_, texts) = &self.body {
            for (key, text) in texts {
                all.extend(text.placeholders().map(|it| (key.clone(), it)));
            }
        }
        all
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
        let url = self.fill_url(values)?.with_query(&fill_all(&self.query, values)?);
        let repeat = self.role.repeat();
        let mut request = match &self.body {
            Body::None => {
                let method = match self.table.method {
                    Verb::Post => Method::POST,
                    Verb::Get => Method::GET,
                    Verb::Delete => Method::DELETE,
                };
                HttpRequest::new(method, url, repeat)
            }
            Body::Json(json, texts) => {
                let mut json = ZeroizingJson(json.clone());
                for ((_, place), (_, text)) in texts_in(&mut json.0, "json").into_iter().zip(texts) {
                    *place = std::mem::take(&mut *text.fill(values)?);
                }
                HttpRequest::post_value(url, &json.0, repeat)
            }
            Body::Form(fields) => {
                let fields = fill_all(fields, values)?;
                let fields: Vec<_> =
                    fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                HttpRequest::post_form(url, &fields, repeat)
            }
        };
        if self.role.is_login() {
            request = request.with_salvage(self.refresh_token_path());
        }
        for (name, text) in &self.headers {
            let value = text.fill(values)?;
            // A line end in a value would start another header.
            if !value.chars().all(|c| matches!(c, ' '..='~')) {
                let message = format!("the value of header `{name}` has characters that HTTP does not allow");
                return Err(Error::new(ErrorCode::ConfigInvalidValue, message));
            }
            request = request.with_header(name, &value);
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
        let text = self.url.map(|it| Ok(Zeroizing::new(percent_encoded(&values.get(it)?))))?;
        let invalid = || {
            let message =
                format!("a placeholder's value changes the host or the path of `{}.url`", self.role.key());
            Error::new(ErrorCode::ConfigInvalidValue, message)
        };
        let url = ServiceUrl::parse(&text).map_err(|_| invalid())?;
        // `.` and `..` in a value would remove path segments, even if percent-encoded.
        let same = url.host() == self.sample.host() && depth(&url) == depth(&self.sample);
        if same { Ok(url) } else { Err(invalid()) }
    }
}

/// Converts configured fields to templates. The value of a field is a string, a number or a boolean.
fn texts(fields: Fields, key: &str) -> Result<Vec<(String, Template)>, SettingsError> {
    let text = |(name, value)| {
        let key = format!("{key}.{name}");
        let text = match value {
            Value::String(text) => Template::parse(&text).map_err(|why| SettingsError::new(&key, why))?,
            Value::Number(_) | Value::Bool(_) => Template::literal(value.to_string()),
            _ => return Err(SettingsError::expected(&key, "a string, a number or a boolean")),
        };
        Ok((name, text))
    };
    fields.0.into_iter().map(text).collect()
}

fn headers(fields: Fields, key: &str, auth: Auth) -> Result<Vec<(String, Template)>, SettingsError> {
    let headers = texts(fields, key)?;
    for (name, _) in &headers {
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
    Ok(headers)
}

fn fill_all(texts: &[(String, Template)], values: &Values<'_>) -> Result<Vec<(String, Zeroizing<String>)>> {
    texts.iter().map(|(name, text)| Ok((name.clone(), text.fill(values)?))).collect()
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

fn depth(url: &ServiceUrl) -> usize {
    path(url).matches('/').count()
}

/// Percent-encodes all characters except the unreserved ones (RFC 3986 section 2.3).
fn percent_encoded(text: &str) -> String {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    text.bytes().fold(String::new(), |text, byte| match byte {
        byte if is_unreserved(byte) => text + char::from(byte).encode_utf8(&mut [0; 4]),
        byte => text + &format!("%{byte:02X}"),
    })
}
