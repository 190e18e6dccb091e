//! Describes why a request got no response, and what the user can do.

use std::error::Error;
use std::io;

use rustls::{AlertDescription as Alert, CertificateError, Error as TlsError, OtherError, PeerIncompatible};

use super::proxy::Proxy;
use crate::context::{HttpFault, RequestSent};
use crate::error::ErrorCode;

/// The request was not sent because of its [`crate::context::SendCheck`].
#[derive(Debug, thiserror::Error)]
#[error("the refresh token was replaced before it was sent")]
pub(super) struct Superseded;

/// Describes the innermost error, because reqwest's own message does not contain the cause. `proxy` is the proxy of the
/// request.
pub(super) fn describe(error: &reqwest::Error, proxy: Option<&Proxy>) -> HttpFault {
    let first = Error::source(error);
    let causes: Vec<&(dyn Error + 'static)> =
        std::iter::successors(first, |cause| (*cause).source()).collect();
    let is_unsent = error.is_connect() || causes.iter().any(|cause| cause.is::<Superseded>());
    let sent = if is_unsent { RequestSent::No } else { RequestSent::Maybe };
    let last = causes.last().map_or_else(|| "the request failed".to_owned(), ToString::to_string);
    // hyper-util's type of this error is private, so only its text can be compared.
    let tunnel =
        causes.iter().find_map(|cause| Some(cause.to_string().strip_prefix("tunnel error: ")?.to_owned()));
    let to_proxy = proxy.filter(|_| tunnel.as_deref() == Some("failed to create underlying connection"));
    let fault = |code, what: String| HttpFault::new(sent, code, what);
    let hint = proxy.map(Proxy::advice);
    let network = |what| HttpFault { hint, ..fault(ErrorCode::NetworkUnreachable, what) };
    if error.is_timeout() {
        let what = "could not connect before the timeout".to_owned();
        return HttpFault { code: ErrorCode::Timeout, ..network(what) };
    }
    if let Some(fault) = causes.iter().find_map(|cause| tls(*cause, to_proxy, sent)) {
        return fault;
    }
    // hyper reports an invalid chunk as one of these kinds, and the end of the connection as another.
    let is_invalid =
        |cause: &io::Error| matches!(cause.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData);
    let is_invalid_body = || {
        sent == RequestSent::Maybe && causes.iter().any(|cause| cause.downcast_ref().is_some_and(is_invalid))
    };
    match (tunnel, proxy) {
        (_, Some(proxy)) if to_proxy.is_some() => {
            let what = format!("cannot connect to the proxy {proxy}: {last}");
            let hint = format!("correct {0}, or run: unset {0}", proxy.variable());
            fault(ErrorCode::ProxyFailed, what).with_hint(hint)
        }
        (Some(why), Some(proxy)) => refused_by(proxy, &why, sent),
        // The types of hyper's errors are not exported.
        _ if last.ends_with(" parsed") || last == "message head is too large" || is_invalid_body() => {
            fault(ErrorCode::BadResponse, format!("the response is not valid HTTP: {last}"))
        }
        _ if causes.iter().any(|cause| cause.to_string() == "dns error") => {
            fault(ErrorCode::NameNotFound, last)
        }
        _ => network(last),
    }
}

/// Describes why the proxy did not connect to the service. `why` is hyper-util's text.
fn refused_by(proxy: &Proxy, why: &str, sent: RequestSent) -> HttpFault {
    let variable = proxy.variable();
    let (what, hint) = match why {
        "proxy authorization required" if proxy.authorization.is_some() => {
            ("refused the user or password (HTTP 407)", format!("correct user and password in {variable}"))
        }
        "proxy authorization required" => (
            "requires a user and password (HTTP 407)",
            format!("set {variable} to http://USER:PASSWORD@{}:{}", proxy.host(), proxy.port()),
        ),
        // hyper-util does not tell the status, and has the same error for a response that is not HTTP.
        "unsuccessful" => (
            "refused to connect to the service",
            format!(
                "try again later, or ask the proxy's operator to allow the service's host; if the service needs no proxy, add its host to NO_PROXY; if {variable} names no http proxy, correct it"
            ),
        ),
        _ => (
            "did not connect to the service",
            format!(
                "check whether {variable} names an http proxy; if the service needs no proxy, add its host to NO_PROXY"
            ),
        ),
    };
    HttpFault::new(sent, ErrorCode::ProxyFailed, format!("the proxy {proxy} {what}")).with_hint(hint)
}

/// Describes an error of TLS. `to_proxy` is the proxy if the error concerns the connection to the proxy.
fn tls(cause: &(dyn Error + 'static), to_proxy: Option<&Proxy>, sent: RequestSent) -> Option<HttpFault> {
    let without_tls = to_proxy
        .map(|proxy| format!("begin the URL in {} with http:// instead of https://", proxy.variable()));
    let (what, hint) = match rustls_error(cause) {
        // tokio-rustls reports the end of a connection during the handshake only by this text.
        None if cause.to_string() == "tls handshake eof" => {
            ("closed the connection during the TLS handshake".to_owned(), INTERCEPTED)
        }
        None => return None,
        Some(error @ TlsError::InvalidCertificate(reason)) => {
            let untrusted = match reason {
                CertificateError::Other(OtherError(inner)) => inner.downcast_ref::<HttpFault>().cloned(),
                _ => None,
            };
            let unknown = || HttpFault::new(sent, ErrorCode::TlsUntrusted, error.to_string());
            return Some(untrusted.unwrap_or_else(unknown));
        }
        Some(TlsError::InvalidMessage(_)) => match &without_tls {
            Some(hint) => ("does not speak TLS".to_owned(), hint.as_str()),
            None => (
                "does not speak TLS on this port".to_owned(),
                "correct the port of the URL; if it is right, a proxy or another server answered",
            ),
        },
        Some(
            TlsError::AlertReceived(Alert::ProtocolVersion)
            | TlsError::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13),
        ) => ("supports only TLS versions older than 1.2".to_owned(), OUTDATED),
        Some(
            error @ (TlsError::AlertReceived(Alert::HandshakeFailure | Alert::InsufficientSecurity)
            | TlsError::PeerIncompatible(_)),
        ) => (
            format!(
                "shares no TLS version or cipher suite with this machine, or requires a client certificate: {error}"
            ),
            OUTDATED,
        ),
        Some(
            error @ TlsError::AlertReceived(
                Alert::CertificateRequired | Alert::BadCertificate | Alert::UnknownCA | Alert::AccessDenied,
            ),
        ) => (
            format!("requires a client certificate: {error}"),
            "client certificates are not supported: use another URL of the service",
        ),
        Some(error) => (format!("failed during TLS: {error}"), INTERCEPTED),
    };
    let peer = to_proxy.map_or_else(|| "the service".to_owned(), |proxy| format!("the proxy {proxy}"));
    Some(HttpFault::new(sent, ErrorCode::TlsFailed, format!("{peer} {what}")).with_hint(hint))
}

/// Returns the error of rustls inside one or several I/O errors, whose `source` skips it.
fn rustls_error<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a TlsError> {
    let inner = || cause.downcast_ref::<io::Error>()?.get_ref();
    cause.downcast_ref().or_else(|| rustls_error(inner()?))
}

const OUTDATED: &str =
    "the service has to support TLS 1.2 or 1.3; if it does, a proxy or firewall intercepts TLS";
const INTERCEPTED: &str = "check the URL, and whether a firewall or proxy intercepts TLS; then try again";
