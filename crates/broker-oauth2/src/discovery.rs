//! Where a service has its endpoints: OpenID Connect Discovery 1.0 and RFC 8414.

use broker_core::{
    Context, Error, HttpRequest, HttpResponse, Method, Problem, Record, Repeat, Result, ServiceUrl,
    read_object, sanitize,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

/// What a service says of itself is asked for again after a day.
const FRESH: TimeDelta = TimeDelta::hours(24);

/// Where it could not be had, what was known before serves for so long until the next try.
const RESPITE: TimeDelta = TimeDelta::minutes(10);

/// So long nobody asks again who wants everything anew: one exchange comes after the other.
const JUST_NOW: TimeDelta = TimeDelta::minutes(1);

/// An issuer as it is configured (RFC 8414 section 2): its text is compared, not its meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IssuerUrl(String);

impl IssuerUrl {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let url = ServiceUrl::parse(text)?;
        if url.as_str().contains('?') {
            return Err(format!("`{text}` has a query (?…), which no issuer has"));
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Where its metadata is: OpenID Connect Discovery section 4.1, then RFC 8414 section 3.1.
    fn places(&self) -> Result<[ServiceUrl; 2], String> {
        let root = self.0.trim_end_matches('/');
        let mut inserted = Url::parse(root).map_err(|error| error.to_string())?;
        let path =
            format!("/.well-known/oauth-authorization-server{}", inserted.path().trim_end_matches('/'));
        inserted.set_path(&path);
        let appended = format!("{root}/.well-known/openid-configuration");
        Ok([ServiceUrl::parse(&appended)?, ServiceUrl::parse(inserted.as_str())?])
    }
}

/// What a service says of itself, as far as it is needed; and as a record keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Metadata {
    /// Who said it.
    issuer: String,
    /// When it was last asked, by this machine's clock.
    asked_at: DateTime<Utc>,
    /// Until when nobody asks again, later than usual where the service could not be had.
    fresh_until: DateTime<Utc>,
    token_endpoint: Option<String>,
    device_authorization_endpoint: Option<String>,
    authorization_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    introspection_endpoint: Option<String>,
    /// RFC 9207 section 3.
    pub(crate) sends_issuer: bool,
}

/// An endpoint that a service can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Token,
    Device,
    Authorization,
    Revocation,
    Introspection,
}

impl Endpoint {
    /// The key of the configuration that names it.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Token => "token_url",
            Self::Device => "device_url",
            Self::Authorization => "authorization_url",
            Self::Revocation => "revocation_url",
            Self::Introspection => "introspection_url",
        }
    }
}

/// Why nothing was found.
pub(crate) enum Undiscovered {
    /// Another issuer answers there: nothing of its own is used, nor what was known before.
    OtherIssuer(Error),
    Other(Error),
}

impl Undiscovered {
    pub(crate) fn error(self) -> Error {
        match self {
            Self::OtherIssuer(error) | Self::Other(error) => error,
        }
    }
}

impl Metadata {
    /// The key of a record that it is kept under.
    pub(crate) const KEPT: &str = "discovery";

    /// Asks the service.
    pub(crate) async fn discover(context: &Context, issuer: &IssuerUrl) -> Result<Self, Undiscovered> {
        let places = issuer.places().map_err(|why| Undiscovered::Other(Error::configuration(why)))?;
        let mut why = Vec::new();
        let mut transient = None;
        for place in &places {
            let request = HttpRequest::new(Method::Get, place.clone(), Repeat::Safe);
            let response = match context.send(&request).await {
                Ok(response) => response,
                // No fault beneath it: a redirect, the one answer that is not handed on.
                Err(error) if error.is_transient() && std::error::Error::source(&error).is_none() => {
                    transient = Some(error);
                    continue;
                }
                Err(error) => return Err(Undiscovered::Other(error)),
            };
            context.nothing_issued();
            match read_object(&response, place, &[]) {
                Ok(object) => match Self::read(&response, &object, issuer, place)? {
                    Some(found) => return Ok(found),
                    None => why.push(format!("{place}: an answer without `issuer`")),
                },
                Err(Problem::Refused(refusal)) => why.push(format!("{place}: {}", refusal.words)),
                // Frameworks say so in words of their own, and networks in pages of theirs.
                Err(Problem::Transient(_)) if is_absent(&response) => {
                    why.push(format!("{place}: HTTP {}", response.status));
                }
                Err(Problem::Transient(error)) if response.is_transient() => {
                    return Err(Undiscovered::Other(error));
                }
                // A page for every address: what is sought may be at the other place.
                Err(Problem::Transient(error)) => transient = Some(error),
            }
        }
        Err(Undiscovered::Other(match transient {
            Some(error) => error.with_hint("is `issuer` right? if it is, try again later"),
            None => Error::configuration(format!(
                "the issuer does not say where its endpoints are ({})",
                why.join("; ")
            ))
            .with_hint("correct `issuer`, or set `token_url` and what else the flow needs in its place"),
        }))
    }

