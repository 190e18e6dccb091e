//! Checks the network: proxy, certificates, each service, and the service's clock. Finds out why a service cannot be
//! reached by a request without a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use broker_core::{
    HttpFault, HttpRequest, HttpResponse, Method, Proxy, ProxySettings, Repeat, ReqwestHttp, ServiceUrl,
    SystemClock, SystemEnv, cert_file,
};
use chrono::TimeDelta;
use earthbroker::{Broker, Clock, Env, ErrorCode, Http, Status};
use tokio::task::{JoinSet, spawn_blocking};

use super::report::Report;
use crate::commands::CommandResult;
use crate::humanize;
use crate::run::run as run_async;

/// A larger difference between this machine's clock and a service's clock is an error.
const MAX_CLOCK_DIFFERENCE: TimeDelta = TimeDelta::seconds(60);

/// Checks the network. With `--offline`, `broker` is `None` and no request is sent.
pub(super) fn check(broker: Option<&Broker>, statuses: &[Status], report: &mut Report) -> CommandResult {
    certificates(report);
    no_proxy(report);
    let settings = ProxySettings::from_env();
    let (proxy, invalid) = match settings.proxy() {
        Ok(proxy) => (proxy.cloned(), None),
        Err(fault) => {
            report.error("network.proxy", None, &fault.what, &fault.hint.unwrap_or_default());
            (None, Some(fault.what))
        }
    };
    let mut targets = Vec::new();
    for status in statuses {
        if let Ok(url) = ServiceUrl::parse(&status.issuer) {
            targets.push((status, url));
        } else {
            // A provider without a URL runs a program or returns a fixed token.
            let what = format!("the provider has no URL to check: its issuer is {}", status.issuer);
            report.skipped("network.service", Some(&status.name), what);
        }
    }
    let contacted = broker.map(|broker| run_async(broker, contact(&targets, proxy.clone()))).transpose()?;
    let (answers, connected) = contacted.unzip();
    if let Some(proxy) = proxy {
        proxy_result(&proxy, connected.flatten(), report);
    }
    let answers = answers.unwrap_or_default();
    let is_unresolved = |answer: &Answer| matches!(answer, Err(blocked) if *blocked.obstacle == NAME);
    let unresolved =
        targets.iter().filter(|(status, _)| answers.get(&status.name).is_some_and(is_unresolved));
    let hosts: Vec<_> = unresolved.map(|(_, url)| url.host()).collect();
    for (status, _) in &targets {
        match answers.get(&status.name) {
            Some(answer) if hosts.len() > 1 && is_unresolved(answer) => {
                let what = format!("cannot reach {}: {}", status.issuer, NAME.why);
                report.summarized(NAME.id, &status.name, what);
            }
            Some(Err(blocked)) if invalid.as_ref() == Some(&blocked.detail) => not_contacted(status, report),
            Some(answer) => service(status, answer, report),
            None => not_contacted(status, report),
        }
    }
    // One error covers several unknown host names, because the network is then probably down.
    if hosts.len() > 1 {
        let hosts = BTreeSet::from_iter(hosts).into_iter().collect::<Vec<_>>().join(", ");
        report.error(NAME.id, None, &format!("{}: {hosts}", NAME.why), NAME.fix);
    }
    Ok(())
}

fn not_contacted(status: &Status, report: &mut Report) {
    report.skipped("network.service", Some(&status.name), format!("{} was not contacted", status.issuer));
}

/// Sends a request to each provider's service, and connects to the proxy. Returns the answers by provider, and
/// whether the proxy can be reached.
async fn contact(
    targets: &[(&Status, ServiceUrl)],
    proxy: Option<Proxy>,
) -> earthbroker::Result<(BTreeMap<String, Answer>, Option<Result<(), String>>)> {
    let http = Arc::new(ReqwestHttp::default());
    let mut probes = JoinSet::new();
    for (status, url) in targets {
        let (name, probe) = (status.name.clone(), probe(http.clone(), url.clone()));
        probes.spawn(async { (name, probe.await) });
    }
    let connected = match proxy {
        Some(proxy) => Some(connect(proxy).await),
        None => None,
    };
    Ok((probes.join_all().await.into_iter().collect(), connected))
}

