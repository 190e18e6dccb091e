//! Tokens for tower services that take `http::Request`.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use broker_core::{ProviderHandle, TokenRequest};
use http::{Request, Response, StatusCode};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use crate::tokens::Tokens;

/// Adds a provider's token to requests: see [the crate](crate). Requests need a URI with scheme and host.
///
/// The service returns boxed errors: those of the inner service, or [`broker_core::Error`] (`downcast_ref`). The
/// request's body implements `Default` (an empty body): `http_body_util::Full`, the `Body` of axum, reqwest and tonic.
/// Only requests with an empty body are repeated.
///
/// If a layer follows redirects, put it outside this one: each redirect is then a request of its own.
///
/// ```no_run
/// # async fn example(broker: broker_core::Broker) -> Result<(), Box<dyn std::error::Error>> {
/// use broker_http::TokenLayer;
/// use tower_layer::Layer;
/// # let client = tower::service_fn(async |_: http::Request<String>| Ok::<_, std::io::Error>(http::Response::new(())));
///
/// let client = TokenLayer::new(broker.provider("earthscope")?).layer(client);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct TokenLayer(Tokens);

impl TokenLayer {
    /// Sends the provider's usual token.
    pub fn new(provider: ProviderHandle) -> Self {
        Self(Tokens { provider, request: TokenRequest::new() })
    }

    /// Sends the token of this request instead, such as a token with scopes.
    pub fn token(mut self, request: TokenRequest) -> Self {
        self.0.request = request;
        self
    }
}

impl<S> Layer<S> for TokenLayer {
    type Service = TokenService<S>;

    fn layer(&self, inner: S) -> TokenService<S> {
        TokenService { inner, tokens: self.0.clone() }
    }
}

/// The service of a [`TokenLayer`].
#[derive(Clone)]
pub struct TokenService<S> {
    inner: S,
    tokens: Tokens,
}

type BoxError = Box<dyn Error + Send + Sync>;

impl<S, B, R> Service<Request<B>> for TokenService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body + Default + Send + 'static,
    R: Send + 'static,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The clone may not be ready, so the service that was polled sends the request.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let tokens = self.tokens.clone();
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            let (scheme, host) = (head.uri.scheme_str(), head.uri.host());
            let may_go =
                tokens.may_go_to(scheme.unwrap_or_default(), host.unwrap_or_default(), head.uri.port_u16());
            let token = if may_go { tokens.add_to(&mut head.headers).await? } else { None };
            let Some(token) = token else {
                return inner.call(Request::from_parts(head, body)).await.map_err(Into::into);
            };
            let repeat = (head.method.is_safe() && body.is_end_stream()).then(|| head.clone());
            let response = inner.call(Request::from_parts(head, body)).await.map_err(Into::into)?;
            if response.status() != StatusCode::UNAUTHORIZED {
                return Ok(response);
            }
            let new = tokens.replace(&token).await;
            // If the token was not replaced, the next request reports the error.
            let Some(mut head) = repeat else { return Ok(response) };
            let Some(new) = new? else { return Ok(response) };
            drop(response);
            head.headers.insert(new.header_name(), new.authorization());
            poll_fn(|context| inner.poll_ready(context)).await.map_err(Into::into)?;
            inner.call(Request::from_parts(head, B::default())).await.map_err(Into::into)
        })
    }
}
