//! Discovery of endpoints from the issuer's metadata: OpenID Connect Discovery 1.0 and RFC 8414.

use std::collections::BTreeMap;

use broker_core::{
    Error, ErrorCode, HttpRequest, HttpResponse, Method, Operation, Problem, Record, Repeat, Result,
    ServiceUrl, read_object, sanitize, without_query,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

/// How long stored metadata is used before the broker requests new metadata.
const FRESH: TimeDelta = TimeDelta::hours(24);

/// How long stored metadata is used after a failed request for new metadata.
const RETRY_INTERVAL: TimeDelta = TimeDelta::minutes(10);

/// How old stored metadata may be for a forced token request, whose first step has just requested the metadata.
const JUST_READ: TimeDelta = TimeDelta::minutes(1);

/// The longest list of authentication methods that is read, and the longest name in it in bytes.
const MOST_NAMES: usize = 32;
const LONGEST_NAME: usize = 64;

/// The code of the error for metadata of another issuer. Discovery fails with this code for no other reason.
pub(crate) const OTHER_ISSUER: ErrorCode = ErrorCode::ConfigInvalidValue;

/// A configured issuer (RFC 8414 section 2). Issuers are compared character by character.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct IssuerUrl(pub(crate) String);

impl TryFrom<String> for IssuerUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if ServiceUrl::parse(&text)?.as_str().contains('?') {
            let text = without_query(&text);
            return Err(format!("`{text}` has a query, which an issuer must not have"));
        }
        if let Some((issuer, _)) = text.split_once("/.well-known/") {
            return Err(format!(
                "`{text}` is the address of the issuer's metadata: set the issuer, such as {issuer}"
            ));
        }
        Ok(Self(text))
    }
}

impl IssuerUrl {
    /// Returns the URLs where the issuer's metadata may be: OpenID Connect Discovery section 4.1, then RFC 8414
    /// section 3.1.
    fn metadata_urls(&self) -> Result<[ServiceUrl; 2], String> {
        let root = self.0.trim_end_matches('/');
        let mut inserted = Url::parse(root).map_err(|error| error.to_string())?;
        let path =
            format!("/.well-known/oauth-authorization-server{}", inserted.path().trim_end_matches('/'));
        inserted.set_path(&path);
        let appended = format!("{root}/.well-known/openid-configuration");
        Ok([ServiceUrl::parse(&appended)?, ServiceUrl::parse(inserted.as_str())?])
    }
}

/// The issuer's metadata as stored in the record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Metadata {
    issuer: String,
    /// When the metadata was requested, by the local clock.
    asked_at: DateTime<Utc>,
    /// When the metadata must be requested again.
    fresh_until: DateTime<Utc>,
    /// The URLs of the endpoints, by their names in the metadata.
    #[serde(flatten)]
    endpoints: BTreeMap<String, Option<String>>,
    /// The client authentication methods of the token endpoint. Empty if the issuer publishes none.
    #[serde(default)]
    token_auth_methods: Vec<String>,
    #[serde(default)]
    revocation_auth_methods: Vec<String>,
    #[serde(default)]
    introspection_auth_methods: Vec<String>,
    /// Whether authorization responses contain `iss` (RFC 9207 section 3).
    pub(crate) sends_issuer: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Token,
    Device,
    Authorization,
    Revocation,
    Introspection,
}

impl Endpoint {
    const ALL: [Self; 5] =
        [Self::Token, Self::Device, Self::Authorization, Self::Revocation, Self::Introspection];

    /// Returns the names of the endpoint's URL in the configuration and in the metadata.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Token => ("token_url", "token_endpoint"),
            Self::Device => ("device_url", "device_authorization_endpoint"),
            Self::Authorization => ("authorization_url", "authorization_endpoint"),
            Self::Revocation => ("revocation_url", "revocation_endpoint"),
            Self::Introspection => ("introspection_url", "introspection_endpoint"),
        }
    }

    /// Returns the configuration key of the endpoint's URL.
    pub(crate) fn key(self) -> &'static str {
        self.names().0
    }
}

impl Metadata {
    /// The record's metadata key that stores the issuer's metadata.
    pub(crate) const KEY: &str = "discovery";

