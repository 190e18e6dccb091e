//! The command `broker status`.

use broker::{Broker, Clock, LockScope, State, Status, StoreAbout, SystemClock, TokenStatus, sanitize};
use chrono::{DateTime, Local, Utc};
use serde_json::{Value, json};

use super::{CommandContext, CommandResult, answer};
use crate::args;
use crate::format::{json_of_providers, rfc3339};
use crate::humanize::{self, FOLDER_EACH};
use crate::report::ExitError;
use crate::terminal::colours;

pub(super) fn run(context: &CommandContext<'_>, args: &args::Status) -> CommandResult {
    let setup = context.setup();
    let broker = setup.open()?;
    let names = if args.providers.is_empty() { broker.names() } else { args.providers.clone() };
    // An error of one provider must not hide the other providers.
    let (mut statuses, mut errors) = (Vec::new(), Vec::new());
    for name in &names {
        match broker.status(name) {
            Ok(status) => statuses.push(status),
            Err(error) => errors.push(error),
        }
    }
    if !statuses.is_empty() {
        show(context, &broker, args, &statuses)?;
    }
    if errors.is_empty() { Ok(()) } else { Err(ExitError::Errors(errors)) }
}

fn show(
    context: &CommandContext<'_>,
    broker: &Broker,
    args: &args::Status,
    statuses: &[Status],
) -> CommandResult {
    let store = broker.store();
    if args.json {
        let providers = statuses.iter().map(object).collect();
        return answer(&json_of_providers(providers, Some(store_object(&store)))?);
    }
    // Only providers that the user named are shown with details.
    let blocks = statuses.iter().filter(|_| !args.providers.is_empty()).map(|status| block(broker, status));
    answer(&(table(statuses) + &blocks.collect::<String>()))?;
    for status in statuses {
        notes(context, status);
    }
    if context.global.verbose > 0 || store.shared {
        context.say(&about(&store));
    }
    Ok(())
}

fn store_object(store: &StoreAbout) -> Value {
    let reach = match store.reach {
        LockScope::Host => "host",
        LockScope::Hosts => "hosts",
        LockScope::Unknown => "unknown",
    };
    json!({
        "path": store.place,
        "filesystem": store.on,
        "shared": store.shared,
        "lock_reaches": reach,
        "lock_elsewhere": store.lock_elsewhere,
    })
}

/// Describes where records are stored, and which processes their lock reaches.
fn about(store: &StoreAbout) -> String {
    let lock = store.lock_elsewhere.as_ref();
    let lock = lock.map_or_else(
        || "in the same folder".to_owned(),
        |path| format!("in {path}, because that file system has no locks"),
    );
    let reach = match store.reach {
        LockScope::Host if !store.shared => "reaches all processes of this host".to_owned(),
        LockScope::Hosts => "reaches all processes of all hosts".to_owned(),
        LockScope::Host => {
            format!("reaches processes of this host only: if several hosts renew one login, {FOLDER_EACH}")
        }
        LockScope::Unknown => {
            format!(
                "reaches processes of this host; whether it reaches other hosts is unknown: to be safe, {FOLDER_EACH}"
            )
        }
    };
    format!("records are in {} on {}; the lock is {lock} and {reach}", store.place, store.on)
}

