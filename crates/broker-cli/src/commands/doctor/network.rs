//! The way to each service: proxy, certificates, the service itself, and its clock.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use broker::{Broker, Env, Error, Obstacle, Probed, Status, SystemEnv};
use chrono::TimeDelta;
use tokio::task::{JoinSet, spawn_blocking};
use url::Url;

use super::report::Report;
use crate::commands::{CommandContext, CommandResult};
use crate::humanize;
use crate::run::run as run_async;

/// How long a service may take to answer.
const BOUND: Duration = Duration::from_secs(10);

/// From here on a token's times are wrong.
const SKEW: TimeDelta = TimeDelta::seconds(60);

/// Without a broker, nothing is asked.
pub(super) fn check(
    context: &CommandContext<'_>,
    broker: Option<&Broker>,
    statuses: &[Status],
    report: &mut Report,
) -> CommandResult {
    certificates(report);
    no_proxy(report);
    let proxy = proxy(report);
    // A program, or a key that somebody gave, has no address to look for.
    let (statuses, others): (Vec<_>, Vec<_>) =
        statuses.iter().partition(|status| Url::parse(&status.issuer).is_ok_and(|url| url.has_host()));
    for status in others {
        report.skipped("network.service", Some(&status.name), format!("{} is no address", status.issuer));
    }
    let Some(broker) = broker else {
        if let Some(proxy) = proxy {
            report.skipped(
                "network.proxy",
                None,
                format!("the proxy {}:{} is not asked", proxy.host, proxy.port),
            );
        }
        for status in &statuses {
            report.skipped("network.service", Some(&status.name), format!("{} is not asked", status.issuer));
        }
        return Ok(());
    };
    let scout = context.setup().prober()?;
    let (answers, refusal) = run_async(broker, async {
        let mut probes = JoinSet::new();
        for (index, status) in statuses.iter().enumerate() {
            let (scout, url) = (scout.clone(), status.issuer.clone());
            probes.spawn(async move { (index, scout.probe(&url, BOUND).await) });
        }
        let refusal = match proxy.clone() {
            Some(proxy) => knock(proxy).await,
            None => None,
        };
        let mut answers = probes.join_all().await;
        answers.sort_by_key(|(index, _)| *index);
        Ok((answers, refusal))
    })?;
    if let Some(proxy) = proxy {
        of_proxy(&proxy, refusal, report);
    }
    let answers: Vec<_> = statuses.into_iter().zip(answers.into_iter().map(|(_, probed)| probed)).collect();
    let nameless: Vec<_> =
        answers.iter().filter(|(_, probed)| has_no_address(probed)).map(|(status, _)| *status).collect();
    for (status, probed) in &answers {
        if nameless.len() > 1 && has_no_address(probed) {
            let what = format!("{}: its name has no address", status.issuer);
            report.told("network.name", Some(&status.name), what);
        } else {
            of_service(status, probed, report);
        }
    }
    if nameless.len() > 1 {
        of_nameless(&nameless, report);
    }
    Ok(())
}

/// A proxy, and the variable that names it.
#[derive(Clone)]
struct Proxy {
    variable: &'static str,
    host: String,
    port: u16,
}

/// The proxy for https, if the environment names one that can be used.
fn proxy(report: &mut Report) -> Option<Proxy> {
    let (variable, value) = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        .into_iter()
        .find_map(|name| Some((name, SystemEnv.var(name)?)))?;
    let url = Url::parse(&if value.contains("://") { value } else { format!("http://{value}") }).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
    let host = url.as_ref().and_then(Url::host_str).filter(|host| !host.is_empty());
    if let Some((host, port)) = host.zip(url.as_ref().and_then(Url::port_or_known_default)) {
        return Some(Proxy { variable, host: host.to_owned(), port });
    }
    // It may hold a password: what it is stays unsaid.
    let fix = format!("set {variable} to http://HOST:PORT, or run: unset {variable}");
    report.error("network.proxy", None, format!("{variable} is not the URL of an http proxy"), fix);
    None
}

/// Why no connection to the proxy can be made, if so.
async fn knock(proxy: Proxy) -> Option<String> {
    // In a thread that is not waited for: an address may take longer to find than anybody wants to wait.
    let knock = spawn_blocking(move || {
        let addresses = (proxy.host.trim_matches(['[', ']']), proxy.port).to_socket_addrs()?;
        let mut last = Err(std::io::Error::other("it has no address"));
        for address in addresses {
            last = TcpStream::connect_timeout(&address, BOUND / 2).map(drop);
            if last.is_ok() {
                break;
            }
        }
        last
    });
    match tokio::time::timeout(BOUND, knock).await {
        Ok(Ok(connected)) => connected.err().map(|error| error.to_string()),
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("no answer in time".to_owned()),
    }
}

fn of_proxy(proxy: &Proxy, refusal: Option<String>, report: &mut Report) {
    let Proxy { variable, host, port } = proxy;
    match refusal {
        None => {
            report.fine(
                "network.proxy",
                None,
                format!("the proxy {host}:{port} ({variable}) can be reached"),
            );
        }
        Some(why) => {
            let what = format!("the proxy {host}:{port} ({variable}) cannot be reached: {why}");
            report.error(
                "network.proxy",
                None,
                what,
                format!("correct {variable}, or run: unset {variable}"),
            );
        }
    }
}

