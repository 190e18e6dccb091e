//! The default HTTP client: reqwest with rustls and the system's root certificates.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use reqwest::Client;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::last_check::{checked_body, is_superseded};
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
        let built = build(plain).map_err(|error| HttpFault {
            sent: RequestSent::No,
            code: ErrorCode::NetworkUnreachable,
            what: format!("cannot build an HTTP client: {error}"),
        })?;
        Ok(cell.get_or_init(|| built))
    }

    async fn exchange(&self, request: &HttpRequest) -> Result<HttpResponse, HttpFault> {
        let client = self.client(request.url.is_plain())?;
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut builder = client.request(method, request.url.as_str()).body(checked_body(request));
        if !request.headers().any(|(name, _)| name == "accept") {
            builder = builder.header("accept", "application/json");
        }
        if let Some(kind) = request.content_type {
            builder = builder.header("content-type", kind);
        }
        let authorization = request.authorization().map(|value| ("authorization", value));
        for (name, value) in authorization.into_iter().chain(request.headers()) {
            let mut value = reqwest::header::HeaderValue::from_str(value).map_err(|_| HttpFault {
                sent: RequestSent::No,
                code: ErrorCode::BadResponse,
                what: "the secret contains characters that an HTTP header cannot contain".to_owned(),
            })?;
            value.set_sensitive(true);
            builder = builder.header(name, value);
        }
        let mut response = builder.send().await.map_err(|error| fault(&error))?;
        // The buffer is large, because a buffer that grows leaves copies of secrets in memory.
        let mut body = Zeroizing::new(Vec::with_capacity(64 * 1024));
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                // Accepts a complete JSON object as the response, even if `Content-Length` is wrong.
                Err(_) if serde_json::from_slice::<Map<String, Value>>(&body).is_ok() => break,
                Err(error) => return Err(fault(&error)),
            };
            if body.len() + chunk.len() > HttpResponse::LONGEST_BODY {
                return Err(HttpFault {
                    sent: RequestSent::Maybe,
                    code: ErrorCode::BadResponse,
                    what: "the response is longer than 1 MiB".to_owned(),
                });
            }
            body.extend_from_slice(&chunk);
        }
        let (status, headers) = (response.status().as_u16(), headers(response.headers()));
        Ok(HttpResponse { status, headers, body, sent_at: DateTime::UNIX_EPOCH })
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
        let mut exchange = pin!(self.exchange(request));
        if let Ok(answered) = tokio::time::timeout(timeout, &mut exchange).await {
            return answered;
        }
        // If the process was suspended, the timeout may have passed although a response has arrived.
        tokio::time::timeout(LAST_READ, exchange).await.unwrap_or_else(|_| {
            let what = format!("no response within {}", humantime::format_duration(timeout));
            Err(HttpFault { sent: RequestSent::Maybe, code: ErrorCode::Timeout, what })
        })
    }
}

fn headers(map: &reqwest::header::HeaderMap) -> BTreeMap<String, String> {
    let text = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
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

/// Describes the innermost error, because reqwest's own message does not contain the cause.
fn fault(error: &reqwest::Error) -> HttpFault {
    let sent = if error.is_connect() || is_superseded(error) { RequestSent::No } else { RequestSent::Maybe };
    let (code, what) = if error.is_timeout() {
        (ErrorCode::Timeout, "could not connect before the timeout".to_owned())
    } else {
        let first = std::error::Error::source(error);
        let sources: Vec<_> = std::iter::successors(first, |error| error.source()).collect();
        let code = sources.iter().find_map(|error| code(*error)).unwrap_or(ErrorCode::NetworkUnreachable);
        (code, sources.last().map_or_else(|| "the request failed".to_owned(), ToString::to_string))
    };
    HttpFault { sent, code, what }
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
