//! Formats that are a header of HTTP.

use broker::{Error, Header, Result, Token};

use super::Printed;

/// `Authorization: …`.
pub(super) fn line(token: &Token, header: &Header) -> Result<String> {
    let (name, prefix, secret) = (&header.name, header.prefix_of(token), value(token)?);
    let blank = if prefix.is_empty() { "" } else { " " };
    Ok(format!("{name}: {prefix}{blank}{secret}\n"))
}

/// A line of curl's configuration. In double quotes a backslash and a double quote are escaped (curl(1), `--config`).
pub(super) fn curl(token: &Token, header: &Header) -> Result<String> {
    let line = line(token, header)?.replace('\\', r"\\").replace('"', "\\\"");
    Ok(format!("header = \"{}\"\n", line.trim_end_matches('\n')))
}

/// A line of a wgetrc, which knows no quotes: the value is the rest of the line.
pub(super) fn wget(token: &Token, header: &Header) -> Result<Printed> {
    let text = format!("header = {}", line(token, header)?);
    Ok(Printed { text, notes: vec![to_every_host("wget")] })
}

/// The content of GDAL's header file.
pub(super) fn gdal(token: &Token, header: &Header) -> Result<Printed> {
    Ok(Printed { text: line(token, header)?, notes: vec![to_every_host("GDAL")] })
}

fn to_every_host(program: &str) -> String {
    format!(
        "warning: {program} sends this header to every host it asks: use it for this service's URLs alone"
    )
}

/// The secret, for a reader that sends it as a bearer token whatever it is.
pub(super) fn bearer<'a>(token: &'a Token, header: &Header) -> Result<&'a str> {
    if header.is_bearer(token) {
        return value(token);
    }
    let how = match (header.name.as_str(), header.prefix_of(token)) {
        ("Authorization", prefix) => format!("the token's type is `{prefix}`"),
        (name, _) => format!("the token goes into the header `{name}`"),
    };
    Err(Error::failed(format!("{how}, and in this format it would be sent as `Bearer`"))
        .with_hint("`--format header` has it as the service takes it"))
}

/// The secret, if it arrives as it is: blanks around a header's value are cut off (RFC 9110 section 5.5).
fn value(token: &Token) -> Result<&str> {
    let secret = token.secret().expose();
    if secret == secret.trim() {
        return Ok(secret);
    }
    Err(Error::failed("the service's token has blanks around it, which no header can carry")
        .with_hint("`--format json` has it as it is"))
}
