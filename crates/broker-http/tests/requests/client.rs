//! A fake service with a broker, and both clients.

use broker_http::{TokenLayer, TokenMiddleware};
use broker_testkit::{EarthDaily, EarthDailyOptions, Seen};
use earthbroker::{Broker, Error, ErrorCode, ProviderHandle, Setup};
use http::{HeaderValue, Request};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::rt::TokioExecutor;
use reqwest_middleware::reqwest::{self, ClientBuilder};
use tempfile::TempDir;
use tower::{Layer, ServiceExt};

use crate::fake;

/// A client with the middleware of one feature.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Client {
    Reqwest,
    Tower,
}

pub(crate) const CLIENTS: [Client; 2] = [Client::Reqwest, Client::Tower];

impl Client {
    /// Sends the request, and returns the response's status or the broker's error code.
    pub(crate) async fn send(
        self,
        provider: &ProviderHandle,
        request: Request<String>,
    ) -> Result<u16, ErrorCode> {
        let provider = provider.clone();
        let code = |error: Option<&Error>| error.expect("an error of the broker").code();
        match self {
            Self::Reqwest => {
                let client = TokenMiddleware::new(provider).client(reqwest_builder()).expect("a client");
                let sent = client.execute(request.try_into().expect("a request")).await;
                sent.map(|response| response.status().as_u16()).map_err(|error| code_of(&error))
            }
            Self::Tower => {
                let client = HyperClient::builder(TokioExecutor::new()).build_http();
                let sent = TokenLayer::new(provider).layer(client).oneshot(request).await;
                sent.map(|response| response.status().as_u16()).map_err(|error| code(error.downcast_ref()))
            }
        }
    }
}

pub(crate) fn code_of(error: &reqwest_middleware::Error) -> ErrorCode {
    let reqwest_middleware::Error::Middleware(error) = error else { panic!("{error}") };
    error.downcast_ref::<Error>().expect("an error of the broker").code()
}

pub(crate) fn reqwest_builder() -> ClientBuilder {
    // Another test may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}

/// The provider `earthdaily` at a fake server.
pub(crate) struct Lab {
    pub(crate) service: EarthDaily,
    pub(crate) broker: Broker,
    pub(crate) provider: ProviderHandle,
    _home: TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// Adds lines to the provider's configuration.
    pub(crate) fn with(lines: &str) -> Self {
        let service = EarthDaily::start(EarthDailyOptions::default());
        let (broker, home) =
            fake::open(Setup::new(), &(fake::earthdaily(&service) + lines)).expect("a broker");
        let provider = broker.provider("earthdaily").expect("a provider");
        Self { service, broker, provider, _home: home }
    }

    pub(crate) fn request(&self, method: &str) -> Request<String> {
        Request::builder().method(method).uri(stac(&self.service)).body(String::new()).expect("a request")
    }

    pub(crate) fn with_header(&self, name: &'static str, value: &'static str) -> Request<String> {
        let mut request = self.request("GET");
        request.headers_mut().insert(name, HeaderValue::from_static(value));
        request
    }
}

/// Returns the URL of data for which the service needs a token.
pub(crate) fn stac(service: &EarthDaily) -> String {
    format!("{}/platform/v1/stac/", service.url())
}

/// Returns the requests for data.
pub(crate) fn data_requests(service: &EarthDaily) -> Vec<Seen> {
    service.seen().into_iter().filter(|seen| seen.route == "stac").collect()
}
