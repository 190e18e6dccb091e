//! Decides which requests get the token, and replaces a rejected token.

use std::net::IpAddr;

use broker_core::{Error, ErrorCode, ProviderHandle, Result, Token, TokenRequest};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The tokens of one provider for HTTP requests.
#[derive(Clone)]
pub(crate) struct Tokens {
    provider: ProviderHandle,
    pub(crate) request: TokenRequest,
}

impl Tokens {
    pub(crate) fn new(provider: ProviderHandle) -> Self {
        Self { provider, request: TokenRequest::new() }
    }

    /// Whether the token may be sent there: to a host of the provider, by https or to this machine. `host` may be an
    /// IPv6 address in brackets.
    pub(crate) fn may_go_to(&self, scheme: &str, host: &str, port: Option<u16>) -> bool {
        let default_port = match scheme {
            "https" => 443,
            "http" if is_loopback(host) => 80,
            _ => return false,
        };
        self.provider.offers_to(&format!("{host}:{}", port.unwrap_or(default_port)))
    }

    /// Returns the name of the provider's header.
    pub(crate) fn header_name(&self) -> Result<HeaderName> {
        let name = &self.provider.info().header.name;
        let invalid = |_| Error::configuration(format!("`{name}` is not a name of an HTTP header"));
        HeaderName::try_from(name).map_err(invalid)
    }

    /// Gets the token, and adds its header. Returns `None` if the request already has the header.
    pub(crate) async fn add_to(&self, headers: &mut HeaderMap) -> Result<Option<Token>> {
        if headers.contains_key(self.header_name()?) {
            return Ok(None);
        }
        let token = self.provider.token_with(&self.request).await?;
        self.set(headers, &token)?;
        Ok(Some(token))
    }

    /// Sets the provider's header to the token.
    pub(crate) fn set(&self, headers: &mut HeaderMap, token: &Token) -> Result<()> {
        let prefix = self.provider.info().header.prefix_of(token);
        let blank = if prefix.is_empty() { "" } else { " " };
        let value = HeaderValue::try_from([prefix, blank, token.secret().expose()].concat());
        let mut value = value.map_err(|_| {
            let why = "the token contains characters that no HTTP header can carry";
            Error::new(ErrorCode::FormatUnsuitable, why).for_provider(self.provider.name())
        })?;
        value.set_sensitive(true);
        headers.insert(self.header_name()?, value);
        Ok(())
    }

    /// Replaces the rejected token. Returns `None` if the service rejects new tokens too: its 401 then has the reason.
    pub(crate) async fn replace(&self, rejected: &Token) -> Result<Option<Token>> {
        match self.provider.replace_rejected_with(&self.request, Some(rejected.secret())).await {
            Ok(token) => Ok(Some(token)),
            Err(error) if error.code() == ErrorCode::TokenRejected => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or(host == "localhost", |address| address.is_loopback())
}
