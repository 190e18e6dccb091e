//! Formats that contain an HTTP header.

use earthbroker::{Header, Result, Token};

use super::{TokenInfo, unsuitable};

/// Returns the header line `Authorization: …`.
pub(super) fn line(token: &Token, header: &Header) -> Result<String> {
    let (name, prefix, secret) = (&header.name, header.prefix_of(token), value(token)?);
    let blank = if prefix.is_empty() { "" } else { " " };
    Ok(format!("{name}: {prefix}{blank}{secret}\n"))
}

/// Returns a line of curl's configuration, with backslashes and double quotes escaped (curl(1), `--config`).
pub(super) fn curl(token: &Token, header: &Header) -> Result<String> {
    let line = line(token, header)?.replace('\\', r"\\").replace('"', "\\\"");
    Ok(format!("header = \"{}\"\n", line.trim_end_matches('\n')))
}

/// Returns a line of a wgetrc file. The value is not quoted: wget reads the rest of the line.
pub(super) fn wget(token: &Token, info: &TokenInfo<'_>) -> Result<String> {
    Ok(format!("header = {}", for_every_host("wget", token, info)?))
}

pub(super) fn gdal(token: &Token, info: &TokenInfo<'_>) -> Result<String> {
    for_every_host("GDAL", token, info)
}

/// Returns the header line for a program that cannot restrict the header to some hosts, and warns of that.
fn for_every_host(program: &str, token: &Token, info: &TokenInfo<'_>) -> Result<String> {
    let line = line(token, &info.about.header)?;
    let danger = "sends this token to every host: use the file only with URLs of this service";
    (info.note)(&format!("warning: {program} {danger}"));
    Ok(line)
}

/// Returns the token's secret for programs that always send `Bearer`. Fails if the provider needs another header.
pub(super) fn bearer<'a>(token: &'a Token, header: &Header) -> Result<&'a str> {
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
