//! The configuration: that it can be used, and that nobody else can change it.

use broker::{Catalog, Config, Env, ErrorKind, SystemEnv, nearest};

use super::files::{is_ours, mode, others_may_write, quoted};
use super::report::Report;
use crate::commands::{Desk, Outcome};

/// The variables that are read; `BROKER_PROVIDERS__…` are keys.
const VARIABLES: [&str; 2] = ["BROKER_CONFIG", "BROKER_STATE_DIR"];

/// Gives the configuration, if there is one that can be used. That `named` is no provider is an error of who asked.
pub(super) fn check(desk: &Desk<'_>, named: Option<&str>, report: &mut Report) -> Outcome<Option<Config>> {
    writers(desk, report);
    variables(report);
    let config = match desk.setup().config() {
        Ok(config) => config,
        Err(error) => {
            let fix = error.hint().unwrap_or("correct the file, then run: broker config check");
            report.error("configuration.load", None, error.message(), fix);
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

fn provider(config: &Config, name: &str, report: &mut Report) {
    match config.entry(name) {
        Ok(_) => report.fine("configuration.provider", Some(name), "its keys are right"),
        Err(error) => {
            let fix = error.hint().unwrap_or("correct it, then run: broker config check");
            report.error("configuration.provider", Some(name), error.message(), fix);
        }
    }
    for warning in config.warnings(name) {
        let (what, fix) = warning.rsplit_once(": ").unwrap_or((&warning, "run: chmod 600 on that file"));
        report.warning("configuration.secret", Some(name), what, fix);
    }
}

/// Who can write it can send the secrets in it to a server of theirs.
fn writers(desk: &Desk<'_>, report: &mut Report) {
    for (file, _) in desk.setup().config_files().iter().filter(|(_, there)| *there) {
        let both = [Some(file.as_path()), file.parent().filter(|folder| !folder.as_os_str().is_empty())];
        let open: Vec<_> = both
            .into_iter()
            .flatten()
            .filter_map(|path| Some((path, path.metadata().ok().filter(others_may_write)?)))
            .collect();
        for (path, meta) in &open {
            let what = format!("others may change {} (mode {})", path.display(), mode(meta));
            let chown = if is_ours(meta) { "" } else { "chown \"$USER\" FILE && " };
            let fix = format!("run: {chown}chmod go-w FILE").replace("FILE", &quoted(path));
            report.error("configuration.writable", None, what, fix);
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
        let meant = match nearest(name, VARIABLES) {
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
