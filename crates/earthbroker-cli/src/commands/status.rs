use std::io::IsTerminal;

use broker_core::{LockScope, SystemClock, sanitize};
use chrono::{DateTime, Local, Utc};
use earthbroker::{Broker, Clock, State, Status, StoreAbout, TokenStatus};
use serde_json::{Value, json};

use super::{CommandContext, CommandResult, answer, answer_json, end, separate};
use crate::format::rfc3339;
use crate::humanize;
use crate::report::login_command;
use crate::terminal::{colours, paint};

pub(super) fn run(context: &CommandContext<'_>, providers: &[String], as_json: bool) -> CommandResult {
    let broker = context.setup().open()?;
    let names = if providers.is_empty() { broker.names() } else { providers.to_vec() };
    let (statuses, errors) = separate(names.iter().map(|name| broker.status(name)));
    if statuses.is_empty() {
        return end(errors);
    }
    let store = broker.store();
    if as_json {
        let objects: Vec<_> = statuses.iter().map(object).collect();
        answer_json(&json!({ "version": 1, "providers": objects, "store": store_object(&store) }))?;
        return end(errors);
    }
    // Only providers that the user named are shown with details.
    let blocks = statuses.iter().filter(|_| !providers.is_empty()).map(|status| block(&broker, status));
    let text = table(&statuses) + &blocks.collect::<String>();
    answer(&humanize::displayable(&text, &std::io::stdout()))?;
    for status in &statuses {
        notes(context, status);
    }
    if context.global.verbose > 0 || store.shared {
        let (what, advice) = describe(&store);
        context.say(&[Some(what), advice].into_iter().flatten().collect::<Vec<_>>().join("; "));
    }
    end(errors)
}

fn store_object(store: &StoreAbout) -> Value {
    let reach = match store.reach {
        LockScope::Host => "host",
        LockScope::Hosts => "hosts",
        _ => "unknown",
    };
    json!({
        "path": store.place,
        "filesystem": store.on,
        "shared": store.shared,
        "lock_reaches": reach,
        "lock_elsewhere": store.lock_elsewhere,
    })
}

/// Returns where records are stored and which processes their lock excludes, and advice if other hosts may not be
/// excluded.
pub(super) fn describe(store: &StoreAbout) -> (String, Option<String>) {
    let StoreAbout { place, on, .. } = store;
    let (lock, is_safe) = match (&store.lock_elsewhere, store.shared, store.reach) {
        (Some(lock), ..) => (
            &*format!("which has no file locks: the lock file {lock} blocks only processes of this host"),
            false,
        ),
        (None, false, _) => ("a local file system", true),
        (None, true, LockScope::Hosts) => ("where a file lock blocks processes of all hosts", true),
        (None, true, LockScope::Host) => ("where a file lock blocks only processes of this host", false),
        (None, true, _) => ("where a file lock may not block processes of other hosts", false),
    };
    let fix = "if several hosts use one login, give each host its own state folder with BROKER_STATE_DIR (a login file \
               shared with a service's own tools stays in its place unless `share = false`)";
    (format!("{place} is on {on}, {lock}"), (!is_safe).then(|| fix.to_owned()))
}

fn object(status: &Status) -> Value {
    let token = |token: &TokenStatus| {
        json!({
            "scope": token.scope,
            "state": token.state,
            "expires_at": token.expires_at.map(rfc3339),
            "renews_at": token.renews_at.map(rfc3339),
        })
    };
    let failure = status.last_failure.as_ref();
    json!({
        "name": status.name,
        "kind": status.kind,
        "state": status.state,
        "account": status.account,
        "expires_at": status.expires_at.map(rfc3339),
        "scopes": status.scopes,
        "tokens": status.tokens.iter().map(token).collect::<Vec<_>>(),
        "grant": status.grant,
        "issuer": status.issuer,
        "last_failure": failure.map(|failure| json!({
            "at": rfc3339(failure.at), "kind": failure.kind, "message": failure.message,
        })),
        "not_before": status.not_before.map(rfc3339),
        "note": status.note,
        "renews_at": renews_at(status).map(rfc3339),
        "sources": status.sources,
        "hosts": status.hosts,
    })
}

