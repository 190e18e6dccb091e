//! Checks logins, the last failed token requests, and secrets.

use std::path::Path;

use broker_core::{ProviderRegistry, SecretSource, SystemEnv, platform, sanitize};
use earthbroker::config::Config;
use earthbroker::{ErrorKind, State, Status};
use rustix::fs::{Access, access};
use url::form_urlencoded::parse;

use super::mode;
use super::report::Report;
use crate::commands::is_executable;
use crate::format::{quoted_path, word};
use crate::humanize;
use crate::report::{hint, login_command};

pub(super) fn check(config: Option<&Config>, statuses: &[Status], report: &mut Report) {
    for status in statuses {
        login(status, report);
        last_failure(status, needs_login(status), report);
    }
    let Some(config) = config else { return };
    for status in statuses {
        for (key, source) in config.secret_sources(&status.name).unwrap_or_default() {
            secret(&status.name, &key, &source, report);
        }
        if status.secret_missing {
            missing(config, &status.name, report);
        }
    }
}

/// Whether the user must log in again, even if an access token is still valid.
fn needs_login(status: &Status) -> bool {
    let refused =
        || status.last_failure.as_ref().is_some_and(|failure| failure.kind == ErrorKind::LoginRequired);
    status.state == State::LoginRequired
        || !status.grant && status.note.is_some() && (refused() || status.invalid_login_file.is_some())
}

fn login(status: &Status, report: &mut Report) {
    let name = Some(status.name.as_str());
    match (status.state, &status.note) {
        (_, note) if needs_login(status) => {
            let why = note.as_deref().unwrap_or("the stored login has expired");
            let fix = format!("run: {}", login_command(&status.login_hint, &status.name));
            report.error("login.required", name, &format!("a login is needed: {why}"), &fix);
        }
        (_, Some(note)) => {
            report.warning("login.note", name, note, &format!("run: broker token {}", status.name));
        }
        (State::None, None) => report.ok("login.state", name, "no token is stored"),
        (State::Expired, None) => {
            report.ok("login.state", name, "the token has expired; the next call renews it automatically");
        }
        (_, None) => report.ok("login.state", name, "the stored token is valid"),
    }
}

/// Reports a provider's last failure. `login_needed` means that the report already asks for a login.
fn last_failure(status: &Status, login_needed: bool, report: &mut Report) {
    let name = status.name.as_str();
    if let Some(until) = status.not_before {
        let what = format!("the service asked for a pause until {}", humanize::local(until));
        report.warning("login.not_before", Some(name), &what, "wait until then");
    }
    let Some(failure) = &status.last_failure else { return };
    if failure.kind == ErrorKind::LoginRequired && login_needed {
        return;
    }
    let scope = status.last_failed_scope.as_deref().unwrap_or_default();
    let is_valid = matches!(status.state, State::Valid | State::Expiring);
    let (retry, login) = (retry(status, scope), login_command(&status.login_hint, name));
    let fix = match failure.kind {
        _ if is_valid => format!("to see whether the request still fails, run: {retry}"),
        ErrorKind::LoginRequired => format!("run: {login}"),
        ErrorKind::Refused => format!("correct the secret or password of {name}, then run: {login}"),
        ErrorKind::Configuration => {
            "run: broker config show, correct the file, then run: broker config check".to_owned()
        }
        _ => format!("run: {retry}"),
    };
    let scope = Some(scope).filter(|scope| !scope.is_empty());
    let scope = scope.map(|scope| format!(" for {}", sanitize(&humanize::asked(scope)))).unwrap_or_default();
    let (at, why) = (humanize::local(failure.at), sanitize(&failure.message));
    let what = format!("the last token request{scope} failed at {at}: {why}");
    let is_warning = is_valid || failure.kind == ErrorKind::Unavailable;
    let add = if is_warning { Report::warning } else { Report::error };
    add(report, "login.last_failure", Some(name), &what, &fix);
}

/// Returns the command that repeats a failed token request.
fn retry(status: &Status, scope: &str) -> String {
    let flag = |name: &str, value: &str| format!(" --{name} {}", word(value));
    let flags: String = if let Some(role) = scope.strip_prefix("aws:") {
        let (role, params) = role.split_once('?').unwrap_or((role, ""));
        let params = parse(params.as_bytes()).map(|(name, value)| flag("param", &format!("{name}={value}")));
        flag("role", role) + &params.collect::<String>()
    } else if scope == "cookie:" {
        flag("format", "cookies")
    } else {
        scope.split_whitespace().map(|scope| flag("scope", scope)).collect()
    };
    // Without `--force`, the command would print the stored token and send no request.
    let is_stored = status.tokens.iter().any(|token| token.scope == scope);
    format!("broker token {}{flags}{}", status.name, if is_stored { " --force" } else { "" })
}

/// Reports a provider's missing secret. The outcome is an error only if the user configured the provider.
fn missing(config: &Config, name: &str, report: &mut Report) {
    let error = config.entry(name).map_or_else(Some, |entry| entry.info.secret_missing);
    let Some(error) = error.map(|error| error.for_provider(name)) else { return };
    let fix = hint(&error).unwrap_or_else(|| format!("add a secret to [providers.{name}]"));
    if config.is_built_in(name) {
        report.skipped("login.secret", Some(name), format!("{}: to use it, {fix}", error.message()));
    } else {
        report.error("login.secret", Some(name), error.message(), &fix);
    }
}

/// Checks the source of a secret. Reads no secret, and runs no command, because a command may ask the user.
fn secret(name: &str, key: &str, source: &SecretSource, report: &mut Report) {
    let wrong = |why: String| {
        (format!("cannot read `{key}`: {why}"), format!("correct `{key}` in [providers.{name}]"))
    };
    let problem = match source {
        SecretSource::Env(variable) if std::env::var_os(variable).is_none_or(|value| value.is_empty()) => {
            let (what, fix) = wrong(format!("environment variable {variable} is not set"));
            Some((what, format!("set {variable}, or {fix}")))
        }
        SecretSource::File(path) => match file(&platform::expand(path, &SystemEnv)) {
            Ok(None) => None,
            Ok(Some((what, fix))) => return report.warning("login.secret", Some(name), &what, &fix),
            Err(what) => Some(wrong(what)),
        },
        SecretSource::Command(words) => words
            .first()
            .filter(|program| !is_found(program))
            .map(|program| wrong(format!("program `{}` not found", sanitize(program)))),
        SecretSource::Env(_) | SecretSource::Literal(_) => None,
    };
    match problem {
        Some((what, fix)) => report.error("login.secret", Some(name), &what, &fix),
        None => report.ok("login.secret", Some(name), format!("the source of the secret `{key}` exists")),
    }
}

/// Checks a file that contains a secret. Returns a warning and its fix if other users can read the file.
fn file(path: &Path) -> Result<Option<(String, String)>, String> {
    let shown = path.display();
    let meta = path.metadata().map_err(|error| format!("{shown}: {error}"))?;
    if !meta.is_file() {
        return Err(format!("{shown} is not a file"));
    }
    access(path, Access::READ_OK).map_err(|error| format!("{shown}: {error}"))?;
    Ok(platform::others_read(&meta).then(|| {
        let what = format!("other users can read the secret in {shown} (mode {})", mode(&meta));
        (what, format!("run: chmod 600 {}", quoted_path(path)))
    }))
}

fn is_found(program: &str) -> bool {
    if program.contains('/') {
        return is_executable(Path::new(program));
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| is_executable(&folder.join(program)))
}
