//! What providers say about themselves.

use std::sync::Arc;

use crate::error::{Error, ErrorCode, Hint, RequestPart, Result};
use crate::provider::{LoginFile, LoginMethod};
use crate::record::Issuer;
use crate::token::{Derived, Header, TokenRequest};

/// A provider's description of itself, which the configuration may change in part.
#[derive(Clone)]
#[non_exhaustive]
pub struct ProviderInfo {
    /// The issuer of the provider's tokens. The broker never passes a record of another issuer to the provider.
    pub issuer: Issuer,
    /// The account that the configuration names. The broker does not use records of another account.
    pub account: Option<String>,
    /// The only hosts to which tokens may be sent: `example.org`, `*.example.org` for subdomains, or a host with a port
    /// (`127.0.0.1:8080`).
    pub hosts: Vec<String>,
    /// The HTTP header in which programs send the tokens.
    pub header: Header,
    /// The environment variable in which programs usually expect the token.
    pub variable: String,
    /// What callers may request.
    pub requests: Requests,
    /// The methods of login; empty if the provider needs no login, because its secret is configured.
    pub logins: Vec<LoginMethod>,
    /// The sources of the login or secret, such as a variable or a path. The source in use is the first.
    pub sources: Vec<String>,
    /// The error if a required secret is not configured ([`ErrorCode::SecretMissing`]).
    pub secret_missing: Option<Error>,
    /// The login file that the broker shares with the service's own tools.
    pub login_file: Option<Arc<dyn LoginFile>>,
    /// The provider whose token is exchanged for this provider's tokens ([`crate::provider::Operation::token_of`]). If the
    /// account of the named provider changes, the broker no longer uses this provider's stored tokens.
    pub derives_from: Option<String>,
    /// The name of the local program that issues the tokens; `None` for a service.
    pub program: Option<String>,
}

impl ProviderInfo {
    /// Creates the description of a provider without a login, whose tokens are bearer tokens for no host.
    #[must_use]
    pub fn new(issuer: Issuer) -> Self {
        Self {
            issuer,
            account: None,
            hosts: Vec::new(),
            header: Header::default(),
            variable: "TOKEN".to_owned(),
            requests: Requests::default(),
            logins: Vec::new(),
            sources: Vec::new(),
            secret_missing: None,
            login_file: None,
            derives_from: None,
            program: None,
        }
    }

    /// Whether the provider supports a login with a refresh token. If not, the broker exports no refresh tokens.
    pub fn takes_refresh_token(&self) -> bool {
        self.logins.contains(&LoginMethod::RefreshToken)
    }

    /// Returns how the user logs in if no login is stored.
    pub fn login_hint(&self) -> Hint {
        if self.logins == [LoginMethod::RefreshToken] { Hint::LogInWithRefreshToken } else { Hint::LogIn }
    }
}

/// What callers may request from a provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requests {
    /// The scopes that callers may request.
    pub scopes: Scopes,
    /// Whether callers may choose the token's lifetime.
    pub lifetime: Choice,
    /// Whether callers may choose the token's name.
    pub name: Choice,
    /// The derived credentials: [`Derived::AWS`] or [`Derived::COOKIE`].
    pub derived: &'static [&'static str],
}

/// The scopes that callers may request (RFC 6749 section 3.3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scopes {
    /// No scopes.
    #[default]
    None,
    /// Any scopes; the service decides.
    Any,
    /// Some of these scopes.
    Of(Vec<String>),
}

/// Whether callers may choose a property of the token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Choice {
    /// Callers cannot choose it.
    #[default]
    Never,
    /// Callers can choose it for tokens with scopes.
    WithScopes,
    /// Callers can choose it.
    Always,
}

impl Requests {
    /// Fails with [`crate::error::ErrorKind::Usage`] if the request is not one of these.
    pub fn check(&self, request: &TokenRequest) -> Result<()> {
        match request.asked_derived().map(|derived| derived.what) {
            // The scopes of the request are then only the key of the record.
            Some(what) if self.derived.contains(&what) => {}
            Some(Derived::AWS) => {
                return Err(unsupported("this provider issues no AWS credentials", RequestPart::AwsKeys));
            }
            Some(_) => return Err(unsupported("this provider issues no cookie", RequestPart::Cookie)),
            None => self.scopes.check(request)?,
        }
        if request.expires.is_some() {
            self.lifetime.check(request, "lifetime", RequestPart::Lifetime)?;
        }
        match request.name.as_deref() {
            None => Ok(()),
            Some(name) if name.trim().is_empty() || name.chars().any(char::is_control) => {
                Err(Error::usage("the name of a token must be one line of text"))
            }
            Some(_) => self.name.check(request, "name", RequestPart::Name),
        }
    }
}

impl Choice {
    fn check(self, request: &TokenRequest, what: &str, part: RequestPart) -> Result<()> {
        let message = match self {
            Self::Never => format!("callers cannot choose the {what} of this provider's tokens"),
            Self::WithScopes if request.scopes().is_empty() => {
                format!("the {what} can be chosen for tokens with scopes only")
            }
            Self::WithScopes | Self::Always => return Ok(()),
        };
        Err(unsupported(&message, part))
    }
}

impl Scopes {
    fn check(&self, request: &TokenRequest) -> Result<()> {
        let asked = request.scopes();
        let message = match self {
            _ if asked.is_empty() => return Ok(()),
            Self::None => "this provider does not support requests with scopes".to_owned(),
            Self::Any if asked.iter().any(Derived::is_key) => {
                "AWS keys and cookies cannot be requested by a scope".to_owned()
            }
            Self::Any => return Ok(()),
            Self::Of(known) => match asked.iter().find(|scope| !known.iter().any(|known| known == scope)) {
                None => return Ok(()),
                Some(other) => {
                    let known = known.join("`, `");
                    format!("this provider has no scope `{other}`; the scopes are `{known}`")
                }
            },
        };
        let error = Error::new(ErrorCode::ScopeUnsupported, message);
        Err(if *self == Self::None { error.with_hint(Hint::LeaveOut(RequestPart::Scope)) } else { error })
    }
}

fn unsupported(message: &str, part: RequestPart) -> Error {
    Error::new(ErrorCode::RequestUnsupported, message).with_hint(Hint::LeaveOut(part))
}

/// Whether a host matches a pattern from [`ProviderInfo::hosts`]. A pattern without a port matches every port.
pub fn host_matches(pattern: &str, host: &str) -> bool {
    let (pattern, host) = (pattern.to_ascii_lowercase(), host.to_ascii_lowercase());
    let without_port = |text: &str| match text.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            name.to_owned()
        }
        _ => text.to_owned(),
    };
    let host = match (without_port(&pattern) == pattern, without_port(&host) == host) {
        (true, _) => without_port(&host),
        // Without a port, the host means port 443 of https.
        (false, true) => format!("{host}:443"),
        (false, false) => host,
    };
    match pattern.strip_prefix("*.") {
        Some(domain) => {
            host.strip_suffix(domain).is_some_and(|below| below.len() > 1 && below.ends_with('.'))
        }
        None => host == pattern,
    }
}
