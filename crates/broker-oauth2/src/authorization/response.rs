//! What the browser comes back with (RFC 6749 sections 4.1.2 and 4.1.2.1, RFC 9207).

use std::fmt;

use broker_core::{Error, Result, Secret, sanitize};
use url::form_urlencoded;

use super::pkce::same;

/// The longest text of a service that is shown.
const LONGEST_WORDS: usize = 300;

/// What the response to this very request must have.
pub(super) struct Expected {
    state: Secret,
    issuer: Option<String>,
    sends_issuer: bool,
}

/// Why something is not the response to this request: it is left alone, and the flow goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InvalidCallback {
    /// Neither a code nor an error.
    NoResponse,
    /// No `state`.
    NoState,
    /// Another `state`: another login's, or somebody else's doing.
    OtherState,
    /// A parameter that must not be repeated is.
    Repeated,
}

impl fmt::Display for InvalidCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoResponse => "no login is in that",
            Self::NoState => {
                "that is not the whole address: without its `state` nobody knows whose login it is"
            }
            Self::OtherState => "that belongs to another login, an earlier one perhaps",
            Self::Repeated => "that says the same thing twice",
        })
    }
}

/// The parameters of a response that matter.
#[derive(Default)]
struct Parameters {
    state: Option<Secret>,
    code: Option<Secret>,
    iss: Option<String>,
    error: Option<String>,
    description: Option<String>,
}

impl Parameters {
    fn read(query: &str) -> Result<Self, InvalidCallback> {
        let mut read = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let repeated = match &*name {
                "state" => read.state.replace(Secret::new(value)).is_some(),
                "code" => read.code.replace(Secret::new(value)).is_some(),
                "iss" => read.iss.replace(value.into_owned()).is_some(),
                "error" => read.error.replace(value.into_owned()).is_some(),
                "error_description" => read.description.replace(value.into_owned()).is_some(),
                _ => false,
            };
            if repeated {
                return Err(InvalidCallback::Repeated);
            }
        }
        Ok(read)
    }
}

impl Expected {
    pub(super) fn new(state: Secret, issuer: Option<&str>, sends_issuer: bool) -> Self {
        Self { state, issuer: issuer.map(str::to_owned), sends_issuer }
    }

    /// Reads a query: the code, or why there is none.
    pub(super) fn read(&self, query: &str) -> Result<Result<Secret>, InvalidCallback> {
        let Parameters { state, code, iss, error, description } = Parameters::read(query)?;
        let code = code.filter(|code| !code.expose().is_empty());
        if code.is_none() && error.is_none() {
            return Err(InvalidCallback::NoResponse);
        }
        let state = state.ok_or(InvalidCallback::NoState)?;
        if !same(state.expose(), self.state.expose()) {
            return Err(InvalidCallback::OtherState);
        }
        Ok(self.check_issuer(iss.as_deref()).and_then(|()| match (error, code) {
            (Some(error), _) => Err(failure(&error, description.as_deref())),
            (None, code) => code.ok_or_else(|| Error::unavailable("the browser came back without a code")),
        }))
    }

    /// Reads what a person pasted: the whole address, or what follows its `?`. A bare code is not taken: without its
    /// `state` and `iss` it may be somebody else's (RFC 9700 section 2.1).
    pub(super) fn pasted(&self, text: &str) -> Result<Result<Secret>, InvalidCallback> {
        let text = text.trim().trim_matches(['"', '\'', '<', '>']);
        let text = text.split_once('#').map_or(text, |(before, _)| before);
        let query = text.split_once('?').map_or(text, |(_, query)| query);
        match self.read(query) {
            Err(InvalidCallback::NoResponse) if !text.is_empty() && !text.contains(['=', '/', '?', ' ']) => {
                Err(InvalidCallback::NoState)
            }
            read => read,
        }
    }

    /// RFC 9207 section 2.4: a code of another issuer goes nowhere.
    fn check_issuer(&self, iss: Option<&str>) -> Result<()> {
        let words = match (iss, &self.issuer) {
            (Some(iss), Some(issuer)) if iss != issuer => {
                format!("the login came from {}, not from {issuer}", shown(iss))
            }
            (None, _) if self.sends_issuer => {
                "the login does not say which service it came from, and this one always does".to_owned()
            }
            _ => return Ok(()),
        };
        Err(Error::refused(format!("{words}: its code is not used")).with_hint(
            "log in again; if that does not help, somebody may be in the way, or `issuer` is not the service's own",
        ))
    }
}

