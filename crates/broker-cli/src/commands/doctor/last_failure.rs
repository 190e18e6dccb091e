//! What became of the last tries.

use std::collections::BTreeMap;

use broker::{ErrorKind, State, Status, sanitize};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use url::form_urlencoded::parse;
use zeroize::Zeroizing;

use super::report::Report;
use crate::commands::CommandContext;
use crate::format::word;
use crate::humanize;

/// That a login is needed has been said, where `login_needed`.
pub(super) fn check(context: &CommandContext<'_>, status: &Status, login_needed: bool, report: &mut Report) {
    let name = status.name.as_str();
    if let Some(until) = status.not_before {
        let until = until.format("%F %T UTC");
        let what = format!("the service asked to be left alone until {until}");
        report.warning("login.not_before", Some(name), what, "wait until then");
    }
    let Some(failure) = &status.last_failure else { return };
    if failure.kind == ErrorKind::LoginRequired && login_needed {
        return;
    }
    let asked = asked_for(context, name, failure.at).unwrap_or_default();
    let serves = matches!(status.state, State::Valid | State::Expiring);
    let again = again(status, &asked);
    let fix = match failure.kind {
        _ if serves => format!("to see whether it still fails, run: {again}"),
        ErrorKind::LoginRequired => format!("run: broker login {name}"),
        ErrorKind::Refused => {
            format!("correct the secret or password of {name}, then run: broker login {name}")
        }
        ErrorKind::Configuration => "see `broker config show`, then run: broker config check".to_owned(),
        _ => format!("run: {again}"),
    };
    let wanted = Some(&asked).filter(|asked| !asked.is_empty());
    let wanted =
        wanted.map(|asked| format!(" for {}", sanitize(&humanize::asked(asked)))).unwrap_or_default();
    let (at, why) = (failure.at.format("%F %T UTC"), sanitize(&failure.message));
    let what = format!("the last try{wanted} failed at {at}: {why}");
    if serves || failure.kind == ErrorKind::Unavailable {
        report.warning("login.last_failure", Some(name), what, fix);
    } else {
        report.error("login.last_failure", Some(name), what, fix);
    }
}

/// The failures of a record, by what was asked for.
#[derive(Deserialize)]
struct Kept {
    #[serde(default)]
    failures: BTreeMap<String, Try>,
}

#[derive(Deserialize)]
struct Try {
    at: String,
}

/// What was asked for when it failed: scopes, or a derived credential's key.
fn asked_for(context: &CommandContext<'_>, name: &str, failed_at: DateTime<Utc>) -> Option<String> {
    let path = context.setup().state_folder().ok()?.join(format!("{name}.json"));
    let bytes = Zeroizing::new(std::fs::read(path).ok()?);
    let kept: Kept = serde_json::from_slice(&bytes).ok()?;
    let is_it = |tried: &Try| tried.at.parse::<DateTime<Utc>>().is_ok_and(|at| at == failed_at);
    kept.failures.into_iter().find(|(_, tried)| is_it(tried)).map(|(asked, _)| asked)
}

/// The command that tries it once more.
fn again(status: &Status, asked: &str) -> String {
    let flag = |name: &str, value: &str| format!(" --{name} {}", word(value));
    let flags: String = if let Some(role) = asked.strip_prefix("aws:") {
        let (role, params) = role.split_once('?').unwrap_or((role, ""));
        let params = parse(params.as_bytes()).map(|(name, value)| flag("param", &format!("{name}={value}")));
        flag("role", role) + &params.collect::<String>()
    } else if asked == "cookie:" {
        flag("format", "cookies")
    } else {
        asked.split_whitespace().map(|scope| flag("scope", scope)).collect()
    };
    // A held token would be printed without a try.
    let held = status.tokens.iter().any(|token| token.scope == asked);
    format!("broker token {}{flags}{}", status.name, if held { " --force" } else { "" })
}
