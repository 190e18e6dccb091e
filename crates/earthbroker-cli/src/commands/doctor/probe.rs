//! Finds out why a service cannot be reached, by a request without a secret.

use std::sync::Arc;
use std::time::Duration;

use broker_core::{
    HttpFault, HttpRequest, HttpResponse, Method, Repeat, ReqwestHttp, ServiceUrl, SystemClock,
};
use chrono::TimeDelta;
use earthbroker::{Clock, ErrorCode, Http};

/// The time limit for a service's answer.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(10);

/// How far a service's clock is ahead of this machine's clock, if the service sent its time; or why the service cannot
/// be reached.
pub(super) type Answer = Result<Option<TimeDelta>, Blocked>;

/// Why a service cannot be reached.
pub(super) struct Blocked {
    pub(super) obstacle: &'static Obstacle,
    pub(super) detail: String,
    /// What the user can do, if that depends on more than the obstacle.
    pub(super) hint: Option<String>,
}

/// An obstacle between this machine and a service, as the report shows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Obstacle {
    pub(super) id: &'static str,
    pub(super) why: &'static str,
    pub(super) fix: &'static str,
}

/// The service's name cannot be resolved: no network, no DNS, or a mistyped host.
pub(super) const NAME: Obstacle = Obstacle {
    id: "network.name",
    why: "name not found",
    fix: "check the network and the name server; if the host is mistyped, correct it (run: broker config show)",
};

/// No program listens on the service's port.
const REFUSED: Obstacle = Obstacle {
    id: "network.refused",
    why: "connection refused",
    fix: "check the port of the URL (run: broker config show); behind a proxy, set HTTPS_PROXY",
};

/// This machine does not trust the service's certificate.
const UNKNOWN_ISSUER: Obstacle = Obstacle {
    id: "network.issuer",
    why: "the certificate is not trusted",
    fix: "if your organization has its own certificate authority, set SSL_CERT_FILE to its PEM file, or add it to \
          the system's certificates",
};

/// TLS fails for a reason other than the certificate.
const TLS: Obstacle = Obstacle {
    id: "network.tls",
    why: "the TLS connection failed",
    fix: "check the clock, the URL, and whether a firewall or a proxy intercepts TLS",
};

/// The proxy does not connect to the service, requires a login, or its setting is invalid.
const PROXY: Obstacle = Obstacle {
    id: "network.proxy_refused",
    why: "the proxy failed",
    fix: "correct HTTPS_PROXY (with user and password if the proxy needs a login), or add the host to NO_PROXY",
};

/// The service does not answer in time.
const TIMEOUT: Obstacle = Obstacle {
    id: "network.timeout",
    why: "no answer in time",
    fix: "behind a proxy, set HTTPS_PROXY; otherwise try again later",
};

/// Another server answers, such as a network's sign-in page.
const PORTAL: Obstacle = Obstacle {
    id: "network.portal",
    why: "a sign-in page or another server answered",
    fix: "if this network has a sign-in page, open it in a browser and sign in",
};

/// The operating system finds no route to the service.
const UNREACHABLE: Obstacle =
    Obstacle { id: "network.service", why: "no route", fix: "check the network, then try again" };

/// Another fault, such as a connection that ends without an answer.
const OTHER: Obstacle = Obstacle {
    id: "network.service",
    why: "the connection failed",
    fix: "check the host and port of the URL (run: broker config show), and whether a firewall blocks the connection",
};

/// The service is unavailable: status 502, 503 or 504.
pub(super) const UNAVAILABLE: Obstacle =
    Obstacle { id: "network.service", why: "unavailable", fix: "try again later" };

/// Sends one GET request without a secret.
pub(super) async fn probe(http: Arc<ReqwestHttp>, url: ServiceUrl) -> Answer {
    let request = HttpRequest::new(Method::GET, url, Repeat::Never);
    let sent_at = SystemClock.now();
    let answered = async {
        let response = HttpResponse::new(http.send(request.to_http()?, TIME_LIMIT).await?, sent_at);
        match response.cut.clone().filter(|_| response.body.is_empty() && !response.is_transient()) {
            Some(fault) => Err(fault),
            None => Ok(response),
        }
    };
    let blocked =
        |fault: HttpFault| Blocked { obstacle: of_fault(&fault), detail: fault.what, hint: fault.hint };
    let response = answered.await.map_err(blocked)?;
    let middle = sent_at + (SystemClock.now() - sent_at) / 2;
    match obstacle_in(&request.url, &response) {
        Some((obstacle, detail)) => Err(Blocked { obstacle, detail, hint: None }),
        None => Ok(response.date().map(|date| date - middle)),
    }
}