fn object(status: &Status) -> Value {
    let tokens: Vec<_> = status
        .tokens
        .iter()
        .map(|token| {
            json!({
                "scope": token.scope,
                "state": token.state,
                "expires_at": token.expires_at.map(rfc3339),
                "renews_at": token.renews_at.map(rfc3339),
            })
        })
        .collect();
    let failure = status.last_failure.as_ref();
    json!({
        "name": status.name,
        "kind": status.kind,
        "state": status.state,
        "account": status.account,
        "expires_at": status.expires_at.map(rfc3339),
        "scopes": status.scopes,
        "tokens": tokens,
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

/// The columns that are never cut: a state and a time.
const FIXED: [usize; 2] = [1, 2];

/// Returns the table with a row for each token, and for each provider without one.
fn table(statuses: &[Status]) -> String {
    let now = SystemClock.now();
    let stdout = std::io::stdout();
    let is_terminal = std::io::IsTerminal::is_terminal(&stdout);
    let zone = now.with_timezone(&Local).format("%:z");
    let heads = ["PROVIDER", "STATE", &format!("EXPIRES ({zone})"), "SCOPES", "ACCOUNT"].map(str::to_owned);
    let (mut rows, mut states) = (vec![heads.to_vec()], vec![State::None]);
    for status in statuses {
        let name = &status.name;
        let account = status.account.as_ref().map_or_else(|| "-".to_owned(), |account| sanitize(account));
        match next_command(status) {
            Some(next) => {
                rows.push(vec![name.clone(), next]);
                states.push(status.state);
            }
            None if status.tokens.is_empty() => {
                rows.push(vec![name.clone(), word(status.state).to_owned(), dash(), dash(), account]);
                states.push(status.state);
            }
            None => {
                for token in &status.tokens {
                    let bar = if is_terminal && humanize::is_utf8() { bar_of(token, now) } else { None };
                    let bar = bar.map_or_else(String::new, |bar| format!(" {bar}"));
                    let scopes = match token.scope.as_str() {
                        "" => dash(),
                        scopes => sanitize(&humanize::asked(scopes)),
                    };
                    let state = state(token, now) + &bar;
                    let expires = token.expires_at.map_or_else(dash, |at| local_minute(at, now));
                    rows.push(vec![name.clone(), state, expires, scopes, account.clone()]);
                    states.push(token.state);
                }
            }
        }
    }
    let colours = colours(&stdout);
    humanize::table(&rows, &FIXED, |row, column, cell| match (row, column) {
        (0, _) if colours => format!("\x1b[1m{cell}\x1b[0m"),
        (_, 1) if colours => format!("\x1b[{}m{cell}\x1b[0m", colour(states[row])),
        _ => cell,
    })
}

fn dash() -> String {
    "-".to_owned()
}

/// Formats a time in the time zone that the table's head names.
fn local_minute(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    at.with_timezone(now.with_timezone(&Local).offset()).format("%F %H:%M").to_string()
}

/// Returns why a provider has no token, and the command to run.
fn next_command(status: &Status) -> Option<String> {
    let (why, command) = match status.state {
        State::LoginRequired if status.tokens.is_empty() => ("not logged in", "login"),
        State::LoginRequired => ("login expired", "login"),
        State::None if status.secret_missing => ("no secret", "doctor"),
        State::None if status.can_renew => ("no token yet", "token"),
        State::None => ("not logged in", "login"),
        _ => return None,
    };
    Some(format!("{why} {} run: broker {command} {}", humanize::dash(), status.name))
}

fn state(token: &TokenStatus, now: DateTime<Utc>) -> String {
    let left = token.expires_at.and_then(|at| (at - now).to_std().ok());
    match (token.state, left) {
        (State::Valid | State::Expiring, Some(left)) => {
            format!("{}, {}", word(token.state), humanize::duration(left))
        }
        (state, _) => word(state).to_owned(),
    }
}

fn bar_of(token: &TokenStatus, now: DateTime<Utc>) -> Option<String> {
    let end = token.expires_at?;
    let (left, lifetime) = (end - now, end - token.issued_at);
    Some(humanize::bar(left.to_std().ok()?, lifetime.to_std().ok()?))
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

/// Returns when the provider's first token is due for renewal.
fn renews_at(status: &Status) -> Option<DateTime<Utc>> {
    status.tokens.iter().filter_map(|token| token.renews_at).min()
}

/// Returns the provider's name and its details.
fn block(broker: &Broker, status: &Status) -> String {
    let line = |(what, value): (&str, String)| format!("  {what:<20}  {}\n", sanitize(&value));
    let lines: String = details(broker, status).into_iter().map(line).collect();
    format!("\n{}\n{lines}", status.name)
}

fn details(broker: &Broker, status: &Status) -> Vec<(&'static str, String)> {
    let sources = status.sources.iter().map(|source| ("login or secret from", source.clone()));
    let renews = renews_at(status).map(|at| ("next renewal", humanize::local(at)));
    let hosts = Some(("sent only to", status.hosts.join(", "))).filter(|_| !status.hosts.is_empty());
    let variable = broker.entry(&status.name).ok().map(|entry| ("variable", entry.token_variable));
    let mut details = vec![("tokens from", status.issuer.clone())];
    details.extend(sources.chain(renews).chain(hosts).chain(variable));
    details
}

fn word(state: State) -> &'static str {
    match state {
        State::Valid => "valid",
        State::Expiring => "expiring",
        State::Expired => "renews on next use",
        State::LoginRequired => "login expired",
        _ => "none",
    }
}

fn colour(state: State) -> u8 {
    match state {
        State::Valid => 32,
        State::Expiring | State::Expired => 33,
        State::LoginRequired => 31,
        _ => 2,
    }
}
