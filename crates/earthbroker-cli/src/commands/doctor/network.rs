//! Checks the network: proxy, certificates, each service, and the service's clock.

use std::collections::BTreeSet;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use broker_core::{Proxy, ProxySettings, SystemEnv, cert_file};
use chrono::TimeDelta;
use earthbroker::probe::{Obstacle, Probed};
use earthbroker::{Broker, Env, Error, Status};
use tokio::task::{JoinSet, spawn_blocking};
use url::Url;

use super::report::Report;
use crate::commands::{CommandContext, CommandResult};
use crate::humanize;
use crate::run::run as run_async;

/// The time limit for a service's answer, or for a connection to the proxy.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A larger difference between this machine's clock and a service's clock is an error.
const MAX_CLOCK_DIFFERENCE: TimeDelta = TimeDelta::seconds(60);

/// Checks the network. With `--offline`, `broker` is `None` and no request is sent.
pub(super) fn check(
    context: &CommandContext<'_>,
    broker: Option<&Broker>,
    statuses: &[Status],
    report: &mut Report,
) -> CommandResult {
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
    // A provider without a URL is not probed: it runs a program or returns a fixed token.
    let (statuses, others): (Vec<_>, Vec<_>) =
        statuses.iter().partition(|status| Url::parse(&status.issuer).is_ok_and(|url| url.has_host()));
    for status in others {
        let what = format!("the provider has no URL to check: its issuer is {}", status.issuer);
        report.skipped("network.service", Some(&status.name), what);
    }
    let Some(broker) = broker else {
        if let Some(proxy) = proxy {
            report.skipped("network.proxy", None, format!("the proxy {proxy} was not contacted"));
        }
        for status in statuses {
            not_contacted(status, report);
        }
        return Ok(());
    };
    let client = context.setup().prober()?;
    let (answers, refusal) = run_async(broker, async {
        let mut probes = JoinSet::new();
        for (index, status) in statuses.iter().enumerate() {
            let (client, url) = (client.clone(), status.issuer.clone());
            probes.spawn(async move { (index, client.probe(&url, TIMEOUT).await) });
        }
        let refusal = match proxy.clone() {
            Some(proxy) => connect(proxy).await,
            None => None,
        };
        let mut answers = probes.join_all().await;
        answers.sort_by_key(|(index, _)| *index);
        Ok((answers, refusal))
    })?;
    if let Some(proxy) = proxy {
        proxy_result(&proxy, refusal, report);
    }
    let answers: Vec<_> = statuses.into_iter().zip(answers.into_iter().map(|(_, probed)| probed)).collect();
    let unresolved: Vec<_> =
        answers.iter().filter(|(_, probed)| is_unresolved(probed)).map(|(status, _)| *status).collect();
    for (status, probed) in &answers {
        if invalid.is_some() && detail(probed) == invalid.as_deref() {
            not_contacted(status, report);
        } else if unresolved.len() > 1 && is_unresolved(probed) {
            let what = format!("cannot reach {}: name not found", status.issuer);
            report.summarized("network.name", &status.name, what);
        } else {
            service(status, probed, report);
        }
    }
    if unresolved.len() > 1 {
        all_unresolved(&unresolved, report);
    }
    Ok(())
}

fn not_contacted(status: &Status, report: &mut Report) {
    report.skipped("network.service", Some(&status.name), format!("{} was not contacted", status.issuer));
}

/// Connects to the proxy. Returns why the connection failed, if it did.
async fn connect(proxy: Proxy) -> Option<String> {
    // The lookup of the proxy's name has a thread of its own, because it may take longer than the time limit.
    let attempt = spawn_blocking(move || {
        let addresses = (proxy.host().trim_matches(['[', ']']), proxy.port()).to_socket_addrs()?;
        let none = Err(std::io::Error::other("name not found"));
        addresses.fold(none, |tried, address| {
            tried.or_else(|_| TcpStream::connect_timeout(&address, TIMEOUT / 2).map(drop))
        })
    });
    match tokio::time::timeout(TIMEOUT, attempt).await {
        Ok(Ok(connected)) => connected.err().map(|error| error.to_string()),
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("no answer in time".to_owned()),
    }
}

