//! Classifies the responses of services: a JSON object, a refusal, or a transient problem.

pub(crate) mod decode;
mod final_codes;
mod reason;
pub(crate) mod redact;
mod salvage;

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::context::{HttpResponse, ServiceUrl};
use crate::error::{Error, ErrorCode, Hint, RequestPart};
use crate::token::{Secret, sanitize};

use final_codes::FinalAnswer;
pub use final_codes::{Credential, FinalCodes};
pub use redact::{WITHHELD, redact, repeats_secret};
pub use salvage::{salvage, salvage_new};

/// The hint for a response that is not the service's: of a network's sign-in page, or at a wrong URL.
const CHECK_URL: &str = "if the network has a sign-in page, sign in there; otherwise check the URL in the configuration, or try again later";

/// Longer explanations from a service are cut after this many characters.
const LONGEST_TEXT: usize = 300;

/// Why a service's response is not a success.
#[derive(Debug)]
pub enum Problem {
    /// The service understood the request and refused it.
    Refused(Refusal),
    /// No usable response: HTTP 429 or 5xx, a web page, an incomplete response, or no response at all.
    Transient(Error),
}

/// A response in which the service refuses the request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The error code, from the response's field `error` (RFC 6749 section 5.2) or a similar field.
    pub code: Option<String>,
    /// The service's explanation, without control characters and without the secrets of the request.
    pub words: String,
    /// All error codes in the response, which may be nested or in a list.
    codes: Vec<String>,
    /// The rows of the table of final answers that match the response.
    rows: Vec<&'static FinalAnswer>,
    /// Whether the response has neither a code nor an explanation.
    is_silent: bool,
    retry_after: Option<Duration>,
}

/// The error codes of RFC 6749, 7009, 8628, 8707 and 9449, which only authorization servers send.
const STANDARD_CODES: [&str; 14] = [
    "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
    "unsupported_response_type", "unsupported_token_type", "invalid_scope", "invalid_target",
    "invalid_dpop_proof", "access_denied", "authorization_pending", "slow_down", "expired_token",
];

impl Refusal {
    /// Whether the refusal has the error code `code`, in upper or lower case.
    pub fn is(&self, code: &str) -> bool {
        self.codes.iter().any(|own| own.eq_ignore_ascii_case(code))
    }

    /// Whether the error code is one of OAuth, so that the authorization server itself refused the request.
    pub fn is_standard(&self) -> bool {
        STANDARD_CODES.into_iter().any(|code| self.is(code))
    }

    /// Whether a gateway or proxy may have sent the response: it has no content, or the status says nothing about the
    /// client (404, 407, 413 and others), and it has no code of OAuth.
    pub fn is_of_gateway(&self) -> bool {
        let is_word = matches!(self.status, 200..300 | 400 | 401 | 403 | 422);
        !self.is_standard() && (!is_word || self.is_silent)
    }

    /// Converts the refusal to a transient error: it does not say that the credential in the request is invalid.
    pub fn transient(&self, from: impl fmt::Display) -> Error {
        let code = if self.is_of_gateway() { ErrorCode::BadResponse } else { ErrorCode::ServiceUnavailable };
        let error = Error::new(code, format!("{from} returned an error: {}", self.words));
        with_pause(error, self.retry_after)
    }

    /// Whether the service asks the client to send the same request later: `slow_down`, or `Retry-After` without a code of
    /// OAuth.
    fn is_temporary(&self) -> bool {
        let asks_for_pause = self.retry_after.is_some_and(|wait| !wait.is_zero());
        self.is("slow_down") || asks_for_pause && !self.is_standard()
    }

    /// Converts the refusal to an error whose message begins with `what`, such as "the login failed". The error is
    /// transient if the service asks for a pause.
    pub fn error(&self, what: &str) -> Error {
        let code = match () {
            () if self.is("invalid_client") => ErrorCode::ClientRefused,
            () if self.is("access_denied") => ErrorCode::AccessDenied,
            () if self.is_temporary() => ErrorCode::ServiceUnavailable,
            () => ErrorCode::RequestRefused,
        };
        let error = Error::new(code, format!("{what}: {}", self.words));
        if self.is("invalid_scope") {
            return error.with_hint(Hint::LeaveOut(RequestPart::Scope));
        }
        if error.is_transient() { with_pause(error, self.retry_after) } else { error }
    }
}

