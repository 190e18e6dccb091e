//! Checks the network: proxy, certificates, each service, and the service's clock.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;

use broker_core::{Proxy, ProxySettings, ReqwestHttp, ServiceUrl, SystemEnv, cert_file};
use chrono::TimeDelta;
use earthbroker::{Broker, Env, Status};
use tokio::task::{JoinSet, spawn_blocking};

use super::probe::{Answer, Blocked, NAME, TIME_LIMIT, UNAVAILABLE, probe};
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
        Err(Blocked { obstacle, detail, .. }) if **obstacle == UNAVAILABLE => {
            report.warning(obstacle.id, name, &format!("{url} is {}: {detail}", obstacle.why), obstacle.fix);
        }
        Err(Blocked { obstacle, detail, hint }) => {
            let what = format!("cannot reach {url}: {} ({detail})", obstacle.why);
            report.error(obstacle.id, name, &what, hint.as_deref().unwrap_or(obstacle.fix));
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