fn proxy_result(proxy: &Proxy, refusal: Option<String>, report: &mut Report) {
    match refusal {
        None => report.ok("network.proxy", None, format!("the proxy {proxy} can be reached")),
        Some(why) => {
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

fn detail(probed: &Result<Probed, Error>) -> Option<&str> {
    probed.as_ref().ok()?.obstacle.as_ref().map(|(_, detail)| detail.as_str())
}

fn is_unresolved(probed: &Result<Probed, Error>) -> bool {
    matches!(probed, Ok(Probed { obstacle: Some((Obstacle::Name, _)), .. }))
}

/// Reports one error for several unknown host names, because the network is then probably down.
fn all_unresolved(statuses: &[&Status], report: &mut Report) {
    let host = |status: &&Status| Url::parse(&status.issuer).ok()?.host_str().map(str::to_owned);
    let hosts: BTreeSet<_> = statuses.iter().filter_map(host).collect();
    let hosts = hosts.into_iter().collect::<Vec<_>>().join(", ");
    let (id, why, fix) = words_for(Obstacle::Name);
    report.error(id, None, &format!("{why}: {hosts}"), fix);
}

fn service(status: &Status, probed: &Result<Probed, Error>, report: &mut Report) {
    let (name, url) = (Some(status.name.as_str()), &status.issuer);
    let hint = probed.as_ref().ok().and_then(|probed| probed.hint.as_deref());
    match probed.as_ref().map(|probed| (&probed.obstacle, probed.clock_ahead)) {
        Err(error) => report.error("network.service", name, error.message(), "run: broker config check"),
        Ok((None, clock_ahead)) => {
            report.ok("network.service", name, format!("{url} can be reached"));
            clock(name, clock_ahead, report);
        }
        Ok((Some((Obstacle::Trouble, what)), _)) => {
            let what = format!("{url} is unavailable: {what}");
            report.warning("network.service", name, &what, "try again later");
        }
        Ok((Some((obstacle, detail)), _)) => {
            let (id, why, fix) = words_for(*obstacle);
            let what = format!("cannot reach {url}: {why} ({detail})");
            report.error(id, name, &what, hint.unwrap_or(fix));
        }
    }
}

/// Returns the id, the cause and the fix that the report shows for a failed request.
fn words_for(obstacle: Obstacle) -> (&'static str, &'static str, &'static str) {
    match obstacle {
        Obstacle::Name => (
            "network.name",
            "name not found",
            "check the network and the name server; if the host is mistyped, correct it (run: broker config show)",
        ),
        Obstacle::Refused => (
            "network.refused",
            "connection refused",
            "check the port of the URL (run: broker config show); behind a proxy, set HTTPS_PROXY",
        ),
        Obstacle::UnknownIssuer => (
            "network.issuer",
            "the certificate is not trusted",
            "if your organization has its own certificate authority, set SSL_CERT_FILE to its PEM file, or add it to the \
             system's certificates",
        ),
        Obstacle::Tls => (
            "network.tls",
            "the TLS connection failed",
            "check the clock, the URL, and whether a firewall or a proxy intercepts TLS",
        ),
        Obstacle::Proxy => (
            "network.proxy_refused",
            "the proxy failed",
            "correct HTTPS_PROXY (with user and password if the proxy needs a login), or add the host to NO_PROXY",
        ),
        Obstacle::Timeout => (
            "network.timeout",
            "no answer in time",
            "behind a proxy, set HTTPS_PROXY; otherwise try again later",
        ),
        Obstacle::Portal => (
            "network.portal",
            "a sign-in page or another server answered",
            "if this network has a sign-in page, open it in a browser and sign in",
        ),
        Obstacle::Unreachable => ("network.service", "no route", "check the network, then try again"),
        _ => (
            "network.service",
            "the connection failed",
            "check the host and port of the URL (run: broker config show), and whether a firewall blocks the connection",
        ),
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
