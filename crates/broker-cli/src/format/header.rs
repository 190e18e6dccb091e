//! Formats that are a header of HTTP.

use broker::{Error, Result, Token};

use super::Printed;

/// `Authorization: …`.
pub(super) fn line(token: &Token) -> Result<String> {
    Ok(format!("Authorization: {} {}\n", token.token_type(), value(token)?))
}

/// A line of curl's configuration. In double quotes a backslash and a double quote are escaped (curl(1), `--config`).
pub(super) fn curl(token: &Token) -> Result<String> {
    let line = line(token)?.replace('\\', r"\\").replace('"', "\\\"");
    Ok(format!("header = \"{}\"\n", line.trim_end_matches('\n')))
}

/// A line of a wgetrc, which knows no quotes: the value is the rest of the line.
pub(super) fn wget(token: &Token) -> Result<Printed> {
    let text = format!("header = {}", line(token)?);
    Ok(Printed { text, notes: vec![to_every_host("wget")] })
}

/// The content of GDAL's header file.
pub(super) fn gdal(token: &Token) -> Result<Printed> {
    Ok(Printed { text: line(token)?, notes: vec![to_every_host("GDAL")] })
}

fn to_every_host(program: &str) -> String {
    format!(
        "warning: {program} sends this header to every host it asks: use it for this service's URLs alone"
    )
}

/// The secret, for a reader that sends it as a bearer token whatever its type is.
pub(super) fn bearer(token: &Token) -> Result<&str> {
    match token.token_type() {
        "Bearer" => value(token),
        other => Err(Error::failed(format!(
            "the token's type is `{other}`, and in this format it would be sent as `Bearer`"
        ))
        .with_hint("`--format header` has the type")),
    }
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
