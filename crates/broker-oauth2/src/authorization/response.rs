//! The authorization response (RFC 6749 sections 4.1.2 and 4.1.2.1, RFC 9207).

use broker_core::{Error, ErrorCode, Hint, Result, Secret, sanitize};
use url::form_urlencoded;

use super::pkce::constant_time_eq;

/// The longest error text of a service that a message repeats.
const LONGEST_TEXT: usize = 300;

/// The values that the authorization response must contain.
pub(super) struct Expected {
    pub(super) state: Secret,
    pub(super) issuer: Option<String>,
    pub(super) sends_issuer: bool,
}

/// Why a request or a pasted text is not the authorization response of this login. The login continues to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InvalidCallback {
    NoResponse,
    NoState,
    /// The `state` of another login, or a forged one.
    OtherState,
    Repeated,
}

impl InvalidCallback {
    /// Returns the reason for the user who pasted the text.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::NoResponse => "the pasted text is not the address that the browser opened after the login",
            Self::NoState => "the pasted address is incomplete: the parameter `state` is missing",
            Self::OtherState => "the pasted address belongs to another login, perhaps an earlier one",
            Self::Repeated => "the pasted address contains a parameter twice",
        }
    }
}

impl Expected {
    /// Reads the query of the redirect. Returns the authorization code, or the error that the service sent.
    pub(super) fn read(&self, query: &str) -> Result<Result<Secret>, InvalidCallback> {
        let params = form_urlencoded::parse(query.as_bytes());
        let params: Vec<_> = params.map(|(name, value)| (name, Secret::new(value))).collect();
        let find = |wanted: &str| {
            let mut values = params.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value);
            let value = values.next();
            if values.next().is_some() { Err(InvalidCallback::Repeated) } else { Ok(value) }
        };
        let (state, code, iss) = (find("state")?, find("code")?, find("iss")?);
        let (error, description) = (find("error")?, find("error_description")?);
        let code = code.filter(|code| !code.expose().is_empty());
        if code.is_none() && error.is_none() {
            return Err(InvalidCallback::NoResponse);
        }
        let state = state.ok_or(InvalidCallback::NoState)?;
        if !constant_time_eq(state.expose(), self.state.expose()) {
            return Err(InvalidCallback::OtherState);
        }
        let no_code = || Error::new(ErrorCode::BadResponse, "the service sent no authorization code");
        Ok(self.check_issuer(iss.map(Secret::expose)).and_then(|()| match error {
            Some(error) => Err(failure(error.expose(), description.map(Secret::expose))),
            None => code.cloned().ok_or_else(no_code),
        }))
    }

    /// Parses a pasted address, or only its query. A bare code is refused, because without `state` and `iss` it may
    /// belong to another login (RFC 9700 section 2.1).
    pub(super) fn parse_pasted(&self, text: &str) -> Result<Result<Secret>, InvalidCallback> {
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

    /// Rejects an authorization code of another issuer (RFC 9207 section 2.4).
    fn check_issuer(&self, iss: Option<&str>) -> Result<()> {
        let message = match (iss, &self.issuer) {
            (Some(iss), Some(issuer)) if iss != issuer => {
                format!("the login response is from {}, not from {issuer}", shorten(iss))
            }
            (None, _) if self.sends_issuer => {
                "the login response names no issuer (`iss`), although this service always sends an issuer"
                    .to_owned()
            }
            _ => return Ok(()),
        };
        Err(Error::refused(message).with_hint(
            "log in again; if the login fails again, check `issuer`, or whether someone attacks the network",
        ))
    }
}

/// Converts an error response (RFC 6749 section 4.1.2.1, OpenID Connect Core section 3.1.2.6).
fn failure(code: &str, description: Option<&str>) -> Error {
    let reason = description.filter(|text| !text.is_empty()).map(|text| format!(" ({})", shorten(text)));
    let reason = reason.unwrap_or_default();
    match code {
        "access_denied" => Error::new(ErrorCode::AccessDenied, format!("the login was denied{reason}")),
        "server_error" | "temporarily_unavailable" => {
            Error::unavailable(format!("the service cannot log in users now: {code}{reason}"))
                .with_hint(Hint::RetryLater)
        }
        code => Error::refused(format!("the service refused the login: {}{reason}", shorten(code))),
    }
}

