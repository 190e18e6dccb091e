//! A request that the configuration describes: checked once, filled each time.

use std::collections::BTreeMap;

use broker_core::{
    Error, Fields, HttpRequest, Method, Repeat, Result, Secret, SecretSource, ServiceUrl, SettingsError,
};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::answer::Answer;
use crate::json::{Node, Wiped};
use crate::table::{Auth, Role, Table, Verb};
use crate::template::{Placeholder, Template, Values};

impl Role {
    /// Whether it is there when this request is made.
    fn has(self, hole: &Placeholder) -> bool {
        match hole {
            Placeholder::Username | Placeholder::Secret(_) => true,
            Placeholder::Password => self == Self::Login,
            Placeholder::RefreshToken => matches!(self, Self::Refresh | Self::Revoke),
            Placeholder::Token => matches!(self, Self::Mint | Self::Revoke),
            Placeholder::Scope | Placeholder::Name | Placeholder::Expires(_) => self == Self::Mint,
        }
    }

    /// What it may be repeated after.
    fn repeat(self) -> Repeat {
        match self {
            Self::Login | Self::Mint => Repeat::IfNotActed,
            Self::Refresh => Repeat::SpendsGrant,
            Self::Revoke => Repeat::Safe,
        }
    }
}

/// A request, and how its answer is read.
pub(crate) struct Request {
    role: Role,
    method: Method,
    url: Template,
    /// The URL with something harmless in the place of each placeholder.
    sample: ServiceUrl,
    query: Vec<(String, Template)>,
    headers: Vec<(String, Template)>,
    body: Body,
    auth: Auth,
    /// For which scopes it mints; for all that is asked if there are none.
    pub(crate) scopes: Vec<String>,
    pub(crate) answer: Answer,
}

