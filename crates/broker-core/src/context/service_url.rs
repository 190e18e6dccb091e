//! URLs that secrets may be sent to.

use std::fmt;

use serde::{Deserialize, Deserializer, de};
use url::Url;

use crate::token::without_query;

/// A URL that secrets may be sent to: https, or http to this machine; without user and fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceUrl(Url);

impl ServiceUrl {
    /// Parses a URL, and checks that secrets may be sent to the URL ([`ServiceUrl`]).
    pub fn parse(text: &str) -> Result<Self, String> {
        let shown = || match text.rsplit_once('@') {
            None => without_query(text),
            Some((user, host)) if !user.contains(['?', '#']) => format!("…@{}", without_query(host)),
            // The `@` is part of a password or of a query.
            Some(_) => "…".to_owned(),
        };
        let url = Url::parse(text)
            .map_err(|error| format!("`{}` is not a URL ({error}): https://HOST/PATH", shown()))?;
        let url = Self(url);
        match url.0.scheme() {
            _ if !url.0.username().is_empty() || url.0.password().is_some() => {
                Err("the URL contains a user or password: use configuration keys for them instead".to_owned())
            }
            _ if url.0.fragment().is_some() => {
                Err(format!("`{}` has a fragment (#…): remove the fragment", shown()))
            }
            "https" => Ok(url),
            "http" if url.is_loopback() => Ok(url),
            "http" => Err(format!(
                "`{}` would send secrets unencrypted: use https (http only for this machine)",
                shown()
            )),
            other => Err(format!("the scheme `{other}` is not supported: use https")),
        }
    }

    /// Appends `path` to the URL's path.
    #[must_use]
    pub fn join(&self, path: &str) -> Self {
        let mut url = self.0.clone();
        url.set_path(&format!("{}/{}", self.0.path().trim_end_matches('/'), path.trim_start_matches('/')));
        Self(url)
    }

    /// Appends parameters to the URL's query.
    #[must_use]
    pub fn with_query<T: AsRef<str>>(mut self, params: &[(String, T)]) -> Self {
        if !params.is_empty() {
            self.0.query_pairs_mut().extend_pairs(params);
        }
        self
    }

    /// Returns the URL's host, with the port if the URL names one.
    pub fn host(&self) -> String {
        let port = self.0.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}{port}", self.0.host_str().unwrap_or_default())
    }

    /// Returns the URL's host and port, which is the scheme's if the URL names none.
    #[cfg_attr(not(feature = "reqwest"), expect(dead_code, reason = "only the HTTP client needs it"))]
    pub(crate) fn host_and_port(&self) -> (Option<url::Host<&str>>, u16) {
        (self.0.host(), self.0.port_or_known_default().unwrap_or_default())
    }

    /// Whether the URL's host is this machine (a loopback address).
    pub fn is_loopback(&self) -> bool {
        match self.0.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }

    /// Returns the URL as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether the URL uses unencrypted http, which is allowed only to this machine.
    pub fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }
}

impl fmt::Display for ServiceUrl {
    /// Formats the URL without its query, because the query may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, query) =
            self.as_str().split_once('?').map_or((self.as_str(), ""), |(path, _)| (path, "?…"));
        write!(f, "{}{query}", path.trim_end_matches('/'))
    }
}

impl<'de> Deserialize<'de> for ServiceUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
