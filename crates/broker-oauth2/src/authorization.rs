//! The authorization code grant (RFC 6749 section 4.1) of a native app (RFC 8252), with PKCE (RFC 7636).

use broker_core::{Context, Error, Result, ServiceUrl};

use crate::{Approved, TokenEndpoint};

/// An authorization code flow about to begin.
#[derive(Debug, Clone, Copy)]
pub struct CodeFlow<'a> {
    /// The authorization endpoint, where a browser goes.
    pub url: &'a ServiceUrl,
    /// Where the code is exchanged, and who asks.
    pub token: TokenEndpoint<'a>,
    /// What `iss` of the answer must be (RFC 9207), if the issuer is known.
    pub issuer: Option<&'a str>,
    /// Whether the service says that it always sends `iss` (`authorization_response_iss_parameter_supported`).
    pub sends_issuer: bool,
    /// Where the browser comes back to on this machine: `http://127.0.0.1:PORT/PATH`; without a port, a free one.
    pub redirect_uri: &'a ServiceUrl,
    /// `scope`, `audience`, `resource` and extra parameters of the first request.
    pub fields: &'a [(&'a str, &'a str)],
    /// Extra parameters of the token request.
    pub token_fields: &'a [(&'a str, &'a str)],
}

impl CodeFlow<'_> {
    /// Sends a person's browser to the service and exchanges the code that it comes back with.
    #[expect(clippy::unused_async, reason = "a stub")]
    pub async fn run(&self, _context: &Context) -> Result<Approved> {
        Err(Error::failed("not built yet"))
    }
}