enum Body {
    None,
    Json(Node),
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
                return Err(SettingsError::new(key("form"), "a body is `json` or `form`, not both"));
            }
            (Some(_), _) | (_, Some(_)) if table.method != Verb::Post => {
                let name = role.key();
                let what =
                    format!("only a POST has a body: set `{name}.method`, or put it into `{name}.query`");
                return Err(SettingsError::new(key("method"), what));
            }
            (Some(json), None) => Body::Json(Node::of(Value::Object(json.0), &key("json"))?),
            (None, Some(form)) => Body::Form(texts(form, &key("form"))?),
            (None, None) => Body::None,
        };
        let fits = match table.auth {
            Auth::None => true,
            Auth::Bearer => matches!(role, Role::Mint | Role::Revoke),
            Auth::Basic => role == Role::Login,
        };
        if !fits {
            let what = "\"bearer\" sends the login's token, for `mint` and `revoke`; \"basic\" sends username \
                        and password, for `login`";
            return Err(SettingsError::new(key("auth"), what));
        }
        let url_is = |what: &str| SettingsError::new(key("url"), what);
        let url = table.url.take().ok_or_else(|| SettingsError::missing(key("url"), "https://HOST/PATH"))?;
        let url = Template::parse(&url).map_err(|what| url_is(&what))?;
        let sample = sample(&url).map_err(|what| url_is(&what))?;
        let query = texts(std::mem::take(&mut table.query), &key("query"))?;
        let headers = headers(std::mem::take(&mut table.headers), &key("headers"), table.auth)?;
        let (method, auth) = (table.method.method(), table.auth);
        let scopes = table.scopes.take().map(|scopes| scopes.0);
        if scopes.is_some() && role != Role::Mint {
            return Err(SettingsError::new(key("scopes"), "only `mint` has scopes"));
        }
        let is_word = |word: &String| !word.is_empty() && word.chars().all(|c| c.is_ascii_graphic());
        if scopes.as_ref().is_some_and(|scopes| scopes.is_empty() || !scopes.iter().all(is_word)) {
            return Err(SettingsError::expected(key("scopes"), "a list of words: [\"stac\"]"));
        }
        let scopes = scopes.unwrap_or_default();
        let answer = Answer::new(table, role)?;
        let request = Self { role, method, url, sample, query, headers, body, auth, scopes, answer };
        request.check_holes(secrets)?;
        Ok(request)
    }

    fn check_holes(&self, secrets: &BTreeMap<String, SecretSource>) -> Result<(), SettingsError> {
        let name = self.role.key();
        for (part, hole) in self.holes() {
            let key = format!("{name}.{part}");
            if !self.role.has(hole) {
                let what =
                    format!("there is no {} yet when `{name}` is asked, or it is not for it", hole.shown());
                return Err(SettingsError::new(&key, what));
            }
            if let Placeholder::Secret(secret) = hole
                && !secrets.contains_key(secret)
            {
                let what =
                    format!("`secrets` has no `{secret}`: secrets = {{ {secret} = {{ env = \"NAME\" }} }}");
                return Err(SettingsError::new(&key, what));
            }
        }
        if self.role == Role::Refresh && !self.needs_refresh_token() {
            return Err(SettingsError::new(name, "{refresh_token} stands nowhere in it"));
        }
        Ok(())
    }

    /// Every placeholder, and the key that it is in.
    fn holes(&self) -> Vec<(String, &Placeholder)> {
        let mut all: Vec<_> = self.url.holes().map(|hole| ("url".to_owned(), hole)).collect();
        let form: &[_] = if let Body::Form(form) = &self.body { form } else { &[] };
        for (part, texts) in [("query", &*self.query), ("headers", &*self.headers), ("form", form)] {
            for (name, text) in texts {
                all.extend(text.holes().map(|hole| (format!("{part}.{name}"), hole)));
            }
        }
        if let Body::Json(node) = &self.body {
            node.holes("json", &mut all);
        }
        all
    }

    /// Whether such a placeholder stands in it.
    pub(crate) fn uses(&self, wanted: impl Fn(&Placeholder) -> bool) -> bool {
        self.holes().iter().any(|(_, hole)| wanted(hole))
    }

    /// Whether it needs a username, a password.
    pub(crate) fn needs(&self) -> (bool, bool) {
        let basic = self.auth == Auth::Basic;
        let username = basic || self.uses(|hole| *hole == Placeholder::Username);
        (username, basic || self.uses(|hole| *hole == Placeholder::Password))
    }

    /// Whether username and password go by HTTP Basic.
    pub(crate) fn is_basic(&self) -> bool {
        self.auth == Auth::Basic
    }

    /// Whether it needs the login's token.
    pub(crate) fn needs_token(&self) -> bool {
        self.auth == Auth::Bearer || self.uses(|hole| *hole == Placeholder::Token)
    }

    /// The `secrets` that it needs.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let mut names: Vec<_> = self
            .holes()
            .into_iter()
            .filter_map(
                |(_, hole)| if let Placeholder::Secret(name) = hole { Some(name.clone()) } else { None },
            )
            .collect();
        names.sort();
        names.dedup();
        names
    }

    pub(crate) fn needs_refresh_token(&self) -> bool {
        self.uses(|hole| *hole == Placeholder::RefreshToken)
    }

    pub(crate) fn all_holes(&self) -> Vec<&Placeholder> {
        self.holes().into_iter().map(|(_, hole)| hole).collect()
    }

    /// Where it goes, without what is put into it.
    pub(crate) fn place(&self) -> ServiceUrl {
        self.sample.clone()
    }

    /// Where it goes, as it is configured: part of who gives the tokens.
    pub(crate) fn endpoint(&self) -> String {
        self.url.written()
    }

    /// Likewise, without the query.
    pub(crate) fn path(&self) -> String {
        self.url.written().split('?').next().unwrap_or_default().to_owned()
    }

    pub(crate) fn host(&self) -> String {
        self.sample.host()
    }

    /// The request with these values in it, and the secrets that a service may repeat besides those.
    pub(crate) fn fill(&self, values: &Values<'_>) -> Result<(HttpRequest, Option<Secret>)> {
        let url = self.fill_url(values)?.with_query(&fill_all(&self.query, values)?);
        let repeat = self.role.repeat();
        let mut request = match &self.body {
            Body::None => HttpRequest::new(self.method, url, repeat),
            Body::Json(node) => HttpRequest::post_value(url, &Wiped(node.fill(values)?).0, repeat),
            Body::Form(fields) => {
                let fields = fill_all(fields, values)?;
                let fields: Vec<_> =
                    fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                HttpRequest::post_form(url, &fields, repeat)
            }
        };
        for (name, text) in &self.headers {
            let value = text.fill(values)?;
            // A line end would begin a header of its own.
            if !value.chars().all(|c| matches!(c, ' '..='~')) {
                let what = format!("the header `{name}` would have characters that no header can carry");
                return Err(Error::configuration(what));
            }
            request = request.with_header(name, &value);
        }
        Ok(match (self.auth, values.token) {
            (Auth::Bearer, Some(token)) => (request.with_bearer(token), None),
            (Auth::Basic, _) => {
                let pair = basic(values)?;
                let value = Zeroizing::new(format!("Basic {}", pair.expose()));
                (request.with_header("authorization", &value), Some(pair))
            }
            _ => (request, None),
        })
    }

    /// A value changes neither the host nor the path around it.
    fn fill_url(&self, values: &Values<'_>) -> Result<ServiceUrl> {
        let text = self.url.map(|hole| Ok(Zeroizing::new(percent_encoded(&values.of(hole)?))))?;
        let unfit =
            || Error::configuration(format!("a value does not fit into the URL of `{}`", self.role.key()));
        let url = ServiceUrl::parse(&text).map_err(|_| unfit())?;
        // `.` and `..` are no values but ways, also where they are encoded.
        let same = url.host() == self.sample.host() && depth(&url) == depth(&self.sample);
        if same { Ok(url) } else { Err(unfit()) }
    }
}