impl Problem {
    /// Converts the problem to an error. If the service refused the request, the message begins with `what`.
    pub fn error(self, what: &str) -> Error {
        match self {
            Self::Refused(refusal) => refusal.error(what),
            Self::Transient(error) => error,
        }
    }

    /// Makes a refusal that a gateway or proxy may have sent transient. For requests to token endpoints.
    #[must_use]
    pub fn of_service(self, from: impl fmt::Display) -> Self {
        match self {
            Self::Refused(refusal) if refusal.is_of_gateway() => Self::Transient(refusal.transient(from)),
            problem => problem,
        }
    }

    /// Makes a refusal transient unless it has a code of OAuth. For requests with a refresh token or a password, after
    /// [`FinalCodes::end`]: the status alone ends no login.
    #[must_use]
    pub fn of_credential(self, from: impl fmt::Display) -> Self {
        match self {
            Self::Refused(refusal) if !refusal.is_standard() => Self::Transient(refusal.transient(from)),
            problem => problem,
        }
    }
}

/// Reads a response as a JSON object. Error texts do not show `secrets`, which a service may repeat from the request.
///
/// A response counts as a refusal only if it is JSON, or a 401 or 403 without content. A gateway's web page, HTTP 429
/// and HTTP 5xx are never refusals.
pub fn read_object(
    response: &HttpResponse,
    from: &ServiceUrl,
    secrets: &[&Secret],
) -> Result<Map<String, Value>, Problem> {
    let status = response.status;
    let object = decode::object(response);
    if let (Some(cut), None, false) = (&response.cut, &object, response.is_transient()) {
        let error = Error::new(cut.code, format!("the response of {from} is incomplete: {cut}"));
        return Err(Problem::Transient(error.with_hint(Hint::RetryLater)));
    }
    let is_empty = response.body.trim_ascii().is_empty();
    let is_transient = response.is_transient() || object.as_ref().is_some_and(is_trouble);
    let is_object = object.is_some();
    let words = match object {
        Some(object) if !is_transient => {
            if (200..300).contains(&status) && reason::standard_code(&object).is_none() {
                return Ok(object);
            }
            return Err(Problem::Refused(refusal(response, &object, secrets)));
        }
        None if !is_transient && matches!(status, 401 | 403) && is_empty => {
            return Err(Problem::Refused(refusal(response, &Map::new(), secrets)));
        }
        Some(object) => reason::words(&object, &reason::codes(&object)),
        // The body of a success may be the token itself.
        None if response.is_success() => None,
        None => plain_text(response),
    };
    let body = match words {
        Some(words) => format!("the message: {}", redact(&words, secrets)),
        None if is_object => "a JSON object that gives no reason".to_owned(),
        None if response.is_html() => "a web page".to_owned(),
        None if is_empty => "no content".to_owned(),
        None => format!("a body of {} bytes that is not a JSON object", response.body.len()),
    };
    let code = match status {
        429 => ErrorCode::RateLimited,
        // The network requires a sign-in (RFC 6585 section 6).
        511 => ErrorCode::BadResponse,
        _ if is_transient => ErrorCode::ServiceUnavailable,
        _ => ErrorCode::BadResponse,
    };
    let error = Error::new(code, format!("{from} answered HTTP {status} with {body}"));
    Err(Problem::Transient(with_pause(error, response.retry_after())))
}

