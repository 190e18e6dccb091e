//! Client authentication (RFC 6749 section 2.3, RFC 7523 section 2.2), and refusals: whether the client was refused,
//! and the hint for the user.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use broker_core::{
    Error, ErrorCode, HttpRequest, HttpResponse, Operation, Problem, Record, RecordUpdate, Refusal, Repeat,
    Result, Secret, ServiceUrl, read_object,
};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::{ClientKey, TokenEndpoint};

/// The client ID and how the client authenticates.
pub enum ClientAuth {
    /// A public client, which sends only `client_id`. An empty `client_id` is not sent.
    Public(String),
    /// `client_id` and `client_secret` in an HTTP Basic header (RFC 6749 section 2.3.1), in the spelling that the
    /// service accepts.
    Basic(String, Secret, BasicSpelling),
    /// `client_id` and `client_secret` in the request body (RFC 6749 section 2.3.1).
    Body(String, Secret),
    /// `client_id` and a signed assertion (`private_key_jwt`, RFC 7523 section 2.2).
    Key(String, ClientKey),
}

impl ClientAuth {
    /// Returns the `client_id`.
    pub fn id(&self) -> &str {
        match self {
            Self::Public(id) | Self::Basic(id, ..) | Self::Body(id, _) | Self::Key(id, _) => id,
        }
    }

    /// Returns the client secret, if the client sends one.
    pub(crate) fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Basic(_, secret, _) | Self::Body(_, secret) => Some(secret),
            Self::Public(_) | Self::Key(..) => None,
        }
    }

    /// Returns the form fields that authenticate the client.
    pub(crate) fn fields<'a>(&'a self, assertion: Option<&'a Secret>) -> Vec<(&'a str, &'a str)> {
        match (self, assertion) {
            (Self::Basic(..), _) => Vec::new(),
            (Self::Public(id), _) if id.is_empty() => Vec::new(),
            (Self::Body(id, secret), _) => vec![("client_id", id), ("client_secret", secret.expose())],
            (Self::Key(id, _), Some(assertion)) => vec![
                ("client_id", id),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", assertion.expose()),
            ],
            (Self::Public(id) | Self::Key(id, _), _) => vec![("client_id", id)],
        }
    }

    /// Whether HTTP Basic has several spellings of these credentials.
    pub fn spelling_varies(&self) -> bool {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"*-._".contains(&byte);
        matches!(self, Self::Basic(id, secret, _) if !id.bytes().chain(secret.expose().bytes()).all(is_plain))
    }

    /// Adds the spelling of HTTP Basic to the record update, if the service accepted another one than the record stores.
    pub fn add_spelling(&self, update: RecordUpdate) -> RecordUpdate {
        match self {
            Self::Basic(_, _, spelling) if spelling.accepted() != spelling.stored => {
                update.and_metadata(BasicSpelling::KEY, Value::from(SPELLINGS[spelling.accepted()]))
            }
            _ => update,
        }
    }

    /// Returns the hint for a refused client, which names the configuration keys to check.
    pub(crate) fn hint(&self) -> String {
        let check = match self {
            Self::Public(_) => "check `client_id`; a client with a secret needs `client_secret`",
            Self::Basic(..) if self.spelling_varies() => {
                "check `client_id` and `client_secret`, which were sent form-encoded and as they are; if both are \
                 correct, set `client_auth = \"body\"`"
            }
            Self::Basic(..) => "check `client_id`, `client_secret` and `client_auth` (now \"basic\")",
            Self::Body(..) => "check `client_id`, `client_secret` and `client_auth` (now \"body\")",
            Self::Key(..) => {
                "check `client_id`, `private_key`, `key_id`, `algorithm` and `assertion_audience`"
            }
        };
        format!("the service does not accept this client: {check}")
    }
}

/// How HTTP Basic spells the client ID and secret, in the order in which the spellings are tried, by their names in the
/// record. RFC 6749 section 2.3.1 requires form encoding, but many services read the credentials as they are (RFC
/// 7617), for example those whose users call `requests`, which encodes them in ISO 8859-1. `curl` encodes them in UTF-8.
const SPELLINGS: [&str; 3] = ["form", "latin1", "utf8"];

/// Adds the credentials to the request, or returns `None` if this spelling lacks one of their characters.
fn authorize(request: HttpRequest, spelling: &str, id: &str, secret: &Secret) -> Option<HttpRequest> {
    if spelling == "form" {
        return Some(request.with_basic(id, secret));
    }
    let raw = Zeroizing::new([id, ":", secret.expose()].concat());
    if spelling == "utf8" {
        return Some(request.with_basic_pair(raw.as_bytes()));
    }
    let mut pair = Zeroizing::new(Vec::with_capacity(raw.len()));
    for c in raw.chars() {
        pair.push(u8::try_from(c).ok()?);
    }
    Some(request.with_basic_pair(&pair))
}

/// The spelling of HTTP Basic that the service accepted last. Starts with form encoding.
#[derive(Default)]
pub struct BasicSpelling {
    /// The index in [`SPELLINGS`] of the spelling that the record stores.
    stored: usize,
    accepted: AtomicUsize,
}

