//! The proxy for HTTPS requests, from the environment variables that curl and Python's requests read.

use std::ffi::OsString;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use ipnet::IpNet;
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::context::{HttpFault, RequestSent, ServiceUrl};
use crate::error::ErrorCode;
use crate::token::sensitive;

/// The variables with the proxy for HTTPS. As with curl and requests, the lower-case name comes first, and an empty
/// variable is unset.
const VARIABLES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const EXCEPTIONS: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// The proxy settings of the environment. No request bypasses a proxy setting that cannot be used.
#[derive(Debug, Clone)]
pub struct ProxySettings {
    proxy: Result<Option<Proxy>, HttpFault>,
    exceptions: Vec<Exception>,
}

/// A proxy for HTTPS requests. `Debug` and `Display` hide its user and password.
#[derive(Debug, Clone)]
pub struct Proxy {
    variable: &'static str,
    pub(super) url: Url,
    /// The value of the header `Proxy-Authorization`, marked sensitive.
    pub(super) authorization: Option<HeaderValue>,
}

impl ProxySettings {
    /// Reads the environment variables of this process.
    #[must_use]
    pub fn from_env() -> Self {
        Self::read(|name| std::env::var_os(name))
    }

    fn read(var: impl Fn(&str) -> Option<OsString>) -> Self {
        let is_set = |value: &OsString| value.to_str().is_none_or(|value| !trimmed(value).is_empty());
        let first =
            |names: &[&'static str]| names.iter().find_map(|name| Some((*name, var(name).filter(is_set)?)));
        let exceptions = first(&EXCEPTIONS).map(|(_, value)| value.to_string_lossy().into_owned());
        let proxy = first(&VARIABLES).map(|(variable, value)| {
            let value = value.to_str().ok_or("it is not UTF-8");
            value.and_then(|value| Proxy::parse(variable, value)).map_err(|why| invalid(variable, why))
        });
        let exceptions = match exceptions.as_deref().map(trimmed).unwrap_or_default() {
            // As with curl and requests, `*` in a list matches no host.
            "*" => vec![Exception::Every],
            // curl and requests accept commas and blanks.
            list => {
                list.split(|c: char| c == ',' || c.is_whitespace()).filter_map(Exception::parse).collect()
            }
        };
        Self { proxy: proxy.transpose(), exceptions }
    }

    /// Returns the configured proxy. Fails if its variable cannot be used.
    pub fn proxy(&self) -> Result<Option<&Proxy>, HttpFault> {
        self.proxy.as_ref().map(Option::as_ref).map_err(Clone::clone)
    }

    /// Returns the proxy for requests to `url`. `None` means a direct connection: no proxy is configured, `NO_PROXY`
    /// lists the host, or the URL is http to this machine.
    pub fn of(&self, url: &ServiceUrl) -> Result<Option<&Proxy>, HttpFault> {
        if url.is_plain() || self.exceptions.iter().any(|exception| exception.matches(url)) {
            return Ok(None);
        }
        self.proxy()
    }
}

fn invalid(variable: &str, why: &str) -> HttpFault {
    // The value is not shown, because it may contain a password.
    let what = format!("{variable} is not the URL of an http proxy: {why}");
    let hint = format!("set {variable} to http://HOST:PORT, or run: unset {variable}");
    HttpFault::new(RequestSent::No, ErrorCode::ProxyInvalid, what).with_hint(hint)
}

/// Removes blanks, line ends and one pair of quotes, which `docker --env-file` keeps.
fn trimmed(value: &str) -> &str {
    let value = value.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let unquoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    unquoted.unwrap_or(value).trim()
}

impl Proxy {
    /// Parses the value of a variable as curl does: user and password may contain any character, plain or
    /// percent-encoded.
    fn parse(variable: &'static str, value: &str) -> Result<Self, &'static str> {
        let value = trimmed(value);
        let (scheme, rest) = match value.split_once("://") {
            Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                (scheme.to_ascii_lowercase(), rest)
            }
            _ => ("http".to_owned(), value),
        };
        match scheme.as_str() {
            "http" | "https" => {}
            _ if scheme.starts_with("socks") => return Err("SOCKS proxies are not supported"),
            _ => return Err("its scheme is neither http nor https"),
        }
        if value.contains(char::is_control) {
            return Err("it contains a line end or another control character");
        }
        // The password may contain `@`, `/` and `\`. The host follows the last `@`.
        let (user, host) = rest.rsplit_once('@').map_or((None, rest), |(user, host)| (Some(user), host));
        let host = host.split(['/', '?', '#']).next().unwrap_or_default();
        let is_plain = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '\\');
        let url =
            Url::parse(&format!("{scheme}://{host}")).ok().filter(|url| is_plain && has_plain_host(url));
        let url = url.ok_or("its host or port is invalid")?;
        if matches!(url.host_str(), Some("http" | "https")) {
            return Err("its scheme is misspelt");
        }
        let authorization = user.and_then(|user| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            let (name, password) = (percent_decoded(name), percent_decoded(password));
            let pair = Zeroizing::new([&name[..], b":", &password].concat());
            sensitive(&["Basic ", &Zeroizing::new(STANDARD.encode(&*pair))])
        });
        Ok(Self { variable, url, authorization })
    }

    /// Returns the environment variable that configures the proxy.
    pub fn variable(&self) -> &'static str {
        self.variable
    }

    /// Returns the proxy's host.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Returns the proxy's port.
    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or_default()
    }

    /// Returns what the user can do if a request through the proxy fails.
    pub(super) fn advice(&self) -> String {
        let other = match self.url.scheme() {
            "https" => format!("; if the proxy speaks no TLS, begin {} with http://", self.variable),
            _ => String::new(),
        };
        format!("check the network and the proxy {self}, then try again{other}")
    }
}

