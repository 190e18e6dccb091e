//! `broker store`: how records are kept, and moving them.

use broker::{Config, Error, KeyringState, Migrated, ProviderRegistry, Records, StorageFormat};
use serde_json::json;

use super::{CommandContext, CommandResult, answer};
use crate::args::Store;
use crate::humanize;
use crate::report::ExitError;

pub(super) fn run(context: &CommandContext<'_>, args: &Store) -> CommandResult {
    let setup = context.setup();
    let config = setup.config()?;
    if let Some(warning) = config.store_warning() {
        context.say(&format!("warning: {warning}"));
    }
    let records = setup.records(&config)?;
    match args {
        Store::Status { json } => status(&records, &config, *json),
        Store::Migrate => migrate(context, &records),
    }
}

/// How a record is kept, in one word.
pub(super) fn word(kept: &StorageFormat) -> &str {
    match kept {
        StorageFormat::Plain => "file",
        StorageFormat::Sealed(with) => with,
    }
}

pub(super) fn of_keyring(state: KeyringState) -> &'static str {
    match state {
        KeyringState::Unlocked => "unlocked",
        KeyringState::Locked => "locked",
        _ => "absent",
    }
}

/// The records whose way can be told, and what is wrong with the others.
fn list(records: &Records) -> (Vec<(String, StorageFormat)>, Vec<Error>) {
    let (mut told, mut errors) = (Vec::new(), Vec::new());
    for (name, kept) in records.list() {
        match kept {
            Ok(kept) => told.push((name, kept)),
            Err(error) => errors.push(error),
        }
    }
    (told, errors)
}

fn end(errors: Vec<Error>) -> CommandResult {
    if errors.is_empty() { Ok(()) } else { Err(ExitError::Errors(errors)) }
}

fn status(records: &Records, config: &Config, as_json: bool) -> CommandResult {
    let (list, errors) = list(records);
    let configured = records.configured();
    let asks = configured == "keyring" || list.iter().any(|(_, kept)| word(kept) == "keyring");
    // Who uses no keyring is not made to start one.
    let keyring = asks.then(|| of_keyring(records.keyring()));
    if as_json {
        let object = |(name, kept): &(String, StorageFormat)| json!({ "name": name, "kept": word(kept) });
        let all = json!({
            "version": 1,
            "configured": configured,
            "keyring": keyring,
            "records": list.iter().map(object).collect::<Vec<_>>(),
        });
        answer(&format!("{all}\n"))?;
        return end(errors);
    }
    let of_keyring = keyring.map(|keyring| format!("OS keyring: {keyring}\n")).unwrap_or_default();
    let mut text = format!("new logins: {configured}\n{of_keyring}");
    if !list.is_empty() {
        let mut rows = vec![["PROVIDER", "KEPT IN", ""].map(str::to_owned).to_vec()];
        let names = config.names();
        rows.extend(list.into_iter().map(|(name, kept)| {
            let note = if names.contains(&name) { "" } else { "not configured" };
            vec![name, word(&kept).to_owned(), note.to_owned()]
        }));
        text = text + "\n" + &humanize::table(&rows, |_, _, cell| cell);
    }
    answer(&text)?;
    end(errors)
}

fn migrate(context: &CommandContext<'_>, records: &Records) -> CommandResult {
    let runtime = crate::run::runtime()?;
    let (list, mut errors) = list(records);
    let mut lines = Vec::new();
    for (name, before) in list {
        match runtime.block_on(records.migrate(&name, |words| context.say(words))) {
            Ok(Migrated::Moved) => {
                lines.push(format!("{name}: {} -> {}\n", word(&before), records.configured()));
            }
            Ok(Migrated::Unreadable(why)) => {
                context.say(&format!("{name}: {why}: it is left as it is"));
            }
            Ok(_) => {}
            // What is wrong with one record keeps no other from being moved.
            Err(error) => errors.push(error),
        }
    }
    if lines.is_empty() && errors.is_empty() {
        context.say(&format!(
            "nothing to move: all records are kept in the configured way ({})",
            records.configured()
        ));
    }
    answer(&lines.concat())?;
    if records.configured() != "file" {
        for path in records.plain_quarantined() {
            let path = path.display();
            context.say(&format!(
                "warning: {path} was set aside and is as it was, not sealed: remove it once nothing in it is needed"
            ));
        }
    }
    if errors.is_empty() && records.configured() != "keyring" {
        forget(context, records);
    }
    end(errors)
}

/// Takes away a key that nothing needs any more. That it cannot be done is no failure of what was asked for.
fn forget(context: &CommandContext<'_>, records: &Records) {
    match records.forget_unused_key() {
        Ok(true) => context.say("the key of these records was taken out of the OS keyring"),
        Ok(false) => {}
        Err(error) => {
            context.say(&format!("the OS keyring may still have a key that nothing needs: {error}"))
        }
    }
}
