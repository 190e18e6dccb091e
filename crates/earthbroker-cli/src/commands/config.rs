//! The commands `broker list` and `broker config`.

use broker_core::{ProviderRegistry, sanitize};
use earthbroker::config::{Configured, Setting};
use serde_json::json;

use super::{CommandContext, CommandResult, answer, answer_json, end};
use crate::args::Config;
use crate::humanize;

pub(super) fn list(context: &CommandContext<'_>, as_json: bool) -> CommandResult {
    let providers = context.setup().config()?.configured()?;
    if as_json {
        let object = |provider: &Configured| json!({ "name": provider.name, "kind": provider.kind, "configured_in": provider.origin });
        let providers: Vec<_> = providers.iter().map(object).collect();
        return answer_json(&json!({ "version": 1, "providers": providers }));
    }
    let mut rows = vec![["PROVIDER", "KIND", "CONFIGURED IN"].map(str::to_owned).to_vec()];
    rows.extend(providers.into_iter().map(|provider| vec![provider.name, provider.kind, provider.origin]));
    let table = humanize::table(&rows, &[], |_, _, cell| cell);
    answer(&humanize::displayable(&table, &std::io::stdout()))
}

pub(super) fn run(context: &CommandContext<'_>, args: &Config) -> CommandResult {
    match args {
        Config::Path => path(context),
        Config::Check => check(context),
        Config::Show => show(context),
    }
}

fn path(context: &CommandContext<'_>) -> CommandResult {
    // The files are not parsed, because users run `broker config path` to find a file with mistakes.
    let files = context.setup().config_files();
    let Some((last, _)) = files.last() else { return Ok(()) };
    for (file, exists) in &files {
        context.say(&format!("{}: {}", file.display(), if *exists { "is read" } else { "does not exist" }));
    }
    answer(&format!("{}\n", last.display()))
}

fn check(context: &CommandContext<'_>) -> CommandResult {
    let config = context.setup().config()?;
    let names = config.names();
    let errors: Vec<_> = names.iter().filter_map(|name| config.entry(name).err()).collect();
    let warnings = names.iter().flat_map(|name| config.warnings(name)).chain(config.store_warning());
    for warning in warnings {
        context.say(&format!("warning: {}: {}", warning.message, warning.fix));
    }
    if !errors.is_empty() {
        return end(errors);
    }
    answer(&format!("the configuration is valid: {} providers\n", names.len()))
}

fn show(context: &CommandContext<'_>) -> CommandResult {
    let config = context.setup().config()?;
    let line = |set: &Setting| sanitize(&format!("{} = {}  # {}", set.key, set.value, set.origin)) + "\n";
    let mut tables: Vec<_> = config.store_setting().iter().map(line).collect();
    for Configured { name, kind, origin, .. } in config.configured()? {
        let lines: String = config.settings(&name)?.iter().map(line).collect();
        tables.push(sanitize(&format!("[providers.{name}]  # kind {kind}, {origin}")) + "\n" + &lines);
    }
    answer(&tables.join("\n"))
}
