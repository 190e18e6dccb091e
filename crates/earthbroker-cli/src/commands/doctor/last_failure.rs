//! Reports the last failed token request of each provider.

use earthbroker::{ErrorKind, State, Status, sanitize};
use url::form_urlencoded::parse;

use super::report::Report;
use crate::format::word;
use crate::hints::login_command;
use crate::humanize;

/// Reports a provider's last failure. `login_needed` means that the report already asks for a login.
pub(super) fn check(status: &Status, login_needed: bool, report: &mut Report) {
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
    if is_valid || failure.kind == ErrorKind::Unavailable {
        report.warning("login.last_failure", Some(name), &what, &fix);
    } else {
        report.error("login.last_failure", Some(name), &what, &fix);
    }
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
