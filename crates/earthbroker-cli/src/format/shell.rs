//! Output formats for shells and .env files.

use earthbroker::{Result, Secret, Token};

use super::{TokenInfo, header, unsuitable};
use crate::args::ShellKind;

/// Returns one shell command per variable, which sets and exports the variable.
pub(super) fn lines(shell: ShellKind, variables: &[(&str, Secret)]) -> String {
    variables.iter().map(|(name, value)| line(shell, name, value.expose())).collect()
}

/// Returns shell commands that set GDAL's environment variables for the token.
pub(super) fn gdal(shell: ShellKind, token: &Token) -> Result<String> {
    let secret = header::bearer(token)?;
    Ok(line(shell, "GDAL_HTTP_AUTH", "BEARER") + &line(shell, "GDAL_HTTP_BEARER", secret))
}

fn line(shell: ShellKind, name: &str, value: &str) -> String {
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
pub(super) fn dotenv(variables: &[(&str, Secret)], info: &TokenInfo<'_>) -> Result<String> {
    let bare = |c: char| c.is_ascii_alphanumeric() || "_-./+=:@,%".contains(c);
    let is_bare = |value: &Secret| value.expose().chars().all(bare);
    let line = |(name, value): &(&str, Secret)| {
        let text = if is_bare(value) { value.expose().to_owned() } else { quoted(value.expose())? };
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
fn quoted(value: &str) -> Result<String> {
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