impl std::fmt::Display for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{} ({})", self.host(), self.port(), self.variable)
    }
}

/// Whether the host is an IP address or a DNS name. reqwest silently ignores a proxy with another host, such as `{proxy}`.
fn has_plain_host(url: &Url) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    url.host().is_some_and(|host| match host {
        Host::Domain(name) => (1..=253).contains(&name.len()) && name.bytes().all(is_plain),
        Host::Ipv4(_) | Host::Ipv6(_) => true,
    })
}

/// Decodes `%XX`. Other percent signs stay, as with curl.
fn percent_decoded(text: &str) -> Zeroizing<Vec<u8>> {
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
    decoded.extend(percent_encoding::percent_decode_str(text));
    decoded
}

/// An entry of `NO_PROXY`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Exception {
    Every,
    /// A host and its subdomains.
    Name(String, Option<u16>),
    Network(IpNet, Option<u16>),
}

impl Exception {
    /// Parses an entry. An entry that is empty or a URL matches no host.
    fn parse(entry: &str) -> Option<Self> {
        if let Some((address, bits)) = entry.split_once('/') {
            return Some(Self::Network(IpNet::new(address_of(address)?, bits.parse().ok()?).ok()?, None));
        }
        let (host, port) = match entry.rsplit_once(':') {
            // An IPv6 address without brackets has several colons.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, Some(port.parse().ok()?))
            }
            _ => (entry, None),
        };
        if let Some(address) = address_of(host) {
            return Some(Self::Network(address.into(), port));
        }
        let name = host.trim_start_matches("*.").trim_matches('.').to_ascii_lowercase();
        (!name.is_empty()).then_some(Self::Name(name, port))
    }

    fn matches(&self, url: &ServiceUrl) -> bool {
        let (host, url_port) = url.host_and_port();
        let same_port = |port: &Option<u16>| port.is_none() || *port == Some(url_port);
        match (self, host) {
            (Self::Every, _) => true,
            (Self::Name(name, port), Some(Host::Domain(host))) => {
                let before = host.trim_end_matches('.').strip_suffix(name.as_str());
                before.is_some_and(|rest| rest.is_empty() || rest.ends_with('.')) && same_port(port)
            }
            (Self::Network(network, port), Some(Host::Ipv4(host))) => {
                network.contains(&IpAddr::V4(host)) && same_port(port)
            }
            (Self::Network(network, port), Some(Host::Ipv6(host))) => {
                network.contains(&IpAddr::V6(host)) && same_port(port)
            }
            _ => false,
        }
    }
}

/// Parses an address. Only IPv6 addresses may have brackets.
fn address_of(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(address) => Some(IpAddr::V6(address.parse().ok()?)),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests;