fn shorten(text: &str) -> String {
    sanitize(text).chars().take(LONGEST_TEXT).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const ISSUER: &str = "https://login.example.org";

    fn expected(issuer: Option<&str>, sends_issuer: bool) -> Expected {
        Expected { state: Secret::new("right"), issuer: issuer.map(str::to_owned), sends_issuer }
    }

    fn code(read: Result<Result<Secret>, InvalidCallback>) -> String {
        read.unwrap().unwrap().expose().to_owned()
    }

    fn error(read: Result<Result<Secret>, InvalidCallback>) -> Error {
        read.unwrap().unwrap_err()
    }

    #[test]
    fn redirect_with_missing_or_repeated_parameter_is_invalid() {
        let expected = expected(None, false);
        assert_eq!(code(expected.read("state=right&code=c%2Fd&scope=a")), "c/d");
        assert_eq!(code(expected.read("code=c&state=right&iss=anyone")), "c");
        for (query, invalid) in [
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
            assert_eq!(expected.read(query).err(), Some(invalid), "{query}");
        }
    }

    #[test]
    fn issuer_in_redirect_must_equal_configured_issuer() {
        let with = |iss: &str| format!("code=c&state=right&iss={iss}");
        assert_eq!(code(expected(Some(ISSUER), true).read(&with(ISSUER))), "c");
        assert_eq!(code(expected(Some(ISSUER), false).read("code=c&state=right")), "c");
        for (query, data) in [
            (with("https://login.example.org/"), "https://login.example.org/, "),
            (with("https://evil.example"), "https://evil.example, "),
            (with(""), ISSUER),
            ("code=c&state=right".to_owned(), "`iss`"),
            ("error=access_denied&state=right".to_owned(), "`iss`"),
        ] {
            let error = error(expected(Some(ISSUER), true).read(&query));
            assert_eq!(error.code(), ErrorCode::RequestRefused);
            assert!(error.message().contains(data), "{query}: {error}");
        }
    }

    #[test]
    fn oauth_error_in_redirect_maps_to_an_error_code() {
        let read = |query: &str| error(expected(None, false).read(&format!("{query}&state=right")));
        assert_eq!(read("error=access_denied").code(), ErrorCode::AccessDenied);
        assert_eq!(read("error=invalid_scope&code=c").code(), ErrorCode::RequestRefused);
        assert_eq!(read("error=server_error").code(), ErrorCode::ServiceUnavailable);
        assert_eq!(read("error=temporarily_unavailable").code(), ErrorCode::ServiceUnavailable);
        let long = read(&format!("error=invalid_scope&error_description=%1B[2J{}", "x".repeat(4000)));
        assert!(!long.message().contains('\u{1b}') && long.message().len() < 400, "{long}");
    }

    #[test]
    fn pasted_address_or_query_is_parsed() {
        let expected = expected(None, false);
        for text in [
            "http://127.0.0.1:4711/callback?code=c&state=right",
            "  \"http://127.0.0.1:4711/callback?state=right&code=c#_=_\"\n",
            "127.0.0.1:4711/callback?code=c&state=right",
            "code=c&state=right",
            "?code=c&state=right",
        ] {
            assert_eq!(code(expected.parse_pasted(text)), "c", "{text}");
        }
        for (text, invalid) in [
            ("c", InvalidCallback::NoState),
            ("http://127.0.0.1:4711/callback?code=c", InvalidCallback::NoState),
            ("http://127.0.0.1:4711/callback?code=c&state=wrong", InvalidCallback::OtherState),
            ("https://login.example.org/authorize?state=right", InvalidCallback::NoResponse),
            ("I do not know", InvalidCallback::NoResponse),
            ("", InvalidCallback::NoResponse),
        ] {
            assert_eq!(expected.parse_pasted(text).err(), Some(invalid), "{text}");
        }
    }
}
