//! A token in the words of whoever reads it.

mod cookies;
mod header;
mod hosts;
mod json;
mod shell;
mod template;

use broker::{Derived, Error, Header, Result, Secret, Token};
use chrono::{DateTime, Utc};
use clap::ValueEnum;

use crate::args::{Format, ShellKind, Token as Args};
use template::Template;

pub(crate) use json::{aws, exec_credential, json_of_providers, line, rfc3339};
pub(crate) use shell::word;

/// The newest version of Kubernetes' `ExecCredential`.
pub(crate) const EXEC_CREDENTIAL: &str = "client.authentication.k8s.io/v1";

/// What is printed beside the token itself.
pub(crate) struct About<'a> {
    /// The provider's name.
    pub(crate) provider: &'a str,
    /// The scopes that were asked for.
    pub(crate) asked: &'a str,
    /// The environment variable that programs look for the token in.
    pub(crate) variable: &'a str,
    /// The hosts that the token is for.
    pub(crate) hosts: &'a [String],
    /// The header that the token goes into.
    pub(crate) header: &'a Header,
    /// The time.
    pub(crate) now: DateTime<Utc>,
}

/// What is printed, and what a person should know of it.
pub(crate) struct Printed {
    /// The answer, with the line end after it.
    pub(crate) text: String,
    /// For stderr.
    pub(crate) notes: Vec<String>,
}

impl From<String> for Printed {
    fn from(text: String) -> Self {
        Self { text, notes: Vec::new() }
    }
}

/// A format with what belongs to it. That they fit together is known before a token is asked for.
pub(crate) struct Style<'a> {
    format: Format,
    shell: ShellKind,
    template: Template<'a>,
    /// The credential that takes the place of the usual token.
    pub(crate) derived: Option<Derived>,
}

impl<'a> Style<'a> {
    /// What the words ask for: a template and a role say the format too.
    pub(crate) fn of(args: &'a Args) -> Result<Self> {
        let implied = match (&args.template, &args.role) {
            (Some(_), _) => Format::Template,
            (None, Some(_)) => Format::Aws,
            (None, None) => Format::Text,
        };
        let format = args.format.unwrap_or(implied);
        let fit = [
            ("--shell", args.shell.is_some(), &[Format::Env, Format::Gdal][..]),
            ("--template", args.template.is_some(), &[Format::Template]),
            (
                "--role",
                args.role.is_some(),
                &[Format::Aws, Format::Env, Format::Dotenv, Format::Json, Format::Text],
            ),
        ];
        if let Some((flag, _, formats)) = fit.iter().find(|(_, given, fit)| *given && !fit.contains(&format))
        {
            let names: Vec<_> = formats.iter().copied().map(name).collect();
            let (flag, format, names) = (flag, name(format), names.join(", "));
            return Err(Error::usage(format!("{flag} does not go with `--format {format}`"))
                .with_hint(format!("formats that {flag} goes with: {names}")));
        }
        let derived = derived(format, args)?;
        let template = match (&args.template, format) {
            (Some(text), _) => Template::parse(text)?,
            (None, Format::Template) => {
                return Err(Error::usage("`--format template` needs --template")
                    .with_hint("for example: --template 'X-Token: {token}'"));
            }
            (None, _) => Template::default(),
        };
        Ok(Self { format, shell: args.shell.unwrap_or(ShellKind::Sh), template, derived })
    }
}

/// The derived credential that a format or a role means.
fn derived(format: Format, args: &Args) -> Result<Option<Derived>> {
    let derived = match (format, &args.role) {
        (Format::Cookies, _) => Derived::cookie(),
        // Some give keys for one role only.
        (Format::Aws, None) => Derived::aws("", Vec::new()),
        (_, Some(role)) => Derived::aws(role, args.param.clone()),
        (_, None) => return Ok(None),
    };
    if args.scope.is_empty() {
        return Ok(Some(derived));
    }
    Err(Error::usage("keys and cookies have no scopes to choose: leave out `--scope`"))
}

/// A format as it is typed.
fn name(format: Format) -> String {
    format.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// A token as programs take it: a line end in it would be a line of somebody else's in a header or a shell.
pub(crate) fn plain(token: &Token) -> Result<&str> {
    match token.secret().expose() {
        secret if secret.contains(char::is_control) => {
            Err(Error::failed("the service's token has control characters in it: it is not handed on"))
        }
        secret => Ok(secret),
    }
}

/// The token in a style.
pub(crate) fn print(token: &Token, style: &Style<'_>, about: &About<'_>) -> Result<Printed> {
    let secret = plain(token)?;
    Ok(match style.format {
        Format::Text => format!("{secret}\n").into(),
        Format::Json => json::object(token, about)?.into(),
        Format::Header => header::line(token, about.header)?.into(),
        Format::Curl => header::curl(token, about.header)?.into(),
        Format::Wget => header::wget(token, about.header)?,
        Format::GdalHeaders => header::gdal(token, about.header)?,
        Format::Env => shell::lines(style.shell, &variables(token, style, about)?).into(),
        Format::Dotenv => shell::dotenv(&variables(token, style, about)?)?,
        Format::Gdal => shell::gdal(style.shell, token, about.header)?.into(),
        Format::Duckdb => hosts::duckdb(token, about)?,
        Format::Netrc => hosts::netrc(token, about)?,
        Format::ExecCredential => json::exec_credential(token, about.header, EXEC_CREDENTIAL)?.into(),
        Format::Aws => json::aws(token)?.into(),
        Format::Cookies => cookies::file(token)?.into(),
        Format::Template => style.template.fill(token, about).into(),
    })
}

/// The environment variables that programs look for it in.
fn variables<'a>(token: &Token, style: &Style<'_>, about: &About<'a>) -> Result<Vec<(&'a str, Secret)>> {
    match &style.derived {
        Some(_) => json::Keys::of(token).map(json::Keys::variables),
        None => Ok(vec![(about.variable, token.secret().clone())]),
    }
}
