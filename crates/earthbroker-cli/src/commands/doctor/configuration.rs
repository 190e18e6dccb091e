//! Checks that the configuration is valid, and that only its owner can change it.

use broker_core::{ProviderRegistry, SystemEnv, platform};
use earthbroker::config::{Config, ConfigWarning, suggestion};
use earthbroker::{Env, ErrorCode};

use super::report::Report;
use super::{checked, mode, others_can_write};
use crate::commands::{CommandContext, CommandResult};
use crate::format::quoted_path;

/// `BROKER_CONFIG`, `BROKER_STATE_DIR` and `BROKER_STORE` without their prefix.
const VARIABLES: [&str; 3] = ["CONFIG", "STATE_DIR", "STORE"];

/// Returns the configuration if it is valid. Fails if the provider that the user named is not configured.
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
            match fix_path(context) {
                Some(fix) => report.error("configuration.load", None, error.message(), fix),
                None => report.failed("configuration.load", None, &error, CORRECT),
            }
            return Ok(None);
        }
    };
    report.ok("configuration.load", None, format!("{} providers are configured", config.names().len()));
    for name in checked(config.names(), named) {
        match config.entry(&name) {
            Ok(_) => {
                report.ok("configuration.provider", Some(&name), "the provider's configuration is valid");
            }
            Err(error) => report.failed("configuration.provider", Some(&name), &error, CORRECT),
        }
    }
    match named.map(|name| config.entry(name)) {
        Some(Err(error)) if error.code() == ErrorCode::ProviderUnknown => Err(error.into()),
        _ => Ok(Some(config)),
    }
}

/// How the user fixes a configuration error that has no hint.
const CORRECT: &str = "correct the file, then run: broker config check";

/// Returns the fix for the path of a missing configuration file, if the user named the file.
fn fix_path(context: &CommandContext<'_>) -> Option<&'static str> {
    if context.setup().config_files().iter().any(|(_, exists)| *exists) {
        None
    } else if context.global.config.is_some() {
        Some("correct the path after --config")
    } else {
        SystemEnv.var("BROKER_CONFIG").map(|_| "correct the path, or run: unset BROKER_CONFIG")
    }
}

/// Returns the warnings of secrets in files that other users can read.
fn leaks(config: &Config, named: Option<&str>) -> Vec<ConfigWarning> {
    let warnings = checked(config.names(), named).flat_map(|name| config.warnings(&name));
    warnings.filter(|warning| warning.readable.is_some()).collect()
}

/// Checks that only the owner can change the configuration files. A changed file can send secrets to any host.
fn writers(context: &CommandContext<'_>, leaks: &[ConfigWarning], report: &mut Report) {
    for (file, _) in context.setup().config_files().iter().filter(|(_, exists)| *exists) {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let paths = [file.as_path()].into_iter().chain(folder);
        let open = paths.filter_map(|path| Some((path, path.metadata().ok().filter(others_can_write)?)));
        let open: Vec<_> = open.collect();
        for (path, meta) in &open {
            let leaks = leaks.iter().any(|leak| leak.readable.as_deref() == Some(*path));
            let and_read = if leaks { " and read its secret" } else { "" };
            let what = format!("other users can change {}{and_read} (mode {})", path.display(), mode(meta));
            let chown = if platform::is_own(meta) { "" } else { "sudo chown \"$USER\" FILE && " };
            let bits = if leaks { "600" } else { "go-w" };
            let fix = format!("run: {chown}chmod {bits} FILE").replace("FILE", &quoted_path(path));
            report.error("configuration.writable", None, &what, &fix);
        }
        // If other users can change the file, the loop above has already reported that they can read its secret.
        if !open.iter().any(|(path, _)| path == file) {
            for leak in leaks.iter().filter(|leak| leak.readable.as_ref() == Some(file)) {
                let fix = format!("run: chmod 600 {}", quoted_path(file));
                report.warning("configuration.secret", leak.provider.as_deref(), &leak.message, &fix);
            }
        }
        if open.is_empty() {
            report.ok("configuration.writable", None, format!("only you can change {}", file.display()));
        }
    }
}

/// Warns of environment variables whose name is probably mistyped. Other programs may use the prefix `BROKER_` too.
fn variables(report: &mut Report) {
    let mut ok = true;
    for (name, _) in SystemEnv.vars("BROKER_") {
        // Only the part after the prefix is compared, because the prefix would make all names similar.
        let bare = name.strip_prefix("BROKER_").unwrap_or(&name);
        let meant = match suggestion(bare, VARIABLES) {
            _ if VARIABLES.contains(&bare) || bare.starts_with("PROVIDERS__") => continue,
            Some(near) => near,
            None if bare.starts_with("PROVIDER") => "PROVIDERS__NAME__KEY",
            None => continue,
        };
        ok = false;
        let fix = format!("rename {name} to BROKER_{meant}, or run: unset {name}");
        let what = format!("the broker does not know the environment variable {name}");
        report.warning("configuration.variables", None, &what, &fix);
    }
    if ok {
        report.ok("configuration.variables", None, "no environment variable has a mistyped name");
    }
}
