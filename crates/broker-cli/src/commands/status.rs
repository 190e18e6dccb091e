//! `broker status`.

use broker::{Broker, Clock, LockScope, State, Status, StoreAbout, SystemClock, sanitize};
use chrono::{DateTime, Utc};
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
    // What is wrong with one provider hides no other.
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
        return answer(&json_of_providers(providers, Some(place(&store)))?);
    }
    // Who names a provider sees where it comes from and where it goes.
    let more = !args.providers.is_empty();
    let blocks = statuses.iter().filter(|_| more).map(|status| block(broker, status));
    answer(&(table(statuses) + &blocks.collect::<String>()))?;
    for status in statuses {
        notes(context, status);
    }
    if context.global.verbose > 0 || store.shared {
        context.say(&about(&store));
    }
    Ok(())
}

fn place(store: &StoreAbout) -> Value {
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

/// Where records are, and who is kept out by their lock.
fn about(store: &StoreAbout) -> String {
    let lock = store.lock_elsewhere.as_ref();
    let lock = lock.map_or_else(
        || "beside them".to_owned(),
        |path| format!("in {path}, since there are no locks there"),
    );
    let reach = match store.reach {
        LockScope::Host if !store.shared => "keeps apart all processes of this host".to_owned(),
        LockScope::Hosts => "keeps apart all processes of all hosts".to_owned(),
        LockScope::Host => {
            format!(
                "keeps apart the processes of this host only: where several hosts renew one login, {FOLDER_EACH}"
            )
        }
        LockScope::Unknown => {
            format!(
                "keeps apart the processes of this host; whether also those of other hosts cannot be told: to be sure, {FOLDER_EACH}"
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

fn table(statuses: &[Status]) -> String {
    let now = SystemClock.now();
    let mut rows = vec![["PROVIDER", "STATE", "LEFT", "ACCOUNT", "SCOPES"].map(str::to_owned).to_vec()];
    for status in statuses {
        let left = status.expires_at.filter(|at| *at > now).map(|at| (at - now).to_std().unwrap_or_default());
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        rows.push(vec![
            status.name.clone(),
            word(status.state).to_owned(),
            or_dash(left.map(humanize::duration).unwrap_or_default()),
            or_dash(status.account.clone().unwrap_or_default()),
            or_dash(
                status
                    .scopes
                    .iter()
                    .map(|key| sanitize(&humanize::asked(key)))
                    .collect::<Vec<_>>()
                    .join(", "),
            ),
        ]);
    }
    let colours = colours(&std::io::stdout());
    humanize::table(&rows, |row, column, cell| {
        match (row.checked_sub(1).and_then(|row| statuses.get(row)), column) {
            (Some(status), 1) if colours => format!("\x1b[{}m{cell}\x1b[0m", colour(status.state)),
            (None, _) if colours => format!("\x1b[1m{cell}\x1b[0m"),
            _ => cell,
        }
    })
}

fn notes(context: &CommandContext<'_>, status: &Status) {
    let name = &status.name;
    if let Some(note) = &status.note {
        context.say(&format!("{name}: {note}"));
    }
    if status.state == State::LoginRequired {
        context.say(&format!("{name}: run: broker login {name}"));
    }
    if let Some(failure) = &status.last_failure {
        let at = failure.at.format("%F %T UTC");
        context.say(&format!("{name}: the last try failed at {at}: {}", failure.message));
    }
    if let Some(until) = status.not_before {
        context
            .say(&format!("{name}: the service asked to be left alone until {}", until.format("%F %T UTC")));
    }
}

/// When the first of its tokens is due.
fn renews_at(status: &Status) -> Option<DateTime<Utc>> {
    status.tokens.iter().filter_map(|token| token.renews_at).min()
}

/// The details of a provider, below its name.
fn block(broker: &Broker, status: &Status) -> String {
    let line = |(what, value): (&str, String)| format!("  {what:<20}  {}\n", sanitize(&value));
    let lines: String = details(broker, status).into_iter().map(line).collect();
    format!("\n{}\n{lines}", status.name)
}

/// Where it comes from and where it goes.
fn details(broker: &Broker, status: &Status) -> Vec<(&'static str, String)> {
    let sources = status.sources.iter().map(|source| ("login or secret from", source.clone()));
    let renews = renews_at(status).map(|at| ("next renewal", rfc3339(at)));
    let hosts = Some(("offered to", status.hosts.join(", "))).filter(|_| !status.hosts.is_empty());
    let variable = broker.token_variable(&status.name).ok().map(|name| ("variable", name));
    let mut details = vec![("tokens from", status.issuer.clone())];
    details.extend(sources.chain(renews).chain(hosts).chain(variable));
    details
}

fn word(state: State) -> &'static str {
    match state {
        State::Valid => "valid",
        State::Expiring => "expiring",
        State::Expired => "expired",
        State::LoginRequired => "login required",
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