impl BasicSpelling {
    /// The record's metadata key.
    const KEY: &str = "basic";

    /// Returns the spelling that the record stores.
    #[must_use]
    pub fn stored(record: &Record) -> Self {
        let name = record.metadata(Self::KEY).and_then(Value::as_str);
        let stored = SPELLINGS.iter().position(|spelling| Some(*spelling) == name).unwrap_or_default();
        Self { stored, accepted: stored.into() }
    }

    /// Sends a request with the credentials. If the service refuses the client, tries each other spelling that differs.
    /// The refused request spends no grant, because a service authenticates the client first (RFC 6749 section 6).
    pub(crate) async fn send(
        &self,
        operation: &Operation,
        request: &HttpRequest,
        (id, secret): (&str, &Secret),
        is_password: bool,
    ) -> Result<HttpResponse> {
        let (first_number, mut first, mut sent) = (self.accepted(), None, Vec::<HttpRequest>::new());
        for number in (first_number..SPELLINGS.len()).chain(0..first_number) {
            let Some(request) = authorize(request.clone(), SPELLINGS[number], id, secret) else { continue };
            if sent.iter().any(|sent| sent.authorization() == request.authorization()) {
                continue;
            }
            let response = operation.send(&request).await?;
            if !refuses_client(&response, &request.url, request.repeat, is_password) {
                if !response.is_transient() {
                    self.accepted.store(number, Relaxed);
                }
                return Ok(response);
            }
            first.get_or_insert(response);
            sent.push(request);
        }
        first.ok_or_else(|| Error::new(ErrorCode::Internal, "HTTP Basic has no spelling of this client"))
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Relaxed)
    }
}

impl TokenEndpoint<'_> {
    /// Converts a refused or failed request to an error. The hint names the configuration key to check.
    pub(crate) fn error(&self, problem: Problem, what: &str) -> Error {
        let Problem::Refused(refusal) = problem else { return problem.error(what) };
        if has_bad_credentials(&refusal) {
            let error = Error::new(ErrorCode::ClientRefused, format!("{what}: {}", refusal.words));
            return error.with_hint(self.client.hint());
        }
        let error = refusal.error(what);
        match self.hint(&refusal) {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    /// Returns the hint for an error code (RFC 6749 section 5.2, RFC 8707 section 2).
    fn hint(&self, refusal: &Refusal) -> Option<String> {
        let code = refusal.code.as_deref()?;
        let key = match (code, &self.client) {
            (
                "invalid_client"
                | "invalid_client_assertion"
                | "invalid_request"
                | "invalid_grant"
                | "access_denied",
                ClientAuth::Key(_, key),
            ) if names_audience(&refusal.words) => {
                return Some(format!(
                    "set `assertion_audience` (now \"{}\") to \"issuer\", \"token_url\", \"endpoint\" or the URL that \
                     the service expects",
                    key.audience()
                ));
            }
            // Keycloak sends `unauthorized_client` for a wrong client secret.
            ("invalid_client" | "invalid_client_assertion" | "unauthorized_client", _)
                if code != "unauthorized_client" || refusal.status == 401 =>
            {
                return Some(self.client.hint());
            }
            ("unauthorized_client", _) => "this client may not use this `flow`: check `client_id` and `flow`",
            ("invalid_scope", _) => {
                "check the requested scope and `scope` of this provider; a login has only the scopes that it started with"
            }
            ("invalid_target", _) => "check `audience` and `resource` of this provider",
            ("unsupported_grant_type", _) => "the service does not support this `flow`: set another `flow`",
            _ => return None,
        };
        Some(key.to_owned())
    }
}

/// Whether a service's explanation is about the `aud` claim of an assertion.
fn names_audience(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    words.split(|c: char| !c.is_alphanumeric()).any(|word| word == "aud" || word.starts_with("audience"))
}

/// Whether the service did not authenticate the client. A request that spends nothing may have any 401 response.
pub(crate) fn refuses_client(
    response: &HttpResponse,
    from: &ServiceUrl,
    repeat: Repeat,
    is_password: bool,
) -> bool {
    if response.status == 401 && repeat == Repeat::Safe {
        return true;
    }
    let Err(Problem::Refused(refusal)) = read_object(response, from, &[]) else { return false };
    // Keycloak sends `unauthorized_client` for a wrong client secret.
    refusal.is("invalid_client")
        || (response.status == 401 && refusal.is("unauthorized_client"))
        || (!is_password && has_bad_credentials(&refusal))
}

/// Whether Cloud Foundry's UAA did not authenticate the client (cloudfoundry/cf-k8s-networking#26). With the password grant,
/// the same answer may concern the password.
pub(crate) fn has_bad_credentials(refusal: &Refusal) -> bool {
    let words = refusal.words.to_ascii_lowercase();
    refusal.status == 401 && refusal.is("unauthorized") && words.contains("bad credentials")
}
