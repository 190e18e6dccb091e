//! A token in the words of whoever reads it.

use broker::{Error, Result, Token};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::args::Format;

/// What is printed beside the token itself.
pub(crate) struct About<'a> {
    /// The provider's name.
    pub(crate) provider: &'a str,
    /// The scopes that were asked for.
    pub(crate) asked: &'a str,
    /// The environment variable that programs look for the token in.
    pub(crate) variable: &'a str,
    /// The time.
    pub(crate) now: DateTime<Utc>,
}

/// The promised object; a field more is no break, one less is.
#[derive(Serialize)]
struct Json<'a> {
    version: u8,
    provider: &'a str,
    token: &'a str,
    token_type: &'a str,
    scope: Option<&'a str>,
    expires_at: Option<String>,
    expires_in: Option<u64>,
}

/// Providers, and the store that was looked into, as one line of JSON.
pub(crate) fn json_of_providers(providers: Vec<Value>, store: Option<Value>) -> Result<String> {
    #[derive(Serialize)]
    struct Answer {
        version: u8,
        providers: Vec<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        store: Option<Value>,
    }
    json(&Answer { version: 1, providers, store })
}

fn json(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string(value);
    text.map(|text| text + "\n")
        .map_err(|error| Error::failed("it cannot be written as JSON").with_source(error))
}

/// The token in a format, with the line end after it.
pub(crate) fn print(token: &Token, format: Format, about: &About<'_>) -> Result<String> {
    let secret = token.secret().expose();
    // A line end in it would be a line of somebody else's in a header or a shell.
    if secret.chars().any(char::is_control) {
        return Err(Error::failed("the service's token has control characters in it: it is not printed"));
    }
    Ok(match format {
        Format::Text => format!("{secret}\n"),
        Format::Header => format!("Authorization: {} {secret}\n", token.token_type()),
        Format::Env => format!("export {}={}\n", about.variable, quoted(secret)),
        Format::Curl
        | Format::Wget
        | Format::Gdal
        | Format::GdalHeaders
        | Format::Dotenv
        | Format::Duckdb
        | Format::ExecCredential
        | Format::Aws
        | Format::Cookies
        | Format::Netrc
        | Format::Template => return Err(Error::failed("not there yet")),
        Format::Json => {
            let asked = Some(about.asked).filter(|asked| !asked.is_empty());
            json(&Json {
                version: 1,
                provider: about.provider,
                token: secret,
                token_type: token.token_type(),
                scope: token.scope().or(asked),
                expires_at: token.expires_at().map(rfc3339),
                expires_in: token.window().left(about.now).map(|left| left.as_secs()),
            })?
        }
    })
}

/// A time as JSON has it here: `2026-11-22T12:00:00Z`.
pub(crate) fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Text for a POSIX shell: in single quotes, where nothing but they means anything.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
