//! Formats that print one entry per host: `.netrc` and `DuckDB`.

use broker_core::ServiceUrl;
use earthbroker::{Error, ErrorCode, Result, Token};

use super::{TokenInfo, header, unsuitable};

/// The user name for servers that expect a token as password.
const USER: &str = "oauth2";

/// Returns a `DuckDB` secret for each host. The secret's scope is a URL prefix, whose final `/` excludes
/// `example.org.evil.net`.
pub(super) fn duckdb(token: &Token, info: &TokenInfo<'_>) -> Result<String> {
    let secret = sql(header::bearer(token)?, '\'');
    statements(info, "DuckDB does not support host patterns", is_exact, |host| {
        let name = sql(&format!("{}@{host}", info.provider.name()), '"');
        let plain = format!("http://{}/", host.to_ascii_lowercase());
        // A URL with http is valid only for this machine.
        let is_loopback = ServiceUrl::parse(&plain).is_ok();
        let scope = sql(&if is_loopback { plain } else { plain.replacen("http", "https", 1) }, '\'');
        format!("CREATE OR REPLACE SECRET {name} (TYPE http, BEARER_TOKEN {secret}, SCOPE {scope});\n")
    })
}

/// Returns lines for a .netrc file. Fails if the token needs quotes or escapes, which programs read differently.
pub(super) fn netrc(token: &Token, info: &TokenInfo<'_>) -> Result<String> {
    let secret = token.secret().expose();
    let is_basic = token.header().prefix_of(token).eq_ignore_ascii_case("basic");
    if is_basic || !token.header().name.eq_ignore_ascii_case("authorization") {
        let why = "programs send a .netrc entry as a password, which this service does not accept";
        return Err(unsuitable(why).with_hint("use: --format header"));
    }
    let ambiguous = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\');
    if secret.contains(ambiguous) || secret.starts_with('#') {
        let why = "the token has spaces, quotes or other characters that programs read differently in a .netrc file";
        return Err(unsuitable(why).with_hint("use: --format curl, or: --format wget"));
    }
    let supported = |host: &str| is_exact(host) && !host.contains(':');
    let lines = statements(info, ".netrc supports no host patterns or ports", supported, |host| {
        format!("machine {host} login {USER} password {secret}\n")
    })?;
    (info.note)(&format!(
        "note: programs send the token as the password of user `{USER}` (HTTP Basic); check that the service accepts this"
    ));
    Ok(lines)
}

/// Returns a .netrc line or SQL statement for each supported host, and a note that names the unsupported hosts.
fn statements(
    info: &TokenInfo<'_>,
    reason: &str,
    supported: impl Fn(&str) -> bool,
    statement: impl Fn(&str) -> String,
) -> Result<String> {
    let (hosts, left_out): (Vec<&str>, Vec<&str>) =
        info.provider.info().hosts.iter().map(String::as_str).partition(|host| supported(host));
    let left_out = left_out.join(", ");
    if hosts.is_empty() {
        let message = match left_out.as_str() {
            "" => "the provider has no `hosts` configured, and this format needs a host".to_owned(),
            hosts => format!("this format supports none of the provider's hosts ({hosts}), because {reason}"),
        };
        return Err(Error::new(ErrorCode::ConfigMissingKey, message)
            .for_provider(info.provider.name())
            .with_hint("add the provider's hosts to the configuration: hosts = [\"api.example.org\"]"));
    }
    if !left_out.is_empty() {
        (info.note)(&format!("note: the output omits these hosts, because {reason}: {left_out}"));
    }
    Ok(hosts.into_iter().map(statement).collect())
}

/// Whether a configured host is a single host, not a pattern such as `*.example.org`.
pub(crate) fn is_exact(host: &str) -> bool {
    !host.starts_with("*.")
}

fn sql(text: &str, quote: char) -> String {
    format!("{quote}{}{quote}", text.replace(quote, &format!("{quote}{quote}")))
}