/// Returns the problem of a successful response without a token: the error in it, else a malformed response.
pub fn without_token(
    response: &HttpResponse,
    object: &Map<String, Value>,
    message: String,
    secrets: &[&Secret],
) -> Problem {
    let refusal = refusal(response, object, secrets);
    if reason::has_error(object) && !refusal.is_silent {
        return Problem::Refused(refusal);
    }
    // Another text may be the token itself.
    let message = match reason::explanation(object).filter(|words| reason::is_sentence(words)) {
        Some(words) => format!("{message}: {}", redact(&words, secrets)),
        None => message,
    };
    Problem::Transient(Error::new(ErrorCode::BadResponse, message).with_hint(CHECK_URL))
}

fn with_pause(error: Error, retry_after: Option<Duration>) -> Error {
    let Some(wait) = retry_after.filter(|wait| !wait.is_zero()) else {
        let is_bad = error.code() == ErrorCode::BadResponse;
        return error.with_hint(if is_bad { Hint::from(CHECK_URL) } else { Hint::RetryLater });
    };
    // The broker obeys a longer pause only if the service repeats it.
    let wait_text = humantime::format_duration(wait).to_string();
    let shown = if wait > Duration::from_hours(1) { "more than an hour" } else { &wait_text };
    let hint = Hint::AwaitPause(format!("the service asked for a pause of {shown}"));
    error.with_retry_after(Some(wait)).with_hint(hint)
}

/// Returns a body that is short plain text, such as a gateway's message, or the texts of a short XML document.
fn plain_text(response: &HttpResponse) -> Option<String> {
    let text = decode::text(response);
    let kind = response.header("content-type").unwrap_or_default();
    let is_html = kind.contains("html") || text.to_ascii_lowercase().contains("<html");
    let is_xml = (text.starts_with("<?xml") || kind.contains("xml")) && !is_html;
    if !is_xml && response.is_html() {
        return None;
    }
    let after_tag = |part| str::split_once(part, '>').map_or(part, |(_, text)| text);
    let texts: Vec<_> = if is_xml { text.split('<').map(after_tag).collect() } else { vec![&*text] };
    let line = texts.iter().flat_map(|text| text.split_whitespace()).collect::<Vec<_>>().join(" ");
    let is_short = !line.is_empty() && line.len() <= 200 && !line.contains(['{', '<', '\0']);
    let is_text = !line.contains(|c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER);
    (is_short && is_text).then_some(line)
}

/// Returns the reason in the header `WWW-Authenticate` (RFC 6750 section 3). A gateway may have sent it.
fn challenge(response: &HttpResponse) -> Option<String> {
    let (_, text) = response.header("www-authenticate")?.split_once("error_description=\"")?;
    text.split('"').next().filter(|text| !text.is_empty()).map(bounded)
}

/// Whether the error code reports a temporary problem of the service, even with status 400 (RFC 6749 section
/// 4.1.2.1).
fn is_trouble(object: &Map<String, Value>) -> bool {
    matches!(reason::standard_code(object), Some("temporarily_unavailable" | "server_error"))
}

fn refusal(response: &HttpResponse, object: &Map<String, Value>, secrets: &[&Secret]) -> Refusal {
    let status = response.status;
    let mut codes = reason::codes(object);
    let code = codes.first().cloned();
    let words = reason::words(object, &codes);
    let is_silent = words.is_none();
    let words = words.or_else(|| challenge(response));
    let mut words = redact(words.as_deref().unwrap_or("the service gave no reason"), secrets);
    if let Some(code) = code.as_ref().filter(|code| words == WITHHELD && !repeats_secret(code, secrets)) {
        words = format!("{words} ({})", sanitize(code));
    }
    reason::add_codes(&mut codes, object, reason::DEEPEST);
    let explanation = reason::explanation_anywhere(object).unwrap_or_default();
    Refusal {
        status,
        code,
        rows: final_codes::matching(status, &codes, &explanation),
        codes,
        words: format!("{} [HTTP {status}]", redact::shorten(words, LONGEST_TEXT - " [HTTP 400]".len())),
        is_silent,
        retry_after: response.retry_after(),
    }
}

/// Returns the first part of a long text from a service. Only [`LONGEST_TEXT`] characters of the result are shown.
fn bounded(text: &str) -> String {
    text.chars().take(2000).collect()
}
