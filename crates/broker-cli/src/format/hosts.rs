//! Formats that say for which hosts the token is.

use std::net::{IpAddr, SocketAddr};

use broker::{Error, Result, Token};

use super::{About, Printed, header};

/// The user whose password the token is, where there must be one.
const USER: &str = "oauth2";

/// Secrets for `DuckDB`, each for what begins with its scope: the `/` at the end keeps `example.org.evil.net` out.
pub(super) fn duckdb(token: &Token, about: &About<'_>) -> Result<Printed> {
    let secret = sql(header::bearer(token, about.header)?, '\'');
    statements(about, "DuckDB's scopes have no patterns", is_exact, |host| {
        let scheme = if is_loopback(host) { "http" } else { "https" };
        let name = sql(&format!("{}@{host}", about.provider), '"');
        let scope = sql(&format!("{scheme}://{}/", host.to_ascii_lowercase()), '\'');
        format!("CREATE OR REPLACE SECRET {name} (TYPE http, BEARER_TOKEN {secret}, SCOPE {scope});\n")
    })
}

/// Lines of a .netrc file, whose readers differ in quotes and escapes.
pub(super) fn netrc(token: &Token, about: &About<'_>) -> Result<Printed> {
    let secret = token.secret().expose();
    let is_basic = about.header.prefix_of(token).eq_ignore_ascii_case("basic");
    if is_basic || !about.header.name.eq_ignore_ascii_case("authorization") {
        return Err(Error::failed(
            "the service does not take the token as a password, as a .netrc file gives it",
        )
        .with_hint("`--format header` has it as the service takes it"));
    }
    let misread = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\');
    if secret.contains(misread) || secret.starts_with('#') {
        return Err(Error::failed(
            "the service's token has blanks, quotes or the like, which readers of .netrc files take differently",
        )
        .with_hint("`--format curl` and `--format wget` can carry it"));
    }
    let can = |host: &str| is_exact(host) && !host.contains(':');
    let mut printed = statements(about, "a .netrc file has no patterns and no ports", can, |host| {
        format!("machine {host} login {USER} password {secret}\n")
    })?;
    printed.notes.push(format!(
        "note: it is sent as the password of the user `{USER}` (Basic): the service must take that"
    ));
    Ok(printed)
}

/// A statement for each host that can have one, and a note on the others.
fn statements(
    about: &About<'_>,
    why: &str,
    can: impl Fn(&str) -> bool,
    statement: impl Fn(&str) -> String,
) -> Result<Printed> {
    let (hosts, left_out): (Vec<&str>, Vec<&str>) =
        about.hosts.iter().map(String::as_str).partition(|host| can(host));
    let left_out = left_out.join(", ");
    if hosts.is_empty() {
        let none = match left_out.as_str() {
            "" => "it has no hosts".to_owned(),
            all => format!("{why}, and it has no other host: {all}"),
        };
        return Err(Error::configuration(none)
            .for_provider(about.provider)
            .with_hint("name its hosts in the configuration: hosts = [\"api.example.org\"]"));
    }
    let mut printed = Printed::from(hosts.into_iter().map(statement).collect::<String>());
    if !left_out.is_empty() {
        printed.notes.push(format!("note: left out, since {why}: {left_out}"));
    }
    Ok(printed)
}

fn is_exact(host: &str) -> bool {
    !host.starts_with("*.")
}

/// Where alone a token may go without TLS.
fn is_loopback(host: &str) -> bool {
    let without_port = host.trim_matches(['[', ']']).parse::<IpAddr>();
    match host.parse::<SocketAddr>().map(|address| address.ip()).or(without_port) {
        Ok(address) => address.is_loopback(),
        Err(_) => host.split(':').next() == Some("localhost"),
    }
}

/// Text in quotes of SQL, which two of a kind in it stand for.
fn sql(text: &str, quote: char) -> String {
    format!("{quote}{}{quote}", text.replace(quote, &format!("{quote}{quote}")))
}