    /// The issuer that answers must be the one that was asked, to the letter (RFC 8414 section 3.3). `None`: it does not
    /// say who it is.
    fn read(
        response: &HttpResponse,
        object: &Map<String, Value>,
        issuer: &IssuerUrl,
        place: &ServiceUrl,
    ) -> Result<Option<Self>, Undiscovered> {
        let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
        let Some(theirs) = text("issuer") else { return Ok(None) };
        if theirs != issuer.0 {
            let (theirs, ours) = (sanitize(&theirs), &issuer.0);
            let error = Error::configuration(format!(
                "{place} belongs to the issuer {theirs}, and the configuration names {ours}"
            ));
            return Err(Undiscovered::OtherIssuer(error.with_hint(format!(
                "they must be the same to the letter: if that is who you mean, set issuer = \"{theirs}\""
            ))));
        }
        let asked_at = response.sent_at;
        Ok(Some(Self {
            issuer: theirs,
            asked_at,
            fresh_until: asked_at + FRESH,
            token_endpoint: text("token_endpoint"),
            device_authorization_endpoint: text("device_authorization_endpoint"),
            authorization_endpoint: text("authorization_endpoint"),
            revocation_endpoint: text("revocation_endpoint"),
            introspection_endpoint: text("introspection_endpoint"),
            sends_issuer: object.get("authorization_response_iss_parameter_supported")
                == Some(&Value::Bool(true)),
        }))
    }

    /// What a record keeps of this issuer, however old it is.
    pub(crate) fn kept(record: &Record, issuer: Option<&IssuerUrl>) -> Option<Self> {
        let kept = Self::deserialize(record.metadata(Self::KEPT)?).ok()?;
        issuer.is_some_and(|issuer| issuer.0 == kept.issuer).then_some(kept)
    }

    /// Whether it need not be asked for at `now`; by who wants everything anew, if it was not asked for just now.
    pub(crate) fn is_fresh(&self, now: DateTime<Utc>, anew: bool) -> bool {
        let until = if anew { self.fresh_until.min(self.asked_at + JUST_NOW) } else { self.fresh_until };
        // What is from the future is from before the clock was set back.
        now < until && now >= self.asked_at - TimeDelta::minutes(1)
    }

    /// For a while longer, since nothing better was had from the service when it was asked at `now`.
    pub(crate) fn with_respite(self, now: DateTime<Utc>) -> Self {
        Self { asked_at: now, fresh_until: now + RESPITE, ..self }
    }

    /// As a record keeps it.
    pub(crate) fn keep(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Where an endpoint is, if the service has it.
    pub(crate) fn url(&self, endpoint: Endpoint) -> Result<Option<ServiceUrl>> {
        let text = match endpoint {
            Endpoint::Token => &self.token_endpoint,
            Endpoint::Device => &self.device_authorization_endpoint,
            Endpoint::Authorization => &self.authorization_endpoint,
            Endpoint::Revocation => &self.revocation_endpoint,
            Endpoint::Introspection => &self.introspection_endpoint,
        };
        let Some(text) = text else { return Ok(None) };
        ServiceUrl::parse(text).map(Some).map_err(|why| {
            let key = endpoint.key();
            Error::configuration(format!("the issuer names an endpoint that is not used: {}", sanitize(&why)))
                .with_hint(format!("set `{key}` of this provider"))
        })
    }
}

/// Whether there is nothing at that place, in the service's own words.
fn is_absent(response: &HttpResponse) -> bool {
    matches!(response.status, 404 | 405 | 410) && !response.is_html()
}
