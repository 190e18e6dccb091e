//! Formats for shells, and for what reads a shell's assignments.

use broker::{Error, Header, Result, Secret, Token};

use super::Printed;
use crate::args::ShellKind;

/// A line for each variable.
pub(super) fn lines(shell: ShellKind, variables: &[(&str, Secret)]) -> String {
    variables.iter().map(|(name, value)| line(shell, name, value.expose())).collect()
}

/// GDAL's variables.
pub(super) fn gdal(shell: ShellKind, token: &Token, header: &Header) -> Result<String> {
    let secret = super::header::bearer(token, header)?;
    Ok(line(shell, "GDAL_HTTP_AUTH", "BEARER") + &line(shell, "GDAL_HTTP_BEARER", secret))
}

fn line(shell: ShellKind, name: &str, value: &str) -> String {
    match shell {
        ShellKind::Sh => format!("export {name}={}\n", in_single(value)),
        // Nothing but they and the backslash.
        ShellKind::Fish => {
            format!("set -gx {name} '{}'\n", value.replace('\\', r"\\").replace('\'', r"\'"))
        }
        ShellKind::Powershell => format!("$env:{name} = '{}'\n", doubled(value)),
    }
}

/// For a POSIX shell: in single quotes nothing but they means anything.
fn in_single(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A word of a command that a person may paste into a POSIX shell.
pub(crate) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { in_single(text) }
}

/// For PowerShell, which takes typographic quotes for single quotes too; two of a kind are one that means nothing.
fn doubled(value: &str) -> String {
    let mut text = String::new();
    for c in value.chars() {
        let is_quote = matches!(c, '\'' | '\u{2018}'..='\u{201b}');
        text.extend(std::iter::repeat_n(c, if is_quote { 2 } else { 1 }));
    }
    text
}

/// Lines of a .env file, in the forms that its readers take for the same.
pub(super) fn dotenv(variables: &[(&str, Secret)]) -> Result<Printed> {
    let lines = variables.iter().map(|(name, value)| {
        let value = value.expose();
        let bare = |c: char| c.is_ascii_alphanumeric() || "_-./+=:@,%".contains(c);
        Ok(if value.chars().all(bare) {
            (format!("{name}={value}\n"), false)
        } else {
            (format!("{name}={}\n", in_quotes(value)?), true)
        })
    });
    let (lines, quoted): (Vec<_>, Vec<_>) = lines.collect::<Result<Vec<_>>>()?.into_iter().unzip();
    let mut printed = Printed::from(lines.concat());
    if quoted.contains(&true) {
        let note = "note: it is in quotes, which `docker run --env-file` takes for part of the value";
        printed.notes.push(note.to_owned());
    }
    Ok(printed)
}

/// In the quotes that mean the same to shells, python-dotenv, direnv and Compose, if there are some.
fn in_quotes(value: &str) -> Result<String> {
    // python-dotenv sees escapes and `${…}` in single quotes, shells do not.
    let same_in_single = !value.contains('\'') && !value.contains(r"\\") && !value.contains("${");
    if same_in_single && !value.ends_with('\\') {
        return Ok(format!("'{value}'"));
    }
    if !value.contains(['\\', '$', '`']) {
        return Ok(format!("\"{}\"", value.replace('"', "\\\"")));
    }
    Err(Error::failed(
        "the service's token has quotes or backslashes that readers of .env files take differently",
    )
    .with_hint("`--format env` is for shells, `--format json` for programs"))
}
