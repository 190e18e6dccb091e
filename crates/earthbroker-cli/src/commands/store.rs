//! `broker store`: shows how records are stored, and migrates records to another format.

use broker_core::{Migrated, ProviderRegistry, StorageFormat, sanitize};
use earthbroker::Error;
use earthbroker::config::Config;
use earthbroker::records::Records;
use serde_json::json;

use super::{CommandContext, CommandResult, answer, answer_json, end, separate};
use crate::args::Store;
use crate::humanize;

pub(super) fn run(context: &CommandContext<'_>, args: &Store) -> CommandResult {
    let setup = context.setup();
    let config = setup.config()?;
    context.warn_of(config.store_warning());
    let records = setup.records(&config)?;
    match args {
        Store::Status { json } => status(&records, &config, *json),
        Store::Migrate => migrate(context, &records, config.store().name()),
    }
}

pub(super) fn word(format: &StorageFormat) -> &str {
    match format {
        StorageFormat::Plain => "file",
        StorageFormat::Sealed(with) => with,
    }
}

/// Returns the records whose format is known, and an error for each other record.
pub(super) fn list(records: &Records) -> (Vec<(String, StorageFormat)>, Vec<Error>) {
    match records.list() {
        Ok(list) => separate(list.into_iter().map(|(name, format)| Ok((name, format?)))),
        Err(error) => (Vec::new(), vec![error]),
    }
}

/// Whether the setting `store` or a record uses a key in the OS keyring. Otherwise the keyring must not be started.
pub(super) fn uses_keyring(configured: &str, list: &[(String, StorageFormat)]) -> bool {
    configured == "keyring" || list.iter().any(|(_, format)| word(format) == "keyring")
}

fn status(records: &Records, config: &Config, as_json: bool) -> CommandResult {
    let (list, errors) = list(records);
    let configured = config.store().name();
    let keyring = uses_keyring(configured, &list).then(|| records.keyring());
    if as_json {
        let object = |(name, format): &(String, StorageFormat)| json!({ "name": name, "kept": word(format) });
        answer_json(&json!({
            "version": 1,
            "configured": configured,
            "keyring": keyring,
            "records": list.iter().map(object).collect::<Vec<_>>(),
        }))?;
        return end(errors);
    }
    let keyring_line = keyring.map(|keyring| format!("OS keyring: {keyring}\n")).unwrap_or_default();
    let mut text = format!("new logins: {configured}\n{keyring_line}");
    if !list.is_empty() {
        let mut rows = vec![["PROVIDER", "STORED IN", ""].map(str::to_owned).to_vec()];
        let names = config.names();
        rows.extend(list.into_iter().map(|(name, format)| {
            let note = if names.contains(&name) { "" } else { "not configured" };
            vec![name, word(&format).to_owned(), note.to_owned()]
        }));
        text = text + "\n" + &humanize::table(&rows, &[], |_, _, cell| cell);
    }
    answer(&text)?;
    end(errors)
}

fn migrate(context: &CommandContext<'_>, records: &Records, configured: &str) -> CommandResult {
    let runtime = crate::run::runtime()?;
    let (list, mut errors) = list(records);
    let mut lines = Vec::new();
    for (name, before) in list {
        match runtime.block_on(records.migrate(&name, |line| context.say(line))) {
            Ok(Migrated::Moved) => {
                lines.push(sanitize(&format!("{name}: {} -> {configured}", word(&before))) + "\n");
            }
            Ok(Migrated::Unreadable(why)) => context.say(&format!("{name}: record not migrated: {why}")),
            Ok(_) => {}
            // An error of one record must not stop the migration of other records.
            Err(error) => errors.push(error),
        }
    }
    if lines.is_empty() && errors.is_empty() {
        let why = format!("all records are stored in the configured format ({configured})");
        context.say(&format!("nothing to migrate: {why}"));
    }
    answer(&lines.concat())?;
    if configured != "file" {
        for path in records.plain_quarantined() {
            let path = path.display();
            context.say(&format!(
                "warning: the damaged record {path} is not encrypted: remove the file if you do not need it"
            ));
        }
    }
    if errors.is_empty() && configured != "keyring" {
        // A failure is only reported, because the migration succeeded.
        match records.forget_unused_key() {
            Ok(true) => context.say("the unused encryption key was removed from the OS keyring"),
            Ok(false) => {}
            Err(error) => {
                context.say(&format!("the OS keyring may still have a key that no record needs: {error}"));
            }
        }
    }
    end(errors)
}
