//! The default HTTP client: reqwest with rustls and the system's root certificates.

mod body;
mod certificate;
mod encoding;
mod fault;
mod proxy;
mod tls;

use std::pin::pin;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::Client;
use zeroize::Zeroizing;

pub use self::certificate::cert_file;
pub use self::proxy::{Proxy, ProxySettings};
use crate::context::{Http, HttpFault, RequestSent, ServiceUrl};
use crate::error::ErrorCode;

/// The time limit for connecting. A shorter limit than a request's timeout reports an unreachable host
/// sooner.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a response that has already arrived may be read after the timeout.
const LAST_READ: Duration = Duration::from_millis(100);

/// An HTTP client that is built when the first request is sent, because calls with stored tokens need no
/// client.
#[derive(Debug, Default)]
pub struct ReqwestHttp {
    settings: OnceLock<ProxySettings>,
    /// The client for HTTPS through the proxy that environment variables configure.
    proxied: OnceLock<Client>,
    /// The client for HTTPS without a proxy.
    direct: OnceLock<Client>,
    /// The client for unencrypted HTTP to this machine. Uses no proxy, because a proxy would see secrets.
    loopback: OnceLock<Client>,
}

impl ReqwestHttp {
    /// Returns the proxy for requests to `url`, if the environment configures one.
    fn proxy_of(&self, url: &ServiceUrl) -> Result<Option<&Proxy>, HttpFault> {
        self.settings.get_or_init(ProxySettings::from_env).of(url)
    }

    fn client(&self, plain: bool, proxy: Option<&Proxy>) -> Result<&Client, HttpFault> {
        let cell = match proxy {
            _ if plain => &self.loopback,
            Some(_) => &self.proxied,
            None => &self.direct,
        };
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let built = build(plain, proxy).map_err(|error| {
            if let Some(rustls::Error::General(_)) = error.downcast_ref() {
                return certificate::without_roots();
            }
            let what = format!("cannot build an HTTP client: {error}");
            HttpFault::new(RequestSent::No, ErrorCode::NetworkUnreachable, what)
        })?;
        Ok(cell.get_or_init(|| built))
    }

    /// Sends the request, and stores the response in `arrived` as it arrives. Returns why the body is incomplete.
    async fn exchange(
        &self,
        url: &ServiceUrl,
        request: http::Request<Bytes>,
        arrived: &mut Option<Arrived>,
    ) -> Result<Option<HttpFault>, HttpFault> {
        let proxy = self.proxy_of(url)?;
        let describe = |error| fault::describe(&error, proxy);
        let request = body::checked(request).try_into().map_err(describe)?;
        let mut response = self.client(url.is_plain(), proxy)?.execute(request).await.map_err(describe)?;
        let arrived = arrived.insert(http::Response::new(encoding::buffer()));
        *arrived.status_mut() = response.status();
        *arrived.headers_mut() = std::mem::take(response.headers_mut());
        Ok(body::read(&mut response, arrived).await)
    }
}

/// The part of a response that has arrived, with its encoded body.
type Arrived = http::Response<Zeroizing<Vec<u8>>>;

fn build(plain: bool, proxy: Option<&Proxy>) -> Result<Client, Box<dyn std::error::Error>> {
    let builder = Client::builder()
        .user_agent(concat!("earthbroker/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .referer(false)
        .https_only(!plain)
        // Old servers and gateways send such headers, and curl reads them.
        .http1_allow_spaces_after_header_name_in_responses(true)
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .http1_ignore_invalid_headers_in_responses(true)
        .http1_max_headers(1000)
        .tls_backend_preconfigured(tls::config(!plain)?);
    let builder = match proxy {
        Some(Proxy { url, authorization, .. }) => {
            let all = reqwest::Proxy::all(url.clone())?;
            builder.proxy(match authorization {
                Some(authorization) => all.custom_http_auth(authorization.clone()),
                None => all,
            })
        }
        // Without environment variables, macOS and Windows use the proxy of the system's settings.
        None if !plain && cfg!(any(target_os = "macos", windows)) => builder,
        None => builder.no_proxy(),
    };
    Ok(builder.build()?)
}

#[async_trait]
impl Http for ReqwestHttp {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, HttpFault> {
        let not_sent = |code, what: String| HttpFault::new(RequestSent::No, code, what);
        let url = ServiceUrl::parse(&request.uri().to_string())
            .map_err(|why| not_sent(ErrorCode::NetworkUnreachable, why))?;
        // The TLS library panics if the clock says a year before 1970.
        if SystemTime::now() < SystemTime::UNIX_EPOCH && !url.is_plain() {
            let what = "this machine's clock says a year before 1970: set the clock".to_owned();
            return Err(not_sent(ErrorCode::TlsUntrusted, what));
        }
        let mut arrived = None;
        let exchanged = {
            let mut exchange = pin!(self.exchange(&url, request, &mut arrived));
            match tokio::time::timeout(timeout, &mut exchange).await {
                Ok(exchanged) => Ok(exchanged),
                // If the process was suspended, the timeout may have passed although a response has arrived.
                Err(_) => tokio::time::timeout(LAST_READ, exchange).await,
            }
        };
        let kind = if arrived.is_some() { "complete response" } else { "response" };
        let late = || {
            let what = format!("no {kind} within {}", humantime::format_duration(timeout));
            let hint = self.proxy_of(&url).ok().flatten().map(Proxy::advice);
            HttpFault { hint, ..HttpFault::new(RequestSent::Maybe, ErrorCode::Timeout, what) }
        };
        let fault = exchanged.map_or_else(|_| Some(late()), |exchanged| exchanged.unwrap_or_else(Some));
        let Some(arrived) = arrived else { return Err(fault.unwrap_or_else(late)) };
        let (body, cut) = body::decoded(&arrived, fault);
        let mut response = arrived.map(|_| Bytes::from_owner(body));
        cut.map(|fault| response.extensions_mut().insert(fault));
        Ok(response)
    }
}
