//! Checks whether a service can be reached, and its clock, with a request that contains no secret.

use std::sync::Arc;
use std::time::Duration;

use broker_core::{
    Clock, Error, ErrorCode, Http, HttpFault, HttpRequest, HttpResponse, Method, Repeat, Result, ServiceUrl,
};
use chrono::TimeDelta;

/// Checks whether services can be reached. Cheap to clone.
#[derive(Clone)]
pub struct Prober {
    pub(crate) http: Arc<dyn Http>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The result of a connection test with [`Prober::probe`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Probed {
    /// The obstacle and its details; `None` if the service answered.
    pub obstacle: Option<(Obstacle, String)>,
    /// What the user can do, if that depends on more than the obstacle.
    pub hint: Option<String>,
    /// How far the service's clock is ahead of this machine's clock, if the service sent its time.
    pub clock_ahead: Option<TimeDelta>,
}

/// An obstacle between this machine and a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// The service's name cannot be resolved: no network, no DNS, or a mistyped host.
    Name,
    /// No program listens on the service's port.
    Refused,
    /// The operating system finds no route to the service.
    Unreachable,
    /// This machine does not trust the service's certificate.
    UnknownIssuer,
    /// TLS fails for a reason other than the certificate.
    Tls,
    /// The proxy does not connect to the service, requires a login, or its setting is invalid.
    Proxy,
    /// The service does not answer in time.
    Timeout,
    /// Another server answers, such as a network's sign-in page.
    Portal,
    /// The service is unavailable: status 502, 503 or 504.
    Trouble,
    /// Another fault, such as a connection that ends without an answer.
    Other,
}

impl Prober {
    /// Sends one GET request without a secret, and waits for the answer for at most `bound`.
    pub async fn probe(&self, url: &str, bound: Duration) -> Result<Probed> {
        let url = ServiceUrl::parse(url).map_err(Error::configuration)?;
        let request = HttpRequest::new(Method::GET, url, Repeat::Never);
        let sent_at = self.clock.now();
        let answered = async {
            let response = HttpResponse::new(self.http.send(request.to_http()?, bound).await?, sent_at);
            match response.cut.clone().filter(|_| response.body.is_empty() && !response.is_transient()) {
                Some(fault) => Err(fault),
                None => Ok(response),
            }
        };
        let answered = answered.await;
        let middle = sent_at + (self.clock.now() - sent_at) / 2;
        Ok(match answered {
            Ok(response) => {
                let clock_ahead = response.date().map(|date| date - middle);
                Probed { obstacle: obstacle_in(&request.url, &response), hint: None, clock_ahead }
            }
            Err(fault) => {
                Probed { obstacle: Some((of_fault(&fault), fault.what)), hint: fault.hint, clock_ahead: None }
            }
        })
    }
}

/// Returns the obstacle if another server responds (such as a sign-in page) or the service is unavailable.
fn obstacle_in(url: &ServiceUrl, response: &HttpResponse) -> Option<(Obstacle, String)> {
    let status = response.status;
    match (status, response.header("location")) {
        (300..400, Some(to)) if is_elsewhere(url, to) => {
            let to = ServiceUrl::parse(to).map_or_else(|_| "another page".to_owned(), |to| to.host());
            Some((Obstacle::Portal, format!("HTTP {status}: a redirect to {to}")))
        }
        (511, _) => Some((Obstacle::Portal, "HTTP 511: the network requires a sign-in".to_owned())),
        (200, _) if response.is_html() => Some((Obstacle::Portal, "HTTP 200 and a web page".to_owned())),
        (407, _) => Some((Obstacle::Proxy, "HTTP 407: the proxy requires a login".to_owned())),
        (502..=504, _) => Some((Obstacle::Trouble, format!("HTTP {status}"))),
        _ => None,
    }
}

fn is_elsewhere(url: &ServiceUrl, to: &str) -> bool {
    let own_path = to.starts_with('/') && !to.starts_with("//");
    !own_path && ServiceUrl::parse(to).map_or(true, |to| to.host() != url.host())
}

/// Classifies a fault by its code, then by the operating system's message.
fn of_fault(fault: &HttpFault) -> Obstacle {
    match fault.code {
        ErrorCode::Timeout => return Obstacle::Timeout,
        ErrorCode::NameNotFound => return Obstacle::Name,
        ErrorCode::TlsUntrusted => return Obstacle::UnknownIssuer,
        ErrorCode::TlsFailed => return Obstacle::Tls,
        ErrorCode::ProxyFailed | ErrorCode::ProxyInvalid => return Obstacle::Proxy,
        _ => {}
    }
    let what = fault.what.to_lowercase();
    match () {
        () if what.contains("refused") => Obstacle::Refused,
        () if ["unreachable", "no route", "host is down"].iter().any(|text| what.contains(text)) => {
            Obstacle::Unreachable
        }
        () => Obstacle::Other,
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
            (network, "Connection refused (os error 111)", Obstacle::Refused),
            (network, "Network is unreachable (os error 101)", Obstacle::Unreachable),
            (network, "Connection reset by peer (os error 104)", Obstacle::Other),
            (network, "Permission denied (os error 13)", Obstacle::Other),
            (network, "No route to host (os error 113)", Obstacle::Unreachable),
            (network, "Host is down (os error 112)", Obstacle::Unreachable),
            (ErrorCode::BadResponse, "the response is not valid HTTP: invalid version", Obstacle::Other),
            (network, "connection closed before message completed", Obstacle::Other),
            (ErrorCode::NameNotFound, "Name or service not known", Obstacle::Name),
            (ErrorCode::TlsUntrusted, "the certificate is self-signed", Obstacle::UnknownIssuer),
            (ErrorCode::TlsFailed, "tls handshake eof", Obstacle::Tls),
            (ErrorCode::ProxyFailed, "the proxy refused the user", Obstacle::Proxy),
            (ErrorCode::ProxyInvalid, "HTTPS_PROXY is invalid", Obstacle::Proxy),
            (ErrorCode::Timeout, "no response", Obstacle::Timeout),
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