fn no_proxy(report: &mut Report) {
    let set = ["NO_PROXY", "no_proxy"].into_iter().find_map(|name| Some((name, SystemEnv.var(name)?)));
    let Some((name, value)) = set else { return };
    // An entry with a scheme fits no host.
    if value.split(',').any(|entry| entry.contains("://")) {
        let what = format!("an entry of {name} is a URL, and fits no host");
        report.warning(
            "network.no_proxy",
            None,
            what,
            format!("write hosts into {name}: example.org,.example.net"),
        );
    }
}

/// Variables that take the place of the system's certificates.
fn certificates(report: &mut Report) {
    if let Some(file) = SystemEnv.var("SSL_CERT_FILE") {
        let read = std::fs::read(&file);
        let why = match read {
            Err(error) => Some(error.to_string()),
            Ok(text) => (!text.windows(27).any(|part| part == b"-----BEGIN CERTIFICATE-----"))
                .then(|| "there is no certificate in it (PEM)".to_owned()),
        };
        of_certificates("SSL_CERT_FILE", &file, why, report);
    }
    let folders = std::env::var_os("SSL_CERT_DIR").filter(|value| !value.is_empty());
    for folder in folders.iter().flat_map(std::env::split_paths) {
        let why = std::fs::read_dir(&folder).err().map(|error| error.to_string());
        of_certificates("SSL_CERT_DIR", &folder.display().to_string(), why, report);
    }
}

fn of_certificates(variable: &str, path: &str, why: Option<String>, report: &mut Report) {
    let path = Path::new(path).display();
    match why {
        None => report.fine("network.certificates", None, format!("{path} ({variable}) can be read")),
        Some(why) => {
            let fix = format!("correct {variable}, or run: unset {variable}");
            report.error("network.certificates", None, format!("{path} ({variable}): {why}"), fix);
        }
    }
}

fn has_no_address(probed: &Result<Probed, Error>) -> bool {
    matches!(probed, Ok(Probed { obstacle: Some((Obstacle::Name, _)), .. }))
}

/// Without a network no host has an address: that is one thing to mend, not one for each.
fn of_nameless(statuses: &[&Status], report: &mut Report) {
    let host = |status: &&Status| Url::parse(&status.issuer).ok()?.host_str().map(str::to_owned);
    let mut hosts: Vec<_> = statuses.iter().filter_map(host).collect();
    hosts.sort();
    hosts.dedup();
    let (_, _, fix) = words_for(Obstacle::Name);
    report.error("network.name", None, format!("no address is found for {}", hosts.join(", ")), fix);
}

fn of_service(status: &Status, probed: &Result<Probed, Error>, report: &mut Report) {
    let (name, url) = (Some(status.name.as_str()), &status.issuer);
    let probed = match probed {
        Ok(probed) => probed,
        Err(error) => {
            return report.error("network.service", name, error.message(), "run: broker config check");
        }
    };
    match &probed.obstacle {
        None => {
            report.fine("network.service", name, format!("{url} can be reached"));
            clock(status, probed, report);
        }
        Some((Obstacle::Trouble, what)) => {
            let what = format!("{url} is in trouble: {what}");
            report.warning("network.service", name, what, "try again later");
        }
        Some((obstacle, what)) => {
            let (id, why, fix) = words_for(*obstacle);
            report.error(id, name, format!("{url} cannot be reached: {why} ({what})"), fix);
        }
    }
}

/// The id of a finding, what it is, and what mends it.
fn words_for(obstacle: Obstacle) -> (&'static str, &'static str, &'static str) {
    match obstacle {
        Obstacle::Name => (
            "network.name",
            "its name has no address",
            "is there a network, and a name server? if the host is mistyped, correct it (`broker config show`)",
        ),
        Obstacle::Refused => (
            "network.refused",
            "the connection is refused",
            "if a firewall wants a proxy, set HTTPS_PROXY; is the port of the URL right (`broker config show`)?",
        ),
        Obstacle::UnknownIssuer => (
            "network.issuer",
            "its certificate is of an authority that is not trusted here",
            "if your company has a certificate authority of its own, set SSL_CERT_FILE to a file with it (PEM), \
             or add it to the system's",
        ),
        Obstacle::Tls => (
            "network.tls",
            "no TLS connection can be had",
            "is the clock right? does something between you and the service break TLS? is the URL one of https?",
        ),
        Obstacle::Proxy => (
            "network.proxy_refused",
            "the proxy does not let it through",
            "correct HTTPS_PROXY (with user and password, if it wants a login), or add the host to NO_PROXY",
        ),
        Obstacle::Timeout => (
            "network.timeout",
            "no answer came in time",
            "if a firewall drops it, set HTTPS_PROXY; else try again later",
        ),
        Obstacle::Portal => (
            "network.portal",
            "something else answers in its place",
            "if this network has a sign-in page, open it in a browser and sign in",
        ),
        _ => ("network.service", "there is no way to it", "is there a network? try again later"),
    }
}

fn clock(status: &Status, probed: &Probed, report: &mut Report) {
    let Some(ahead) = probed.clock_ahead else { return };
    let name = Some(status.name.as_str());
    let off = ahead.abs().to_std().unwrap_or_default();
    if ahead.abs() <= SKEW {
        return report.fine("network.clock", name, "this clock agrees with the service's");
    }
    let side = if ahead > TimeDelta::zero() { "behind" } else { "ahead of" };
    let what = format!("this clock is {} {side} the service's", humanize::duration(off));
    report.error("network.clock", name, what, "set the clock: timedatectl set-ntp true");
}