/// Connects to the proxy. Fails with the reason.
async fn connect(proxy: Proxy) -> Result<(), String> {
    // The lookup of the proxy's name has a thread of its own, because it may take longer than the time limit.
    let attempt = spawn_blocking(move || {
        let addresses = (proxy.host().trim_matches(['[', ']']), proxy.port()).to_socket_addrs()?;
        let none = Err(std::io::Error::other("name not found"));
        addresses.fold(none, |tried, address| {
            tried.or_else(|_| TcpStream::connect_timeout(&address, TIME_LIMIT / 2).map(drop))
        })
    });
    match tokio::time::timeout(TIME_LIMIT, attempt).await {
        Ok(Ok(connected)) => connected.map_err(|error| error.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

/// Reports whether the proxy can be reached. Without `connected`, the proxy was not contacted.
fn proxy_result(proxy: &Proxy, connected: Option<Result<(), String>>, report: &mut Report) {
    match connected {
        None => report.skipped("network.proxy", None, format!("the proxy {proxy} was not contacted")),
        Some(Ok(())) => report.ok("network.proxy", None, format!("the proxy {proxy} can be reached")),
        Some(Err(why)) => {
            let fix = format!("correct {0}, or run: unset {0}", proxy.variable());
            report.error("network.proxy", None, &format!("the proxy {proxy} cannot be reached: {why}"), &fix);
        }
    }
}

fn no_proxy(report: &mut Report) {
    let set = ["no_proxy", "NO_PROXY"].into_iter().find_map(|name| Some((name, SystemEnv.var(name)?)));
    let Some((name, value)) = set else { return };
    // NO_PROXY lists host names. An entry with a scheme matches no host.
    if value.split(',').any(|entry| entry.contains("://")) {
        let what = format!("{name} contains a URL, which matches no host");
        let fix = format!("set {name} to host names: example.org,.example.net");
        report.warning("network.no_proxy", None, &what, &fix);
    }
}

/// Checks the environment variables that replace the system's certificates.
fn certificates(report: &mut Report) {
    let file = cert_file().map(|(file, found)| ("SSL_CERT_FILE", file, found.err()));
    let folders = std::env::var_os("SSL_CERT_DIR").filter(|value| !value.is_empty());
    let folders = folders.iter().flat_map(std::env::split_paths).map(|folder| {
        let why = std::fs::read_dir(&folder).err().map(|error| format!("cannot be read: {error}"));
        ("SSL_CERT_DIR", folder, why)
    });
    for (variable, path, why) in file.into_iter().chain(folders) {
        let path = path.display();
        match why {
            None => report.ok("network.certificates", None, format!("{path} ({variable}) can be read")),
            Some(why) => {
                let fix = format!("correct {variable}, or run: unset {variable}");
                report.error("network.certificates", None, &format!("{path} ({variable}) {why}"), &fix);
            }
        }
    }
}

fn service(status: &Status, answer: &Answer, report: &mut Report) {
    let (name, url) = (Some(status.name.as_str()), &status.issuer);
    match answer {
        Ok(clock_ahead) => {
            report.ok("network.service", name, format!("{url} can be reached"));
            clock(name, *clock_ahead, report);
        }
        Err(Blocked { obstacle: Obstacle { id, why, fix }, detail, .. }) if *why == UNAVAILABLE.why => {
            report.warning(id, name, &format!("{url} is {why}: {detail}"), fix);
        }
        Err(Blocked { obstacle: Obstacle { id, why, fix }, detail, hint }) => {
            let what = format!("cannot reach {url}: {why} ({detail})");
            report.error(id, name, &what, hint.as_deref().unwrap_or(fix));
        }
    }
}

fn clock(name: Option<&str>, clock_ahead: Option<TimeDelta>, report: &mut Report) {
    let Some(ahead) = clock_ahead else { return };
    if ahead.abs() <= MAX_CLOCK_DIFFERENCE {
        return report.ok("network.clock", name, "this machine's clock agrees with the service's clock");
    }
    let off = humanize::duration(ahead.abs().to_std().unwrap_or_default());
    let side = if ahead > TimeDelta::zero() { "behind" } else { "ahead of" };
    let what = format!("this machine's clock is {off} {side} the service's clock");
    report.error("network.clock", name, &what, "set the clock: timedatectl set-ntp true");
}

/// The time limit for a service's answer.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// How far a service's clock is ahead of this machine's clock, if the service sent its time; or why the service cannot
/// be reached.
type Answer = Result<Option<TimeDelta>, Blocked>;

/// What stands between this machine and a service.
struct Blocked {
    obstacle: &'static Obstacle,
    detail: String,
    /// What the user can do, if that depends on more than the obstacle.
    hint: Option<String>,
}

/// An obstacle between this machine and a service, as the report shows it.
#[derive(Debug, PartialEq, Eq)]
struct Obstacle {
    id: &'static str,
    why: &'static str,
    fix: &'static str,
}

/// The service's name cannot be resolved: no network, no DNS, or a mistyped host.
const NAME: Obstacle = Obstacle {
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
const UNAVAILABLE: Obstacle = Obstacle { id: "network.service", why: "unavailable", fix: "try again later" };

/// Sends one GET request without a secret.
async fn probe(http: Arc<ReqwestHttp>, url: ServiceUrl) -> Answer {
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
