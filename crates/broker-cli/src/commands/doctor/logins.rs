//! Logins and secrets: what is over, what was refused, what cannot be read.

use std::path::Path;

use broker::{Config, ErrorKind, SecretSource, State, Status, SystemEnv, platform, sanitize};
use rustix::fs::{Access, access};

use super::files::{is_open, mode, quoted};
use super::last_failure;
use super::report::Report;
use crate::commands::CommandContext;

pub(super) fn check(
    context: &CommandContext<'_>,
    config: Option<&Config>,
    statuses: &[Status],
    report: &mut Report,
) {
    for status in statuses {
        login(status, report);
        last_failure::check(context, status, is_over(status), report);
    }
    let Some(config) = config else { return };
    for status in statuses {
        for (key, source) in config.secret_sources(&status.name).unwrap_or_default() {
            secret(&status.name, &key, &source, report);
        }
    }
}

/// Whether only a new login helps. A token may still be held that serves.
fn is_over(status: &Status) -> bool {
    let refused =
        || status.last_failure.as_ref().is_some_and(|failure| failure.kind == ErrorKind::LoginRequired);
    let unusable = |note: &String| status.sources.iter().any(|file| note.contains(file));
    status.state == State::LoginRequired
        || !status.grant && status.note.as_ref().is_some_and(|note| refused() || unusable(note))
}

fn login(status: &Status, report: &mut Report) {
    let name = Some(status.name.as_str());
    match (status.state, &status.note) {
        (_, note) if is_over(status) => {
            let what = note.as_deref().unwrap_or("what is held has expired");
            let fix = format!("run: broker login {}", status.name);
            report.error("login.required", name, format!("a login is needed: {what}"), fix);
        }
        (_, Some(note)) => {
            report.warning("login.note", name, note, format!("run: broker token {}", status.name));
        }
        (State::None, None) => report.fine("login.state", name, "nothing is held"),
        (State::Expired, None) => {
            report.fine("login.state", name, "the token has expired; the next call gets one by itself");
        }
        (_, None) => report.fine("login.state", name, "the held token serves"),
    }
}

/// Whether a secret could be had. It is not read, and no command is run: one may ask for a passphrase.
fn secret(name: &str, key: &str, source: &SecretSource, report: &mut Report) {
    let wrong = |what: String| {
        (
            format!("the secret of `{key}` cannot be had: {what}"),
            format!("mend `{key}` of [providers.{name}]"),
        )
    };
    let (what, fix) = match source {
        SecretSource::Env(variable) if std::env::var_os(variable).is_none_or(|value| value.is_empty()) => {
            let (what, fix) = wrong(format!("the environment variable {variable} is not set"));
            (what, format!("set {variable}, or {fix}"))
        }
        SecretSource::File(path) => match file(&platform::expand(path, &SystemEnv)) {
            Ok(None) => return fine(name, key, report),
            Ok(Some((what, fix))) => return report.warning("login.secret", Some(name), what, fix),
            Err(what) => wrong(what),
        },
        SecretSource::Command(words) => match words.first().filter(|program| !is_found(program)) {
            Some(program) => wrong(format!("there is no program `{}`", sanitize(program))),
            None => return fine(name, key, report),
        },
        SecretSource::Env(_) | SecretSource::Literal(_) => return fine(name, key, report),
    };
    report.error("login.secret", Some(name), what, fix);
}

fn fine(name: &str, key: &str, report: &mut Report) {
    report.fine("login.secret", Some(name), format!("what `{key}` is read from is there"));
}

/// What is not well with a file that holds a secret; an error if it cannot be read.
fn file(path: &Path) -> Result<Option<(String, String)>, String> {
    let shown = path.display();
    let meta = path.metadata().map_err(|error| format!("{shown}: {error}"))?;
    if !meta.is_file() {
        return Err(format!("{shown} is not a file"));
    }
    access(path, Access::READ_OK).map_err(|error| format!("{shown}: {error}"))?;
    Ok(is_open(&meta).then(|| {
        let what = format!("others can read the secret in {shown} (mode {})", mode(&meta));
        (what, format!("run: chmod 600 {}", quoted(path)))
    }))
}

fn is_found(program: &str) -> bool {
    let runs = |path: &Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    if program.contains('/') {
        return runs(Path::new(program));
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| runs(&folder.join(program)))
}