    /// Requests the metadata from the issuer. `keys` are the configuration keys that replace the metadata.
    pub(crate) async fn discover(operation: &Operation, issuer: &IssuerUrl, keys: &[&str]) -> Result<Self> {
        let keys = keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>();
        let without = format!("set {} instead of `issuer`", keys.join(" and "));
        let urls = issuer.metadata_urls();
        let urls = urls.map_err(|why| Error::new(ErrorCode::ConfigInvalid, why))?;
        let mut causes = Vec::new();
        let mut transient = None;
        for url in &urls {
            let request = HttpRequest::new(Method::GET, url.clone(), Repeat::Safe);
            let response = match operation.send(&request).await {
                Ok(response) => response,
                Err(error) if error.code() == ErrorCode::RedirectRefused => {
                    transient = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            operation.nothing_issued();
            match read_object(&response, url, &[]) {
                Ok(object) => match Self::read(&response, &object, issuer, url, &without)? {
                    Some(found) => return Ok(found),
                    // A network's sign-in page may answer with a JSON object of its own (RFC 8908).
                    None if !object.keys().any(|key| key.ends_with("_endpoint")) => {
                        let message = format!("{url} answered without `issuer` and endpoints");
                        transient = Some(Error::new(ErrorCode::BadResponse, message));
                    }
                    None => causes.push(format!("{url}: the response has no `issuer`")),
                },
                Err(Problem::Refused(refusal)) => causes.push(format!("{url}: {}", refusal.words)),
                // A response such as 404 with a text that is not JSON means that the metadata is not at this URL.
                Err(Problem::Transient(_))
                    if matches!(response.status, 404 | 405 | 410) && !response.is_html() =>
                {
                    causes.push(format!("{url}: HTTP {}", response.status));
                }
                Err(Problem::Transient(error)) if response.is_transient() => return Err(error),
                // Some services answer unknown URLs with a web page. The loop tries the next metadata URL.
                Err(Problem::Transient(error)) => transient = Some(error),
            }
        }
        Err(match transient {
            Some(error) if error.code() == ErrorCode::RedirectRefused => error.with_hint(format!(
                "if the network has a sign-in page, sign in there; otherwise set `issuer` to the address that the service itself publishes, without redirect, or {without}"
            )),
            Some(error) => error.with_hint(format!(
                "check that the path of `issuer` is complete, and sign in to the network if it has a sign-in page; or {without}"
            )),
            None => Error::new(
                ErrorCode::ConfigInvalid,
                format!("the issuer does not publish its endpoints ({})", causes.join("; ")),
            )
            .with_hint(format!("correct `issuer`, or {without}")),
        })
    }

    /// Reads the metadata and checks the issuer (RFC 8414 section 3.3). Returns `None` if the response names no
    /// issuer.
    fn read(
        response: &HttpResponse,
        object: &Map<String, Value>,
        issuer: &IssuerUrl,
        url: &ServiceUrl,
        without: &str,
    ) -> Result<Option<Self>> {
        let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
        let methods = |key: &str| object.get(key).map(names).unwrap_or_default();
        let Some(found) = text("issuer") else { return Ok(None) };
        if found != issuer.0 {
            return Err(other_issuer(&found, issuer, url, without));
        }
        let asked_at = response.sent_at;
        Ok(Some(Self {
            issuer: found,
            asked_at,
            fresh_until: broker_core::later(asked_at, FRESH),
            endpoints: Endpoint::ALL.map(|each| (each.names().1.to_owned(), text(each.names().1))).into(),
            token_auth_methods: methods("token_endpoint_auth_methods_supported"),
            revocation_auth_methods: methods("revocation_endpoint_auth_methods_supported"),
            introspection_auth_methods: methods("introspection_endpoint_auth_methods_supported"),
            sends_issuer: object.get("authorization_response_iss_parameter_supported")
                == Some(&Value::Bool(true)),
        }))
    }

    /// Returns the stored metadata of this issuer, even if the metadata is old.
    pub(crate) fn stored(record: &Record, issuer: Option<&IssuerUrl>) -> Option<Self> {
        let stored = Self::deserialize(record.metadata(Self::KEY)?).ok()?;
        issuer.is_some_and(|issuer| issuer.0 == stored.issuer).then_some(stored)
    }

    /// Whether the metadata can be used at `now`: only for a minute if the caller forces a new token.
    pub(crate) fn is_fresh(&self, now: DateTime<Utc>, forced: bool) -> bool {
        let longest = if forced { JUST_READ } else { FRESH };
        let until = self.fresh_until.min(broker_core::later(self.asked_at, longest));
        // If `asked_at` is in the future, the clock was set back.
        now < until && now >= broker_core::later(self.asked_at, -TimeDelta::minutes(1))
    }

    /// Postpones the next request for the metadata after a request failed at `now`.
    pub(crate) fn postponed(self, now: DateTime<Utc>) -> Self {
        Self { asked_at: now, fresh_until: broker_core::later(now, RETRY_INTERVAL), ..self }
    }

    /// Returns the metadata as JSON for the record.
    pub(crate) fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Returns the client authentication methods that the issuer publishes for an endpoint.
    pub(crate) fn auth_methods(&self, endpoint: Endpoint) -> &[String] {
        match endpoint {
            Endpoint::Revocation => &self.revocation_auth_methods,
            Endpoint::Introspection => &self.introspection_auth_methods,
            Endpoint::Token | Endpoint::Device | Endpoint::Authorization => &self.token_auth_methods,
        }
    }

    /// Returns the URL of an endpoint, if the metadata contains one.
    pub(crate) fn url(&self, endpoint: Endpoint) -> Result<Option<ServiceUrl>> {
        let Some(Some(text)) = self.endpoints.get(endpoint.names().1) else { return Ok(None) };
        ServiceUrl::parse(text).map(Some).map_err(|why| {
            let key = endpoint.key();
            let message = format!("the issuer publishes an invalid endpoint URL: {}", sanitize(&why));
            Error::new(ErrorCode::ConfigInvalid, message).with_hint(format!("set `{key}` of this provider"))
        })
    }
}

/// Returns the error for metadata of the issuer `found`. The hint names only an issuer that the user can configure.
fn other_issuer(found: &str, issuer: &IssuerUrl, url: &ServiceUrl, without: &str) -> Error {
    let shown = sanitize(found);
    let message = format!("{url} belongs to the issuer {shown:?}, but `issuer` is {:?}", issuer.0);
    let hint = match public_url(found).filter(|_| shown == found) {
        // Microsoft publishes one document for all tenants.
        None if found.contains(['{', '}']) => {
            format!("set `issuer` to the address of one tenant, with the tenant's ID, or {without}")
        }
        Some(public) if public.host() == url.host() => format!(
            "the two issuers must be identical: to use the issuer of the metadata, set issuer = \"{found}\"; or {without}"
        ),
        Some(public) if !public.is_loopback() => {
            format!(
                "if this is another address of the same service, set issuer = \"{found}\"; otherwise {without}"
            )
        }
        _ => format!(
            "the service does not know its public address, perhaps behind a proxy: correct its host name there, or {without}"
        ),
    };
    Error::new(OTHER_ISSUER, message).with_hint(hint)
}

/// Parses an issuer that other machines can reach, or this machine. Hosts without a dot are names inside a network.
fn public_url(issuer: &str) -> Option<ServiceUrl> {
    let IssuerUrl(issuer) = IssuerUrl::try_from(issuer.to_owned()).ok()?;
    let url = ServiceUrl::parse(&issuer).ok().filter(|_| !issuer.contains(['"', '\\', '{', '}']))?;
    (url.is_loopback() || url.host().contains('.')).then_some(url)
}

/// Returns the strings of a JSON array, or the words of a string. Drops long ones, which are not names of methods.
fn names(value: &Value) -> Vec<String> {
    let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let words = items.iter().filter_map(Value::as_str).flat_map(|text| text.split([' ', ',']));
    let names = words.filter(|word| !word.is_empty()).map(sanitize);
    names.filter(|name| name.len() <= LONGEST_NAME).take(MOST_NAMES).collect()
}
