//! Formats for HTTP clients: headers and cookies.

use earthbroker::{Result, Secret, Token};
use serde::Deserialize;

use super::{TokenInfo, unsuitable};

/// Returns the header line `Authorization: …`.
pub(super) fn line(token: &Token) -> Result<String> {
    let (name, prefix, secret) = (&token.header().name, token.header().prefix_of(token), value(token)?);
    let blank = if prefix.is_empty() { "" } else { " " };
    Ok(format!("{name}: {prefix}{blank}{secret}\n"))
}

/// Returns a line of curl's configuration, with backslashes and double quotes escaped (curl(1), `--config`).
pub(super) fn curl(token: &Token) -> Result<String> {
    let line = line(token)?.replace('\\', r"\\").replace('"', "\\\"");
    Ok(format!("header = \"{}\"\n", line.trim_end_matches('\n')))
}

/// Returns a line of a wgetrc file. The value is not quoted: wget reads the rest of the line.
pub(super) fn wget(token: &Token, info: &TokenInfo<'_>) -> Result<String> {
    Ok(format!("header = {}", for_every_host("wget", token, info)?))
}

/// Returns the header line for a program that cannot restrict the header to some hosts, and warns of that.
pub(super) fn for_every_host(program: &str, token: &Token, info: &TokenInfo<'_>) -> Result<String> {
    let line = line(token)?;
    let danger = "sends this token to every host: use the file only with URLs of this service";
    (info.note)(&format!("warning: {program} {danger}"));
    Ok(line)
}

/// Returns the token's secret for programs that always send `Bearer`. Fails if the provider needs another header.
pub(super) fn bearer(token: &Token) -> Result<&str> {
    let header = token.header();
    if header.is_bearer(token) {
        return value(token);
    }
    let needed = format!("{}: {} TOKEN", header.name, header.prefix_of(token)).replace("  ", " ");
    let why = format!("this format sends `Authorization: Bearer TOKEN`, but the service needs `{needed}`");
    Err(unsuitable(why).with_hint("use: --format header"))
}

/// Returns the token's secret. Fails on surrounding white space, which HTTP removes (RFC 9110 section 5.5).
fn value(token: &Token) -> Result<&str> {
    let secret = token.secret().expose();
    if secret == secret.trim() {
        return Ok(secret);
    }
    let why = "the token begins or ends with a space, which no HTTP header can carry";
    Err(unsuitable(why).with_hint("use: --format json"))
}

/// A cookie, parsed from the JSON object that the broker stores as the token's secret.
#[derive(Deserialize)]
struct Cookie {
    name: String,
    value: Secret,
    domain: String,
    path: String,
    secure: bool,
    #[serde(default)]
    http_only: bool,
}

/// Returns the cookie file. A domain with a leading dot includes its subdomains.
pub(super) fn cookies(token: &Token) -> Result<String> {
    // The parser's error is dropped, because the error quotes the secret.
    let cookie: Option<Cookie> = serde_json::from_str(token.secret().expose()).ok().filter(is_valid);
    let Cookie { name, value, domain, path, secure, http_only } =
        cookie.ok_or_else(|| unsuitable("the service's cookie cannot be written to a cookie file"))?;
    let value = value.expose();
    let flag = |yes| if yes { "TRUE" } else { "FALSE" };
    let prefix = if http_only { "#HttpOnly_" } else { "" };
    let (subdomains, secure) = (flag(domain.starts_with('.')), flag(secure));
    // An expiry of 0 marks a session cookie.
    let expires = token.expires_at().map_or(0, |time| time.timestamp());
    Ok(format!(
        "# Netscape HTTP Cookie File\n{prefix}{domain}\t{subdomains}\t{path}\t{secure}\t{expires}\t{name}\t{value}\n"
    ))
}

/// Whether no field contains a separator of cookie files or HTTP headers.
fn is_valid(cookie: &Cookie) -> bool {
    let Cookie { name, value, domain, path, .. } = cookie;
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != ';';
    let is_plain = |text: &str| !text.is_empty() && text.chars().all(plain);
    [name, domain, path, value.expose()].into_iter().all(is_plain)
        && !name.contains('=')
        && path.starts_with('/')
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "tests")]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn token(json: &str) -> Token {
        let at = DateTime::from_timestamp(4_000_000_000, 0).expect("a time");
        Token::new(Secret::new(json), at, Some(at))
    }

    #[test]
    fn cookie_is_written_as_one_line_with_tabs() {
        let written = |domain: &str, more: &str| {
            let json = format!(r#"{{"name":"A","value":"x=\"é\"%","domain":"{domain}","path":"/p"{more}}}"#);
            cookies(&token(&json)).expect("a file")
        };
        let head = "# Netscape HTTP Cookie File\n";
        assert_eq!(
            written(".e.org", r#","secure":true,"http_only":true"#),
            format!("{head}#HttpOnly_.e.org\tTRUE\t/p\tTRUE\t4000000000\tA\tx=\"é\"%\n")
        );
        assert_eq!(
            written("e.org", r#","secure":false"#),
            format!("{head}e.org\tFALSE\t/p\tFALSE\t4000000000\tA\tx=\"é\"%\n")
        );
    }

    #[test]
    fn cookie_with_invalid_fields_is_rejected() {
        for (name, value, domain, path) in [
            ("A", r"x\ty", "e.org", "/"),
            ("A", r"x\n.f.org", "e.org", "/"),
            ("A", "x;y", "e.org", "/"),
            ("A", "", "e.org", "/"),
            ("A=B", "x", "e.org", "/"),
            ("A", "x", "", "/"),
            ("A", "x", "e org", "/"),
            ("A", "x", "e.org", "p"),
        ] {
            let json = format!(
                r#"{{"name":"{name}","value":"{value}","domain":"{domain}","path":"{path}","secure":true}}"#
            );
            assert!(cookies(&token(&json)).is_err(), "{json}");
        }
        let error = cookies(&token(r#"{"name":"secret-7"}"#)).expect_err("half a cookie");
        assert!(!format!("{error:?}").contains("secret-7"), "{error:?}");
    }
}
