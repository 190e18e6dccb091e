//! The output formats of `broker token`.

mod header;
mod hosts;
mod json;
mod shell;
mod template;

use clap::ValueEnum;
use earthbroker::{Derived, Error, ErrorCode, ProviderHandle, Result, Secret, Token};

use crate::args::{Format, ShellKind, Token as Args};

pub(crate) use broker_core::{quoted_path, shell_word as word};
pub(crate) use hosts::is_exact;
pub(crate) use json::{aws, exec_credential, line, rfc3339};

/// The newest API version of Kubernetes' `ExecCredential`.
pub(crate) const EXEC_CREDENTIAL: &str = "client.authentication.k8s.io/v1";

/// Facts about a provider and a request, which the output formats print together with the token.
pub(crate) struct TokenInfo<'a> {
    pub(crate) provider: &'a ProviderHandle,
    pub(crate) scopes: &'a str,
    /// Prints a note for the user on stderr.
    pub(crate) note: &'a dyn Fn(&str),
}

/// An output format and its options, which are checked before a token is requested.
pub(crate) struct Style<'a> {
    format: Format,
    shell: ShellKind,
    template: &'a str,
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
        let is_wrong = |(_, set, allowed): &&(_, bool, &[Format])| *set && !allowed.contains(&format);
        if let Some((flag, _, formats)) = allowed.iter().find(is_wrong) {
            let names = formats.iter().copied().map(name).collect::<Vec<_>>().join(", ");
            return Err(Error::usage(format!("{flag} cannot be used with `--format {}`", name(format)))
                .with_hint(format!("formats that support {flag}: {names}")));
        }
        let derived = derived(format, args)?;
        if format == Format::Template && args.template.is_none() {
            return Err(Error::usage("`--format template` needs --template")
                .with_hint("add a template, for example: --template 'X-Token: {token}'"));
        }
        let template = args.template.as_deref().unwrap_or_default();
        let _ = template::fill(template, |_| String::new())?;
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
    let secret = token.secret().expose();
    if secret.contains(char::is_control) {
        return Err(unsuitable("the token has control characters, and is not printed"));
    }
    Ok(secret)
}

/// Returns the error for a token that a format cannot print.
fn unsuitable(why: impl Into<String>) -> Error {
    Error::new(ErrorCode::FormatUnsuitable, why)
}

/// Returns the formatted token, with its final newline.
pub(crate) fn print(token: &Token, style: &Style<'_>, info: &TokenInfo<'_>) -> Result<String> {
    let secret = plain(token)?;
    match style.format {
        Format::Text => Ok(format!("{secret}\n")),
        Format::Json => json::object(token, info),
        Format::Header => header::line(token),
        Format::Curl => header::curl(token),
        Format::Wget => header::wget(token, info),
        Format::GdalHeaders => header::for_every_host("GDAL", token, info),
        Format::Env => Ok(shell::lines(style.shell, &variables(token, style, info)?)),
        Format::Dotenv => shell::dotenv(&variables(token, style, info)?, info),
        Format::Gdal => shell::gdal(style.shell, token),
        Format::Duckdb => hosts::duckdb(token, info),
        Format::Netrc => hosts::netrc(token, info),
        Format::ExecCredential => json::exec_credential(token, EXEC_CREDENTIAL),
        Format::Aws => json::aws(token),
        Format::Cookies => header::cookies(token),
        Format::Template => template::fill(style.template, |field| field(token, info)),
    }
}

/// Returns the environment variables that contain the token or the AWS keys.
fn variables<'a>(token: &Token, style: &Style<'_>, info: &TokenInfo<'a>) -> Result<Vec<(&'a str, Secret)>> {
    match &style.derived {
        Some(_) => json::Keys::of(token).map(json::Keys::variables),
        None => Ok(vec![(info.provider.info().variable.as_str(), token.secret().clone())]),
    }
}