/// Returns a table with a row for each token, and for each provider without tokens.
fn table(statuses: &[Status]) -> String {
    let now = SystemClock.now();
    let stdout = std::io::stdout();
    // All times have the UTC offset in the table's header, even if daylight saving time changes in between.
    let zone = *now.with_timezone(&Local).offset();
    let minute = |at: DateTime<Utc>| at.with_timezone(&zone).format("%F %H:%M").to_string();
    let heads = ["PROVIDER", "STATE", &format!("EXPIRES ({zone})"), "SCOPES", "ACCOUNT"].map(str::to_owned);
    let dash = || "-".to_owned();
    let mut rows = vec![(State::None, heads.to_vec())];
    for status in statuses {
        let name = || status.name.clone();
        let account = status.account.clone().unwrap_or_else(dash);
        if let Some(next) = next_command(status) {
            rows.push((status.state, vec![name(), next]));
            continue;
        }
        if status.tokens.is_empty() {
            let state = word(status.state).0.to_owned();
            rows.push((status.state, vec![name(), state, dash(), dash(), account.clone()]));
        }
        for token in &status.tokens {
            let bar = bar_of(token, now).filter(|_| stdout.is_terminal() && humanize::is_utf8());
            let scopes = match token.scope.as_str() {
                "" => dash(),
                scopes => humanize::asked(scopes),
            };
            let state = state(token, now) + &bar.unwrap_or_default();
            let expires = token.expires_at.map_or_else(dash, minute);
            rows.push((token.state, vec![name(), state, expires, scopes, account.clone()]));
        }
    }
    let (states, rows): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    let colours = colours(&stdout);
    // The table never shortens the state and the time (columns 1 and 2, counted from 0).
    humanize::table(&rows, &[1, 2], |row, column, cell| match (row, column) {
        (0, _) => paint(colours, 1, &cell),
        (_, 1) => paint(colours, word(states[row]).1, &cell),
        _ => cell,
    })
}

/// Returns why a provider has no token, and the command that the user should run.
fn next_command(status: &Status) -> Option<String> {
    let (name, login) = (&status.name, login_command(&status.login_hint, &status.name));
    let (why, command) = match status.state {
        State::LoginRequired if !status.tokens.is_empty() => ("login expired", login),
        State::None if status.secret_missing => ("no secret", format!("broker doctor {name}")),
        State::None if status.can_renew => ("no token yet", format!("broker token {name}")),
        State::LoginRequired | State::None => ("not logged in", login),
        _ => return None,
    };
    Some(format!("{why} {} run: {command}", humanize::dash()))
}

fn state(token: &TokenStatus, now: DateTime<Utc>) -> String {
    let left = token.expires_at.and_then(|at| (at - now).to_std().ok());
    let left = left.filter(|_| matches!(token.state, State::Valid | State::Expiring));
    let left = left.map(|left| format!(", {}", humanize::duration(left)));
    format!("{}{}", word(token.state).0, left.unwrap_or_default())
}

fn bar_of(token: &TokenStatus, now: DateTime<Utc>) -> Option<String> {
    let end = token.expires_at?;
    let (left, lifetime) = (end - now, end - token.issued_at);
    Some(format!(" {}", humanize::bar(left.to_std().ok()?, lifetime.to_std().ok()?)))
}

fn notes(context: &CommandContext<'_>, status: &Status) {
    let name = &status.name;
    if let Some(note) = &status.note {
        context.say(&format!("{name}: {note}"));
    }
    if let Some(failure) = &status.last_failure {
        let at = humanize::local(failure.at);
        context.say(&format!("{name}: the last token request failed at {at}: {}", failure.message));
    }
    if let Some(until) = status.not_before {
        context.say(&format!("{name}: the service asked for a pause until {}", humanize::local(until)));
    }
}

/// Returns the time at which the first of the provider's tokens is renewed.
fn renews_at(status: &Status) -> Option<DateTime<Utc>> {
    status.tokens.iter().filter_map(|token| token.renews_at).min()
}

/// Returns the provider's name and a line for each detail.
fn block(broker: &Broker, status: &Status) -> String {
    let sources = status.sources.iter().map(|source| ("login or secret from", source.clone()));
    let renews = renews_at(status).map(|at| ("next renewal", humanize::local(at)));
    let hosts = Some(("sent only to", status.hosts.join(", "))).filter(|_| !status.hosts.is_empty());
    let variable =
        broker.provider(&status.name).ok().map(|provider| ("variable", provider.info().variable.clone()));
    let details = [("tokens from", status.issuer.clone())].into_iter().chain(sources);
    let details = details.chain(renews).chain(hosts).chain(variable);
    let lines = details.map(|(what, value)| format!("  {what:<20}  {}\n", sanitize(&value)));
    format!("\n{}\n{}", status.name, lines.collect::<String>())
}

/// Returns the word that the table shows for a state, and the word's colour.
fn word(state: State) -> (&'static str, u8) {
    match state {
        State::Valid => ("valid", 32),
        State::Expiring => ("expiring", 33),
        State::Expired => ("renews on next use", 33),
        State::LoginRequired => ("login expired", 31),
        _ => ("none", 2),
    }
}
