//! Tokens for clients of `reqwest-middleware`.

use async_trait::async_trait;
use broker_core::{Error, ProviderHandle, TokenRequest};
use http::header::AUTHORIZATION;
use http::{Extensions, StatusCode};
use reqwest_middleware::reqwest::redirect::Policy;
use reqwest_middleware::reqwest::{self, Request, Response, Url};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};

use crate::tokens::Tokens;

/// Adds a provider's token to requests: see [the crate](crate). Errors of the broker are
/// [`reqwest_middleware::Error::Middleware`], whose inner error is [`broker_core::Error`].
///
/// reqwest follows redirects below its middleware. To another host, it removes the header `Authorization`, but no other
/// header. Therefore, if the provider has another header, such as `X-Auth-Token`, only clients of
/// [`TokenMiddleware::client`] can use it; in other clients, requests fail with
/// [`broker_core::ErrorKind::Usage`].
///
/// ```no_run
/// # async fn example(broker: broker_core::Broker) -> Result<(), Box<dyn std::error::Error>> {
/// use broker_http::TokenMiddleware;
/// use reqwest_middleware::reqwest::Client;
///
/// let client = TokenMiddleware::new(broker.provider("earthscope")?).client(Client::builder())?;
/// let response = client.get("https://api.earthscope.org/beta/user/profile").send().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct TokenMiddleware {
    tokens: Tokens,
    has_policy: bool,
}

impl TokenMiddleware {
    /// Sends the provider's usual token.
    pub fn new(provider: ProviderHandle) -> Self {
        Self { tokens: Tokens { provider, request: TokenRequest::new() }, has_policy: false }
    }

    /// Sends the token of this request instead, such as a token with scopes.
    pub fn token(mut self, request: TokenRequest) -> Self {
        self.tokens.request = request;
        self
    }

    /// Builds a client with this middleware. Add others with [`ClientBuilder::from_client`].
    ///
    /// Enable the feature `rustls` or `native-tls` of reqwest, or install a `CryptoProvider` of rustls first. Otherwise
    /// reqwest panics.
    ///
    /// If the provider's header is not `Authorization`, this method replaces the builder's redirect policy: a redirect
    /// of a request with the token to a host that may not get the token is not followed, but returned.
    pub fn client(
        mut self,
        builder: reqwest::ClientBuilder,
    ) -> reqwest_middleware::Result<ClientWithMiddleware> {
        let is_removed = self.tokens.header_name() == AUTHORIZATION;
        let tokens = self.tokens.clone();
        let policy = Policy::custom(move |attempt| {
            let has_token = attempt.previous().first().is_some_and(|url| may_go_to(&tokens, url));
            if has_token && !may_go_to(&tokens, attempt.url()) {
                return attempt.stop();
            }
            Policy::default().redirect(attempt)
        });
        let builder = if is_removed { builder } else { builder.redirect(policy) };
        self.has_policy = true;
        Ok(ClientBuilder::new(builder.build()?).with(self).build())
    }
}

#[async_trait]
impl Middleware for TokenMiddleware {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let broker = reqwest_middleware::Error::middleware::<Error>;
        if !may_go_to(&self.tokens, request.url()) {
            return next.run(request, extensions).await;
        }
        let header = self.tokens.header_name();
        if header != AUTHORIZATION && !self.has_policy {
            let why = format!("reqwest would send the header {header} to other hosts after a redirect");
            let error = Error::usage(why).with_hint("build the client with TokenMiddleware::client");
            return Err(broker(error));
        }
        let Some(token) = self.tokens.add_to(request.headers_mut()).await.map_err(broker)? else {
            return next.run(request, extensions).await;
        };
        let origin = request.url().origin();
        let repeat = if request.method().is_safe() { request.try_clone() } else { None };
        let response = next.clone().run(request, extensions).await?;
        // After a redirect to another host, the host that answered did not get the token.
        if response.status() != StatusCode::UNAUTHORIZED || response.url().origin() != origin {
            return Ok(response);
        }
        let new = self.tokens.replace(&token).await;
        // If the token was not replaced, the next request reports the error.
        let Some(mut request) = repeat else { return Ok(response) };
        let Some(new) = new.map_err(broker)? else { return Ok(response) };
        drop(response);
        request.headers_mut().insert(new.header_name(), new.authorization());
        next.run(request, extensions).await
    }
}

fn may_go_to(tokens: &Tokens, url: &Url) -> bool {
    tokens.may_go_to(url.scheme(), url.host_str().unwrap_or_default(), url.port())
}