/// Returns the obstacle if another server responds (such as a sign-in page) or the service is unavailable.
fn obstacle_in(url: &ServiceUrl, response: &HttpResponse) -> Option<(&'static Obstacle, String)> {
    let status = response.status;
    match (status, response.header("location")) {
        (300..400, Some(to)) if is_elsewhere(url, to) => {
            let to = ServiceUrl::parse(to).map_or_else(|_| "another page".to_owned(), |to| to.host());
            Some((&PORTAL, format!("HTTP {status}: a redirect to {to}")))
        }
        (511, _) => Some((&PORTAL, "HTTP 511: the network requires a sign-in".to_owned())),
        (200, _) if response.is_html() => Some((&PORTAL, "HTTP 200 and a web page".to_owned())),
        (407, _) => Some((&PROXY, "HTTP 407: the proxy requires a login".to_owned())),
        (502..=504, _) => Some((&UNAVAILABLE, format!("HTTP {status}"))),
        _ => None,
    }
}

fn is_elsewhere(url: &ServiceUrl, to: &str) -> bool {
    let own_path = to.starts_with('/') && !to.starts_with("//");
    !own_path && ServiceUrl::parse(to).map_or(true, |to| to.host() != url.host())
}

/// Classifies a fault by its code, then by the operating system's message.
fn of_fault(fault: &HttpFault) -> &'static Obstacle {
    let what = fault.what.to_lowercase();
    match fault.code {
        ErrorCode::Timeout => &TIMEOUT,
        ErrorCode::NameNotFound => &NAME,
        ErrorCode::TlsUntrusted => &UNKNOWN_ISSUER,
        ErrorCode::TlsFailed => &TLS,
        ErrorCode::ProxyFailed | ErrorCode::ProxyInvalid => &PROXY,
        _ if what.contains("refused") => &REFUSED,
        _ if ["unreachable", "no route", "host is down"].iter().any(|text| what.contains(text)) => {
            &UNREACHABLE
        }
        _ => &OTHER,
    }
}

#[cfg(test)]
mod tests {
    use broker_core::RequestSent;

    use super::*;

    #[test]
    fn network_faults_are_classified() {
        let network = ErrorCode::NetworkUnreachable;
        let table = [
            (network, "Connection refused (os error 111)", &REFUSED),
            (network, "Network is unreachable (os error 101)", &UNREACHABLE),
            (network, "Connection reset by peer (os error 104)", &OTHER),
            (network, "Permission denied (os error 13)", &OTHER),
            (network, "No route to host (os error 113)", &UNREACHABLE),
            (network, "Host is down (os error 112)", &UNREACHABLE),
            (ErrorCode::BadResponse, "the response is not valid HTTP: invalid version", &OTHER),
            (network, "connection closed before message completed", &OTHER),
            (ErrorCode::NameNotFound, "Name or service not known", &NAME),
            (ErrorCode::TlsUntrusted, "the certificate is self-signed", &UNKNOWN_ISSUER),
            (ErrorCode::TlsFailed, "tls handshake eof", &TLS),
            (ErrorCode::ProxyFailed, "the proxy refused the user", &PROXY),
            (ErrorCode::ProxyInvalid, "HTTPS_PROXY is invalid", &PROXY),
            (ErrorCode::Timeout, "no response", &TIMEOUT),
        ];
        for (code, what, obstacle) in table {
            for sent in [RequestSent::No, RequestSent::Maybe] {
                let fault = HttpFault::new(sent, code, what.to_owned());
                assert_eq!(of_fault(&fault), obstacle, "{what}");
            }
        }
    }

    #[test]
    fn only_redirect_to_another_host_is_a_network_sign_in_page() {
        let url = ServiceUrl::parse("https://api.example.org/v1").ok();
        let away = |to: &str| url.as_ref().is_some_and(|url| is_elsewhere(url, to));
        assert!(away("http://portal.example/") && away("//portal.example/") && away("https://example.org/"));
        assert!(!away("/login") && !away("https://api.example.org/docs"));
    }
}
