//! The output formats of `broker token`.

mod http;
mod json;

use broker_core::sanitize;
use clap::ValueEnum;
use earthbroker::{Derived, Error, ErrorCode, ProviderHandle, Result, Secret, Token};

use crate::args::{Format, ShellKind, Token as Args};

pub(crate) use broker_core::{quoted_path, shell_word as word};
pub(crate) use http::is_exact;
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
        let _ = fill(template, |_| String::new())?;
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
        Format::Header => http::line(token),
        Format::Curl => http::curl(token),
        Format::Wget => http::wget(token, info),
        Format::GdalHeaders => http::for_every_host("GDAL", token, info),
        Format::Env => Ok(shell_lines(style.shell, &variables(token, style, info)?)),
        Format::Dotenv => dotenv(&variables(token, style, info)?, info),
        Format::Gdal => gdal(style.shell, token),
        Format::Duckdb => http::duckdb(token, info),
        Format::Netrc => http::netrc(token, info),
        Format::ExecCredential => json::exec_credential(token, EXEC_CREDENTIAL),
        Format::Aws => json::aws(token),
        Format::Cookies => http::cookies(token),
        Format::Template => fill(style.template, |field| field(token, info)),
    }
}

/// Returns the environment variables that contain the token or the AWS keys.
fn variables<'a>(token: &Token, style: &Style<'_>, info: &TokenInfo<'a>) -> Result<Vec<(&'a str, Secret)>> {
    match &style.derived {
        Some(_) => json::Keys::of(token).map(json::Keys::variables),
        None => Ok(vec![(info.provider.info().variable.as_str(), token.secret().clone())]),
    }
}

/// Returns the value of a field. A field without a value is empty text.
type Field = fn(&Token, &TokenInfo<'_>) -> String;

const FIELDS: [(&str, Field); 6] = [
    ("{token}", |token, _| token.secret().expose().to_owned()),
    ("{token_type}", |token, _| token.token_type().to_owned()),
    ("{scope}", |token, info| sanitize(json::scope(token, info).unwrap_or_default())),
    ("{expires_at}", |token, _| token.expires_at().map(json::rfc3339).unwrap_or_default()),
    ("{expires_in}", |token, _| json::expires_in(token).map(|left| left.to_string()).unwrap_or_default()),
    ("{provider}", |_, info| info.provider.name().to_owned()),
];

/// Replaces each placeholder of a template by the value of its field. `{{` and `}}` are literal braces.
fn fill(template: &str, value: impl Fn(Field) -> String) -> Result<String> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        if from.starts_with("{{") || from.starts_with("}}") {
            filled.push_str(&from[..1]);
            rest = &from[2..];
        } else {
            let field = FIELDS.into_iter().find(|(name, _)| from.starts_with(name));
            let (name, field) = field.ok_or_else(|| unknown_placeholder(from))?;
            filled.push_str(&value(field));
            rest = &from[name.len()..];
        }
    }
    Ok(filled + rest + "\n")
}

fn unknown_placeholder(from: &str) -> Error {
    let known = FIELDS.map(|(name, _)| name).join(", ");
    let shown = from.split_inclusive('}').next().unwrap_or(from);
    Error::usage(format!("--template: unknown placeholder `{}`", sanitize(shown)))
        .with_hint(format!("use {known}, and for literal braces {{{{ and }}}}"))
}

/// Returns one shell command per variable, which sets and exports the variable.
fn shell_lines(shell: ShellKind, variables: &[(&str, Secret)]) -> String {
    variables.iter().map(|(name, value)| shell_line(shell, name, value.expose())).collect()
}

/// Returns shell commands that set GDAL's environment variables for the token.
fn gdal(shell: ShellKind, token: &Token) -> Result<String> {
    let secret = http::bearer(token)?;
    Ok(shell_line(shell, "GDAL_HTTP_AUTH", "BEARER") + &shell_line(shell, "GDAL_HTTP_BEARER", secret))
}

fn shell_line(shell: ShellKind, name: &str, value: &str) -> String {
    match shell {
        ShellKind::Sh => format!("export {name}='{}'\n", value.replace('\'', r"'\''")),
        // In single quotes, fish treats only the backslash and the single quote as special.
        ShellKind::Fish => {
            format!("set -gx {name} '{}'\n", value.replace('\\', r"\\").replace('\'', r"\'"))
        }
        ShellKind::Powershell => format!("$env:{name} = '{}'\n", powershell_escaped(value)),
    }
}

/// Doubles single quotes, as a quoted PowerShell string needs. PowerShell also accepts typographic single quotes.
fn powershell_escaped(value: &str) -> String {
    let is_quote = |c: char| matches!(c, '\'' | '\u{2018}'..='\u{201b}');
    value.chars().flat_map(|c| std::iter::repeat_n(c, if is_quote(c) { 2 } else { 1 })).collect()
}

/// Returns lines of a .env file, in a syntax that all readers of such files interpret the same way.
fn dotenv(variables: &[(&str, Secret)], info: &TokenInfo<'_>) -> Result<String> {
    let bare = |c: char| c.is_ascii_alphanumeric() || "_-./+=:@,%".contains(c);
    let is_bare = |value: &Secret| value.expose().chars().all(bare);
    let line = |(name, value): &(&str, Secret)| {
        let text = if is_bare(value) { value.expose().to_owned() } else { dotenv_quoted(value.expose())? };
        Ok(format!("{name}={text}\n"))
    };
    let lines = variables.iter().map(line).collect::<Result<_>>()?;
    if !variables.iter().all(|(_, value)| is_bare(value)) {
        (info.note)(
            "note: the value is quoted, but `docker run --env-file` reads the quotes as part of the value",
        );
    }
    Ok(lines)
}

/// Quotes a value for shells, python-dotenv, direnv and Compose. Fails if these programs would read different values.
fn dotenv_quoted(value: &str) -> Result<String> {
    // In single quotes, python-dotenv expands escapes and `${…}`, but shells do not.
    let single_quotes_agree = !value.contains('\'') && !value.contains(r"\\") && !value.contains("${");
    if single_quotes_agree && !value.ends_with('\\') {
        return Ok(format!("'{value}'"));
    }
    if !value.contains(['\\', '$', '`']) {
        return Ok(format!("\"{}\"", value.replace('"', "\\\"")));
    }
    let why = "the token has quotes or backslashes that programs read differently in a .env file";
    Err(unsuitable(why).with_hint("use: --format env for shells, or: --format json for programs"))
}