/// Fields that are texts, numbers or booleans.
fn texts(fields: Fields, key: &str) -> Result<Vec<(String, Template)>, SettingsError> {
    let text = |(name, value)| {
        let key = format!("{key}.{name}");
        let text = match value {
            Value::String(text) => Template::parse(&text).map_err(|what| SettingsError::new(&key, what))?,
            Value::Number(_) | Value::Bool(_) => Template::plain(value.to_string()),
            _ => return Err(SettingsError::new(&key, "it must be text, a number or a boolean")),
        };
        Ok((name, text))
    };
    fields.0.into_iter().map(text).collect()
}

fn headers(fields: Fields, key: &str, auth: Auth) -> Result<Vec<(String, Template)>, SettingsError> {
    let headers = texts(fields, key)?;
    for (name, _) in &headers {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let ours = ["host", "connection", "content-length", "content-type", "transfer-encoding"];
        let what = match name.to_ascii_lowercase().as_str() {
            "" => "a header has a name",
            lower if !lower.chars().all(plain) => "this is no name of a header",
            lower if ours.contains(&lower) => "this header follows from the request",
            "authorization" if auth != Auth::None => "`auth` sets this header",
            _ => continue,
        };
        return Err(SettingsError::new(format!("{key}.{name}"), what));
    }
    Ok(headers)
}

fn fill_all(texts: &[(String, Template)], values: &Values<'_>) -> Result<Vec<(String, Zeroizing<String>)>> {
    texts.iter().map(|(name, text)| Ok((name.clone(), text.fill(values)?))).collect()
}

/// What follows `Basic` (RFC 7617 section 2).
fn basic(values: &Values<'_>) -> Result<Secret> {
    let [username, password] = [Placeholder::Username, Placeholder::Password].map(|hole| values.of(&hole));
    let (username, password) = (username?, Secret::new(password?.as_str()));
    if username.contains(':') {
        return Err(Error::configuration(NO_COLON));
    }
    Ok(HttpRequest::basic_pair(&username, &password))
}

/// RFC 7617 section 2.
pub(crate) const NO_COLON: &str = "a username with a colon in it cannot be sent by HTTP Basic";

/// Something that no URL has by itself.
const SAMPLE: (&str, &str) = ("x", "0-a-secret-0");

/// The URL with harmless values; an error if it is none, or if values could say where it goes, or secrets be seen.
fn sample(url: &Template) -> Result<ServiceUrl, String> {
    let (head, _) =
        url.written().split_once('{').map(|(head, tail)| (head.to_owned(), tail.to_owned())).unzip();
    let names_host = |head: &str| head.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    if head.is_some_and(|head| !names_host(&head)) {
        return Err("no placeholder can stand before the path: it says where secrets go".to_owned());
    }
    let value = |hole: &Placeholder| {
        Ok(Zeroizing::new(if hole.is_secret() { SAMPLE.1 } else { SAMPLE.0 }.to_owned()))
    };
    let text = url.map(value).map_err(|error| error.message().to_owned())?;
    let sample = ServiceUrl::parse(&text)?;
    if path(&sample).contains(SAMPLE.1) {
        return Err(
            "a secret cannot stand in the path, which is seen in messages: put it into `query`, `headers` \
                    or the body"
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

/// All but what is unreserved (RFC 3986 section 2.3).
fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    text.bytes().fold(String::new(), |text, byte| match byte {
        byte if plain(byte) => text + char::from(byte).encode_utf8(&mut [0; 4]),
        byte => text + &format!("%{byte:02X}"),
    })
}
