//! Checks that the encryption key of records is available, and that all records have the configured format.

use broker_core::ProviderRegistry;
use earthbroker::Status;
use earthbroker::config::Config;

use super::report::Report;
use crate::commands::CommandContext;
use crate::commands::store::{uses_keyring, word};

pub(super) fn check(
    context: &CommandContext<'_>,
    config: Option<&Config>,
    statuses: &[Status],
    report: &mut Report,
) {
    let Some(config) = config else { return };
    let Ok(records) = context.setup().records(config) else { return };
    let configured_names = config.names();
    let (mut list, mut all_known) = (Vec::new(), true);
    let formats = records.list().unwrap_or_else(|error| {
        all_known = false;
        report.error("state.sealed", None, error.message(), "check the permissions of the state folder");
        Vec::new()
    });
    for (name, format) in formats {
        match format {
            Ok(format) => list.push((name, format)),
            // `state::check` has already reported the errors of configured providers.
            Err(_) if configured_names.contains(&name) => all_known = false,
            Err(error) => {
                all_known = false;
                report.error("state.sealed", Some(&name), error.message(), "rename the record's file");
            }
        }
    }
    let configured = config.store().name();
    let sealed = configured != "file" || list.iter().any(|(_, format)| word(format) != "file");
    if uses_keyring(configured, &list) {
        match records.keyring() {
            "unlocked" => report.ok("state.keyring", None, "the OS keyring responds"),
            state => {
                let what = format!("the OS keyring is {state}, but the encrypted records need a key in it");
                let fix = "unlock the keyring; on a machine without a keyring, \
                           set store = { key = { file = \"PATH\" } } and run: broker store migrate";
                report.error("state.keyring", None, &what, fix);
            }
        }
    }
    let others = list.iter().filter(|(_, format)| word(format) != configured);
    let others: Vec<_> = others.map(|(name, format)| format!("{name} ({})", word(format))).collect();
    if !others.is_empty() {
        let others = others.join(", ");
        let what = format!("`store` is \"{configured}\", but some records have another format: {others}");
        report.warning("state.sealed", None, &what, "run: broker store migrate");
    } else if sealed && all_known && !list.is_empty() {
        report.ok("state.sealed", None, format!("all records are encrypted (store: {configured})"));
    }
    for status in statuses.iter().filter(|_| sealed) {
        if let Some(file) = status.login_file.as_ref().filter(|file| file.exists()) {
            let what = format!(
                "the login in {} is not encrypted, because the service's own tools read it; \
                 `share = false` moves the login to the encrypted record",
                file.display()
            );
            report.ok("state.shared", Some(&status.name), what);
        }
    }
}
