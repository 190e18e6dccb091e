//! The configuration: that it can be used, and that nobody else can change it.

use std::path::PathBuf;

use broker::{Config, Env, Error, ErrorKind, ProviderRegistry, SystemEnv, suggestion};

use super::files::{is_ours, mode, others_may_write, quoted};
use super::report::Report;
use crate::commands::{CommandContext, CommandResult};
use crate::hints;

/// The variables that are read; `BROKER_PROVIDERS__…` are keys.
const VARIABLES: [&str; 3] = ["BROKER_CONFIG", "BROKER_STATE_DIR", "BROKER_STORE"];

/// Gives the configuration, if there is one that can be used. That `named` is no provider is an error of who asked.
pub(super) fn check(
    context: &CommandContext<'_>,
    named: Option<&str>,
    report: &mut Report,
) -> CommandResult<Option<Config>> {
    let loaded = context.setup().config();
    let leaks = loaded.as_ref().map(|config| leaks(config, named)).unwrap_or_default();
    writers(context, &leaks, report);
    variables(report);
    let config = match loaded {
        Ok(config) => config,
        Err(error) => {
            report.error("configuration.load", None, error.message(), of_load(context, &error));
            return Ok(None);
        }
    };
    report.fine("configuration.load", None, format!("{} providers are configured", config.names().len()));
    for name in config.names().iter().filter(|name| named.is_none_or(|named| named == *name)) {
        provider(&config, name, report);
    }
    match named.map(|name| config.entry(name)) {
        Some(Err(error)) if error.kind() == ErrorKind::Usage => Err(error.into()),
        _ => Ok(Some(config)),
    }
}

/// The fix for a configuration error without a hint of its own.
const CORRECT: &str = "correct the file, then run: broker config check";

/// The fix for a configuration that cannot be loaded.
fn of_load(context: &CommandContext<'_>, error: &Error) -> String {
    // A file of the usual ones need not be there.
    let missing = context.setup().config_files().iter().all(|(_, there)| !there);
    match hints::hint(error) {
        _ if missing && context.global.config.is_some() => "correct the name after --config".to_owned(),
        _ if missing && SystemEnv.var("BROKER_CONFIG").is_some() => {
            "correct the name, or run: unset BROKER_CONFIG".to_owned()
        }
        hint => hint.unwrap_or_else(|| CORRECT.to_owned()),
    }
}

fn provider(config: &Config, name: &str, report: &mut Report) {
    match config.entry(name) {
        Ok(_) => report.fine("configuration.provider", Some(name), "its keys are right"),
        Err(error) => {
            let fix = hints::hint(&error).unwrap_or_else(|| CORRECT.to_owned());
            report.error("configuration.provider", Some(name), error.message(), fix);
        }
    }
}

/// A secret in a file that others can read.
struct Leak {
    provider: String,
    file: PathBuf,
    what: String,
}

fn leaks(config: &Config, named: Option<&str>) -> Vec<Leak> {
    let leak = |name: &String, warning: &str| {
        let (file, _) = warning.split_once(" holds the secret ")?;
        let (what, _) = warning.rsplit_once(": ")?;
        Some(Leak { provider: name.clone(), file: file.into(), what: what.to_owned() })
    };
    let all = config.names();
    let asked = all.iter().filter(|name| named.is_none_or(|named| named == *name));
    asked
        .flat_map(|name| config.warnings(name).into_iter().filter_map(move |text| leak(name, &text)))
        .collect()
}

/// Who can write it can send the secrets in it to a server of theirs; who can read it has them.
fn writers(context: &CommandContext<'_>, leaks: &[Leak], report: &mut Report) {
    for (file, _) in context.setup().config_files().iter().filter(|(_, there)| *there) {
        let both = [Some(file.as_path()), file.parent().filter(|folder| !folder.as_os_str().is_empty())];
        let open: Vec<_> = both
            .into_iter()
            .flatten()
            .filter_map(|path| Some((path, path.metadata().ok().filter(others_may_write)?)))
            .collect();
        for (path, meta) in &open {
            let leaks = leaks.iter().any(|leak| leak.file == *path);
            let read = if leaks { ", and read the secret in it" } else { "" };
            let what = format!("others may change {}{read} (mode {})", path.display(), mode(meta));
            let chown = if is_ours(meta) { "" } else { "sudo chown \"$USER\" FILE && " };
            let bits = if leaks { "600" } else { "go-w" };
            let fix = format!("run: {chown}chmod {bits} FILE").replace("FILE", &quoted(path));
            report.error("configuration.writable", None, what, fix);
        }
        // One command mends both.
        if !open.iter().any(|(path, _)| path == file) {
            for leak in leaks.iter().filter(|leak| leak.file == *file) {
                let fix = format!("run: chmod 600 {}", quoted(file));
                report.warning("configuration.secret", Some(&leak.provider), &leak.what, fix);
            }
        }
        if open.is_empty() {
            report.fine("configuration.writable", None, format!("nobody else may change {}", file.display()));
        }
    }
}

/// Only what looks like a mistyped name of ours: other programs have brokers too.
fn variables(report: &mut Report) {
    let set = SystemEnv.vars("BROKER_");
    let own = |name: &str| VARIABLES.contains(&name) || name.starts_with("BROKER_PROVIDERS__");
    let mut fine = true;
    for (name, _) in set.iter().filter(|(name, _)| !own(name)) {
        // The part that all have says nothing.
        let bare = |name: &'static str| name.trim_start_matches("BROKER_");
        let near = suggestion(name.trim_start_matches("BROKER_"), VARIABLES.map(bare));
        let meant = match near.and_then(|near| VARIABLES.into_iter().find(|name| bare(name) == near)) {
            Some(meant) => meant,
            None if name.starts_with("BROKER_PROVIDER") => "BROKER_PROVIDERS__NAME__KEY",
            None => continue,
        };
        fine = false;
        let fix = format!("rename it to {meant}, or run: unset {name}");
        report.warning(
            "configuration.variables",
            None,
            format!("the environment variable {name} is not read"),
            fix,
        );
    }
    if fine {
        report.fine("configuration.variables", None, "no environment variable has a mistyped name");
    }
}
