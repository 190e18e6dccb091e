//! One harmless request, to see whether a service can be reached and what its clock says.

use std::sync::Arc;
use std::time::Duration;

use broker_core::{
    Clock, Error, Http, HttpFault, HttpRequest, HttpResponse, Method, Repeat, RequestSent, Result, ServiceUrl,
};
use chrono::TimeDelta;

/// Looks whether services can be reached. Cheap to clone.
#[derive(Clone)]
pub struct Prober {
    pub(crate) http: Arc<dyn Http>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What a request without a secret shows of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Probed {
    /// What stands in the way, and in which words; `None` if the service answered, whatever it answered.
    pub obstacle: Option<(Obstacle, String)>,
    /// How far the service's clock is ahead of this machine's, if it told.
    pub clock_ahead: Option<TimeDelta>,
}

/// What can stand between this machine and a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// Its name has no address here: no network, no DNS, a mistyped host.
    Name,
    /// Nothing listens there.
    Refused,
    /// No way leads there.
    Unreachable,
    /// Its certificate is of an authority that is not trusted here.
    UnknownIssuer,
    /// TLS comes to nothing for another reason.
    Tls,
    /// The proxy does not let it through.
    Proxy,
    /// No answer in time.
    Timeout,
    /// Something else answers in its place: a network's sign-in page.
    Portal,
    /// It answers that it is in trouble: 502, 503, 504.
    Trouble,
    /// The connection ends without an answer, or anything else.
    Other,
}

impl Prober {
    /// Sends one GET without a secret, and waits for an answer no longer than `bound`.
    pub async fn probe(&self, url: &str, bound: Duration) -> Result<Probed> {
        let url = ServiceUrl::parse(url).map_err(Error::configuration)?;
        let request = HttpRequest::new(Method::Get, url, Repeat::Never);
        let sent_at = self.clock.now();
        let answered = self.http.send(&request, bound).await;
        let middle = sent_at + (self.clock.now() - sent_at) / 2;
        Ok(match answered {
            Ok(response) => Probed {
                obstacle: stands_in(request.url(), &response),
                clock_ahead: response.date().map(|date| date - middle),
            },
            Err(fault) => Probed { obstacle: Some((of_fault(&fault), fault.what)), clock_ahead: None },
        })
    }
}

/// What an answer shows that is not the service's own, or says that it cannot serve.
fn stands_in(url: &ServiceUrl, response: &HttpResponse) -> Option<(Obstacle, String)> {
    let status = response.status;
    match (status, response.header("location")) {
        (300..400, Some(to)) if leads_away(url, to) => {
            let to = ServiceUrl::parse(to).map_or_else(|_| "another page".to_owned(), |to| to.host());
            Some((Obstacle::Portal, format!("HTTP {status}: a redirect to {to}")))
        }
        (511, _) => Some((Obstacle::Portal, "HTTP 511: the network wants a sign-in".to_owned())),
        (200, _) if response.is_html() => Some((Obstacle::Portal, "HTTP 200 and a web page".to_owned())),
        (407, _) => Some((Obstacle::Proxy, "HTTP 407: the proxy wants a login".to_owned())),
        (502..=504, _) => Some((Obstacle::Trouble, format!("HTTP {status}"))),
        _ => None,
    }
}

fn leads_away(url: &ServiceUrl, to: &str) -> bool {
    let own_path = to.starts_with('/') && !to.starts_with("//");
    !own_path && ServiceUrl::parse(to).map_or(true, |to| to.host() != url.host())
}

/// A client tells in words only: those of the system's resolver, its sockets, and rustls.
fn of_fault(fault: &HttpFault) -> Obstacle {
    let what = fault.what.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| what.contains(word));
    match () {
        () if has(&["unknownissuer", "causedasendentity", "self-signed"]) => Obstacle::UnknownIssuer,
        () if has(&["certificate", "tls", "handshake", "fatal alert", "corrupt message"]) => Obstacle::Tls,
        () if has(&["tunnel", "proxy"]) => Obstacle::Proxy,
        () if has(&["lookup address", "no such host", "dns"]) => Obstacle::Name,
        () if has(&["refused"]) => Obstacle::Refused,
        () if has(&["unreachable", "no route"]) => Obstacle::Unreachable,
        () if fault.timed_out() => Obstacle::Timeout,
        () if fault.sent == RequestSent::No => Obstacle::Unreachable,
        () => Obstacle::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the resolver, sockets, hyper and rustls say.
    #[test]
    fn what_stands_in_the_way_is_told_apart() {
        let table = [
            ("failed to lookup address information: Name or service not known", Obstacle::Name),
            ("Connection refused (os error 111)", Obstacle::Refused),
            ("Network is unreachable (os error 101)", Obstacle::Unreachable),
            ("invalid peer certificate: UnknownIssuer", Obstacle::UnknownIssuer),
            ("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))", Obstacle::UnknownIssuer),
            ("invalid peer certificate: certificate expired", Obstacle::Tls),
            ("received fatal alert: HandshakeFailure", Obstacle::Tls),
            ("received corrupt message of type InvalidContentType", Obstacle::Tls),
            ("tls handshake eof", Obstacle::Tls),
            ("tunnel error: unsuccessful", Obstacle::Proxy),
            ("proxy authorization required", Obstacle::Proxy),
            ("connection closed before message completed", Obstacle::Other),
        ];
        for (what, obstacle) in table {
            let fault = HttpFault {
                sent: RequestSent::Maybe,
                code: broker_core::ErrorCode::NetworkUnreachable,
                what: what.to_owned(),
            };
            assert_eq!(of_fault(&fault), obstacle, "{what}");
        }
    }

    #[test]
    fn only_another_host_leads_away() {
        let url = ServiceUrl::parse("https://api.example.org/v1").ok();
        let leads = |to: &str| url.as_ref().is_some_and(|url| leads_away(url, to));
        assert!(
            leads("http://portal.example/") && leads("//portal.example/") && leads("https://example.org/")
        );
        assert!(!leads("/login") && !leads("https://api.example.org/docs"));
    }
}
