//! How records are kept: that their key can be had, and that all are kept as the configuration says.

use std::path::Path;

use broker::{Config, KeyringState, ProviderRegistry, Status};

use super::report::Report;
use crate::commands::CommandContext;
use crate::commands::store::{of_keyring, word};

pub(super) fn check(
    context: &CommandContext<'_>,
    config: Option<&Config>,
    statuses: &[Status],
    report: &mut Report,
) {
    let Some(config) = config else { return };
    let Ok(records) = context.setup().records(config) else { return };
    let configured_names = config.names();
    let (mut list, mut all_told) = (Vec::new(), true);
    for (name, kept) in records.list() {
        match kept {
            Ok(kept) => list.push((name, kept)),
            Err(error) => {
                all_told = false;
                // Of a provider that is configured it was told as that.
                if !configured_names.contains(&name) {
                    report.error("state.sealed", Some(&name), error.message(), "move what is there away");
                }
            }
        }
    }
    let configured = records.configured();
    let sealed = configured != "file" || list.iter().any(|(_, kept)| word(kept) != "file");
    if configured == "keyring" || list.iter().any(|(_, kept)| word(kept) == "keyring") {
        match records.keyring() {
            KeyringState::Unlocked => report.fine("state.keyring", None, "the OS keyring answers"),
            state => {
                let what =
                    format!("the OS keyring is {}, and the key of records is in it", of_keyring(state));
                let fix = "unlock it, or on a machine without a desktop set store = { key = … } and run: broker store migrate";
                report.error("state.keyring", None, what, fix);
            }
        }
    }
    let others: Vec<_> = list
        .iter()
        .filter(|(_, kept)| word(kept) != configured)
        .map(|(name, kept)| format!("{name} ({})", word(kept)))
        .collect();
    if !others.is_empty() {
        let what = format!(
            "`store` says \"{configured}\", and some records are kept otherwise: {}",
            others.join(", ")
        );
        report.warning("state.sealed", None, what, "run: broker store migrate");
    } else if sealed && all_told && !list.is_empty() {
        report.fine("state.sealed", None, format!("all records are sealed ({configured})"));
    }
    for status in statuses.iter().filter(|_| sealed) {
        if let Some(file) =
            status.sources.iter().find(|source| source.ends_with("tokens.json") && Path::new(source).exists())
        {
            let what = format!(
                "its login is in {file}, which is not sealed: the official tools read it; `share = false` keeps it in the record"
            );
            report.fine("state.shared", Some(&status.name), what);
        }
    }
}
