//! Decides which requests get the token, and replaces a rejected token.

use std::net::IpAddr;

use broker_core::{ErrorCode, ProviderHandle, Result, Token, TokenRequest};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};

/// The tokens of one provider for HTTP requests.
#[derive(Clone)]
pub(crate) struct Tokens {
    pub(crate) provider: ProviderHandle,
    pub(crate) request: TokenRequest,
}

impl Tokens {
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

    /// Returns the name of the provider's header, as [`Token::header_name`].
    pub(crate) fn header_name(&self) -> HeaderName {
        self.provider.info().header.name.parse().unwrap_or(AUTHORIZATION)
    }

    /// Gets the token, and adds its header. Returns `None` if the request already has the header.
    pub(crate) async fn add_to(&self, headers: &mut HeaderMap) -> Result<Option<Token>> {
        if headers.contains_key(self.header_name()) {
            return Ok(None);
        }
        let token = self.provider.token_with(&self.request).await?;
        headers.insert(token.header_name(), token.authorization());
        Ok(Some(token))
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
