//! The default HTTP client: reqwest with rustls and the system's root certificates.

mod body;
mod encoding;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder};
use zeroize::Zeroizing;

use crate::{ErrorCode, Http, HttpFault, HttpRequest, HttpResponse, Method, RequestSent};

/// The time limit for connecting. A shorter limit than a request's timeout reports an unreachable host
/// sooner.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a response that has already arrived may be read after the timeout.
const LAST_READ: Duration = Duration::from_millis(100);

/// An HTTP client that is built when the first request is sent, because calls with stored tokens need no
/// client.
#[derive(Debug, Default)]
pub struct ReqwestHttp {
    /// The client for HTTPS, with the proxy that environment variables configure.
    outside: OnceLock<Client>,
    /// The client for unencrypted HTTP to this machine. Uses no proxy, because a proxy would see secrets.
    loopback: OnceLock<Client>,
}

impl ReqwestHttp {
    fn client(&self, plain: bool) -> Result<&Client, HttpFault> {
        let cell = if plain { &self.loopback } else { &self.outside };
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let built = build(plain).map_err(|error| {
            let what = format!("cannot build an HTTP client: {error}");
            HttpFault::new(RequestSent::No, ErrorCode::NetworkUnreachable, what)
        })?;
        Ok(cell.get_or_init(|| built))
    }

    /// Sends the request, and stores the response in `arrived` as it arrives. Returns why the body is incomplete.
    async fn exchange(
        &self,
        request: &HttpRequest,
        arrived: &mut Option<Arrived>,
    ) -> Result<Option<HttpFault>, HttpFault> {
        let builder = self.builder(request)?;
        let mut response = builder.send().await.map_err(|error| fault(&error))?;
        let arrived = arrived.insert(Arrived {
            status: response.status().as_u16(),
            headers: headers(response.headers()),
            encodings: encodings(response.headers()),
            // Large, because a buffer that grows leaves copies of secrets in memory.
            raw: Zeroizing::new(Vec::with_capacity(64 * 1024)),
        });
        Ok(body::read(&mut response, &arrived.encodings, &mut arrived.raw).await)
    }

    fn builder(&self, request: &HttpRequest) -> Result<RequestBuilder, HttpFault> {
        let client = self.client(request.url.is_plain())?;
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut builder = client.request(method, request.url.as_str()).body(request.body.to_vec());
        for (name, default) in [("accept", "application/json"), ("accept-encoding", "identity")] {
            if !request.headers().any(|(own, _)| own == name) {
                builder = builder.header(name, default);
            }
        }
        if let Some(kind) = request.content_type {
            builder = builder.header("content-type", kind);
        }
        let authorization = request.authorization().map(|value| ("authorization", value));
        for (name, value) in authorization.into_iter().chain(request.headers()) {
            let mut value = HeaderValue::from_str(value).map_err(|_| {
                let what = "the secret contains characters that an HTTP header cannot contain".to_owned();
                HttpFault::new(RequestSent::No, ErrorCode::BadResponse, what)
            })?;
            value.set_sensitive(true);
            builder = builder.header(name, value);
        }
        Ok(builder)
    }
}

/// The part of a response that has arrived.
struct Arrived {
    status: u16,
    headers: BTreeMap<String, String>,
    encodings: Vec<String>,
    raw: Zeroizing<Vec<u8>>,
}

impl Arrived {
    /// Returns the response. Fails with `cut` if no part of the body arrived.
    fn response(self, cut: Option<HttpFault>) -> Result<HttpResponse, HttpFault> {
        let Self { status, headers, encodings, raw } = self;
        let (body, cut) = body::decoded(&raw, &encodings, cut);
        match cut {
            Some(fault) if body.is_empty() => Err(fault),
            cut => Ok(HttpResponse { status, headers, body, sent_at: DateTime::UNIX_EPOCH, cut }),
        }
    }
}

fn build(plain: bool) -> Result<Client, Box<dyn std::error::Error>> {
    let builder = Client::builder()
        .user_agent(concat!("earth-token-broker/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .referer(false)
        .tls_backend_preconfigured(tls(!plain)?);
    Ok(if plain { builder.no_proxy() } else { builder.https_only(true) }.build()?)
}

fn tls(roots: bool) -> Result<rustls::ClientConfig, Box<dyn std::error::Error>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?;
    if !roots {
        return Ok(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth());
    }
    let verifier = rustls_platform_verifier::Verifier::new(provider)?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

#[async_trait]
impl Http for ReqwestHttp {
    async fn send(&self, request: &HttpRequest, timeout: Duration) -> Result<HttpResponse, HttpFault> {
        let mut arrived = None;
        let exchanged = {
            let mut exchange = pin!(self.exchange(request, &mut arrived));
            match tokio::time::timeout(timeout, &mut exchange).await {
                Ok(exchanged) => Ok(exchanged),
                // If the process was suspended, the timeout may have passed although a response has arrived.
                Err(_) => tokio::time::timeout(LAST_READ, exchange).await,
            }
        };
        let late = || {
            let what = format!("no complete response within {}", humantime::format_duration(timeout));
            HttpFault::new(RequestSent::Maybe, ErrorCode::Timeout, what)
        };
        let fault = exchanged.map_or_else(|_| Some(late()), |exchanged| exchanged.unwrap_or_else(Some));
        match arrived {
            Some(arrived) => arrived.response(fault),
            None => Err(fault.unwrap_or_else(late)),
        }
    }
}

fn headers(map: &HeaderMap) -> BTreeMap<String, String> {
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    let mut headers: BTreeMap<_, _> = map.iter().filter_map(text).collect();
    // `set-cookie` headers cannot be joined with commas (RFC 9110 section 5.3), and gateways add such headers.
    let cookies: Vec<_> = map.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok()).collect();
    if cookies.len() > 1 {
        headers.insert("set-cookie".to_owned(), cookies.join("\n"));
    }
    headers
}

/// Returns the names in `Content-Encoding`, in lower case.
fn encodings(map: &HeaderMap) -> Vec<String> {
    let fields = map.get_all("content-encoding").iter().filter_map(|value| value.to_str().ok());
    fields.flat_map(|field| field.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect()
}

/// Describes the innermost error, because reqwest's own message does not contain the cause.
fn fault(error: &reqwest::Error) -> HttpFault {
    let sent = if error.is_connect() { RequestSent::No } else { RequestSent::Maybe };
    let (code, what) = if error.is_timeout() {
        (ErrorCode::Timeout, "could not connect before the timeout".to_owned())
    } else {
        let first = std::error::Error::source(error);
        let sources: Vec<_> = std::iter::successors(first, |error| error.source()).collect();
        let code = sources.iter().find_map(|error| code(*error)).unwrap_or(ErrorCode::NetworkUnreachable);
        (code, sources.last().map_or_else(|| "the request failed".to_owned(), ToString::to_string))
    };
    HttpFault::new(sent, code, what)
}

fn code(error: &(dyn std::error::Error + 'static)) -> Option<ErrorCode> {
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    if error.is::<rustls::Error>()
        || inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
    {
        return Some(ErrorCode::TlsUntrusted);
    }
    // hyper-util's DNS error type is private, so only its text can be compared.
    (error.to_string() == "dns error").then_some(ErrorCode::NameNotFound)
}
