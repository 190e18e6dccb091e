//! The output formats of `broker token`.

mod cookies;
mod header;
mod hosts;
mod json;
mod shell;
mod template;

use chrono::{DateTime, Utc};
use clap::ValueEnum;
use earthbroker::{Derived, Error, ErrorCode, Header, Result, Secret, Token};

use crate::args::{Format, ShellKind, Token as Args};
use template::Template;

pub(crate) use earthbroker::{quoted_path, shell_word as word};
pub(crate) use hosts::is_exact;
pub(crate) use json::{aws, exec_credential, json_of_providers, line, rfc3339};

/// The newest API version of Kubernetes' `ExecCredential`.
pub(crate) const EXEC_CREDENTIAL: &str = "client.authentication.k8s.io/v1";

/// Facts about a provider and a request, which the output formats print together with the token.
pub(crate) struct TokenInfo<'a> {
    pub(crate) provider: &'a str,
    pub(crate) scopes: &'a str,
    /// The environment variable that passes the token to programs.
    pub(crate) variable: &'a str,
    /// The hosts that may receive the token.
    pub(crate) hosts: &'a [String],
    pub(crate) header: &'a Header,
    pub(crate) now: DateTime<Utc>,
}

/// A formatted token, and notes for the user.
pub(crate) struct Output {
    /// The text for standard output, with its final newline.
    pub(crate) text: String,
    /// Notes for stderr.
    pub(crate) notes: Vec<String>,
}

impl From<String> for Output {
    fn from(text: String) -> Self {
        Self { text, notes: Vec::new() }
    }
}

/// An output format and its options, which are checked before a token is requested.
pub(crate) struct Style<'a> {
    format: Format,
    shell: ShellKind,
    template: Template<'a>,
    /// The AWS keys or the cookie to request instead of an access token.
    pub(crate) derived: Option<Derived>,
}

impl<'a> Style<'a> {
    /// Reads the format from the arguments. `--template` and `--role` imply a format.
    pub(crate) fn of(args: &'a Args) -> Result<Self> {
        let implied = match (&args.template, &args.role) {
            (Some(_), _) => Format::Template,
            (None, Some(_)) => Format::Aws,
            (None, None) => Format::Text,
        };
        let format = args.format.unwrap_or(implied);
        let with_role = [Format::Aws, Format::Env, Format::Dotenv, Format::Json, Format::Text];
        let allowed = [
            ("--shell", args.shell.is_some(), &[Format::Env, Format::Gdal][..]),
            ("--template", args.template.is_some(), &[Format::Template]),
            ("--role", args.role.is_some(), &with_role),
        ];
        if let Some((flag, _, formats)) =
            allowed.iter().find(|(_, set, allowed)| *set && !allowed.contains(&format))
        {
            let names: Vec<_> = formats.iter().copied().map(name).collect();
            let (flag, format, names) = (flag, name(format), names.join(", "));
            return Err(Error::usage(format!("{flag} cannot be used with `--format {format}`"))
                .with_hint(format!("formats that support {flag}: {names}")));
        }
        let derived = derived(format, args)?;
        if format == Format::Template && args.template.is_none() {
            return Err(Error::usage("`--format template` needs --template")
                .with_hint("add a template, for example: --template 'X-Token: {token}'"));
        }
        let template = args.template.as_deref().map(Template::parse).transpose()?.unwrap_or_default();
        Ok(Self { format, shell: args.shell.unwrap_or(ShellKind::Sh), template, derived })
    }
}

/// Returns the AWS keys or the cookie that `--format` or `--role` requests.
fn derived(format: Format, args: &Args) -> Result<Option<Derived>> {
    let derived = match (format, &args.role) {
        (Format::Cookies, _) => Derived::cookie(),
        // Some services issue AWS keys without a role.
        (Format::Aws, None) => Derived::aws("", Vec::new()),
        (_, Some(role)) => Derived::aws(role, args.param.clone()),
        (_, None) => return Ok(None),
    };
    if args.scope.is_empty() {
        return Ok(Some(derived));
    }
    Err(Error::usage("AWS keys and cookies have no scopes: leave out `--scope`"))
}

/// Returns the format's name on the command line.
fn name(format: Format) -> String {
    format.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// Returns the token's secret. Fails on control characters, which could add lines to a header or a shell script.
pub(crate) fn plain(token: &Token) -> Result<&str> {
    match token.secret().expose() {
        secret if secret.contains(char::is_control) => {
            Err(unsuitable("the token has control characters, and is not printed"))
        }
        secret => Ok(secret),
    }
}

/// Returns the error for a token that a format cannot print.
fn unsuitable(why: impl Into<String>) -> Error {
    Error::new(ErrorCode::FormatUnsuitable, why)
}

pub(crate) fn print(token: &Token, style: &Style<'_>, info: &TokenInfo<'_>) -> Result<Output> {
    let secret = plain(token)?;
    Ok(match style.format {
        Format::Text => format!("{secret}\n").into(),
        Format::Json => json::object(token, info)?.into(),
        Format::Header => header::line(token, info.header)?.into(),
        Format::Curl => header::curl(token, info.header)?.into(),
        Format::Wget => header::wget(token, info.header)?,
        Format::GdalHeaders => header::gdal(token, info.header)?,
        Format::Env => shell::lines(style.shell, &variables(token, style, info)?).into(),
        Format::Dotenv => shell::dotenv(&variables(token, style, info)?)?,
        Format::Gdal => shell::gdal(style.shell, token, info.header)?.into(),
        Format::Duckdb => hosts::duckdb(token, info)?,
        Format::Netrc => hosts::netrc(token, info)?,
        Format::ExecCredential => json::exec_credential(token, info.header, EXEC_CREDENTIAL)?.into(),
        Format::Aws => json::aws(token)?.into(),
        Format::Cookies => cookies::file(token)?.into(),
        Format::Template => style.template.fill(token, info).into(),
    })
}

/// Returns the environment variables that contain the token or the AWS keys.
fn variables<'a>(token: &Token, style: &Style<'_>, info: &TokenInfo<'a>) -> Result<Vec<(&'a str, Secret)>> {
    match &style.derived {
        Some(_) => json::Keys::of(token).map(json::Keys::variables),
        None => Ok(vec![(info.variable, token.secret().clone())]),
    }
}