/// The service's own words (RFC 6749 section 4.1.2.1, OpenID Connect Core section 3.1.2.6).
fn failure(code: &str, description: Option<&str>) -> Error {
    let about = description.filter(|text| !text.is_empty()).map(|text| format!(" ({})", shown(text)));
    let about = about.unwrap_or_default();
    match code {
        "access_denied" => Error::refused(format!("the login was denied{about}")),
        "server_error" | "temporarily_unavailable" => {
            Error::unavailable(format!("the service cannot log anybody in now: {code}{about}"))
                .with_hint("log in again later")
        }
        code => Error::refused(format!("the login failed: {}{about}", shown(code))),
    }
}

fn shown(words: &str) -> String {
    sanitize(words).chars().take(LONGEST_WORDS).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use broker_core::ErrorKind;

    use super::*;

    const ISSUER: &str = "https://login.example.org";

    fn expected(issuer: Option<&str>, sends_issuer: bool) -> Expected {
        Expected::new(Secret::new("right"), issuer, sends_issuer)
    }

    fn code(read: Result<Result<Secret>, InvalidCallback>) -> String {
        read.unwrap().unwrap().expose().to_owned()
    }

    fn error(read: Result<Result<Secret>, InvalidCallback>) -> Error {
        read.unwrap().unwrap_err()
    }

    #[test]
    fn a_response_has_the_state_and_says_nothing_twice() {
        let expected = expected(None, false);
        assert_eq!(code(expected.read("state=right&code=c%2Fd&scope=a")), "c/d");
        assert_eq!(code(expected.read("code=c&state=right&iss=anyone")), "c");
        for (query, unfit) in [
            ("", InvalidCallback::NoResponse),
            ("state=right", InvalidCallback::NoResponse),
            ("state=right&code=", InvalidCallback::NoResponse),
            ("code=c", InvalidCallback::NoState),
            ("error=access_denied", InvalidCallback::NoState),
            ("code=c&state=", InvalidCallback::OtherState),
            ("code=c&state=righ", InvalidCallback::OtherState),
            ("error=access_denied&state=wrong", InvalidCallback::OtherState),
            ("code=c&state=right&state=right", InvalidCallback::Repeated),
            ("code=c&code=d&state=right", InvalidCallback::Repeated),
        ] {
            assert_eq!(expected.read(query).err(), Some(unfit), "{query}");
        }
    }

    #[test]
    fn the_issuer_is_compared_exactly() {
        let with = |iss: &str| format!("code=c&state=right&iss={iss}");
        assert_eq!(code(expected(Some(ISSUER), true).read(&with(ISSUER))), "c");
        assert_eq!(code(expected(Some(ISSUER), false).read("code=c&state=right")), "c");
        for (query, words) in [
            (with("https://login.example.org/"), "came from https://login.example.org/, not from"),
            (with("https://evil.example"), "came from https://evil.example, not from"),
            (with(""), "not from https://login.example.org"),
            ("code=c&state=right".to_owned(), "does not say which service"),
            ("error=access_denied&state=right".to_owned(), "does not say which service"),
        ] {
            let error = error(expected(Some(ISSUER), true).read(&query));
            assert_eq!(error.kind(), ErrorKind::Refused);
            assert!(error.message().contains(words), "{query}: {error}");
        }
    }

    #[test]
    fn errors_say_whether_to_try_again() {
        let read = |query: &str| error(expected(None, false).read(&format!("{query}&state=right")));
        assert_eq!(read("error=access_denied").kind(), ErrorKind::Refused);
        assert_eq!(read("error=invalid_scope&code=c").kind(), ErrorKind::Refused);
        assert_eq!(read("error=server_error").kind(), ErrorKind::Unavailable);
        assert_eq!(read("error=temporarily_unavailable").kind(), ErrorKind::Unavailable);
        let long = read(&format!("error=invalid_scope&error_description=%1B[2J{}", "x".repeat(4000)));
        assert!(!long.message().contains('\u{1b}') && long.message().len() < 400, "{long}");
    }

    #[test]
    fn what_is_pasted_is_the_address_or_its_query() {
        let expected = expected(None, false);
        for text in [
            "http://127.0.0.1:4711/callback?code=c&state=right",
            "  \"http://127.0.0.1:4711/callback?state=right&code=c#_=_\"\n",
            "127.0.0.1:4711/callback?code=c&state=right",
            "code=c&state=right",
            "?code=c&state=right",
        ] {
            assert_eq!(code(expected.pasted(text)), "c", "{text}");
        }
        for (text, unfit) in [
            ("c", InvalidCallback::NoState),
            ("http://127.0.0.1:4711/callback?code=c", InvalidCallback::NoState),
            ("http://127.0.0.1:4711/callback?code=c&state=wrong", InvalidCallback::OtherState),
            ("https://login.example.org/authorize?state=right", InvalidCallback::NoResponse),
            ("I do not know", InvalidCallback::NoResponse),
            ("", InvalidCallback::NoResponse),
        ] {
            assert_eq!(expected.pasted(text).err(), Some(unfit), "{text}");
        }
    }
}
