//! The commands `broker list` and `broker config`.

use broker::Configured;
use serde_json::json;

use super::{CommandContext, CommandResult, answer};
use crate::args::{Config, List};
use crate::format::json_of_providers;
use crate::humanize;
use crate::report::ExitError;

pub(super) fn list(context: &CommandContext<'_>, args: &List) -> CommandResult {
    let providers = context.setup().config()?.configured()?;
    if args.json {
        let object = |provider: &Configured| json!({ "name": provider.name, "kind": provider.kind, "configured_in": provider.origin });
        return answer(&json_of_providers(providers.iter().map(object).collect(), None)?);
    }
    let mut rows = vec![["PROVIDER", "KIND", "CONFIGURED IN"].map(str::to_owned).to_vec()];
    rows.extend(providers.into_iter().map(|provider| vec![provider.name, provider.kind, provider.origin]));
    answer(&humanize::table(&rows, &[], |_, _, cell| cell))
}

pub(super) fn run(context: &CommandContext<'_>, args: &Config) -> CommandResult {
    match args {
        Config::Path => path(context),
        Config::Check => check(context),
        Config::Show => show(context),
    }
}

fn path(context: &CommandContext<'_>) -> CommandResult {
    // The path is printed without parsing, so that users can find a file with mistakes.
    let files = context.setup().config_files();
    let Some((last, _)) = files.last() else { return Ok(()) };
    for (file, exists) in &files {
        context.say(&format!("{}: {}", file.display(), if *exists { "is read" } else { "does not exist" }));
    }
    answer(&format!("{}\n", last.display()))
}

fn check(context: &CommandContext<'_>) -> CommandResult {
    let setup = context.setup();
    let config = setup.config()?;
    let names = broker::ProviderRegistry::names(&config);
    let errors: Vec<_> =
        names.iter().filter_map(|name| broker::ProviderRegistry::entry(&config, name).err()).collect();
    let warnings = names.iter().flat_map(|name| config.warnings(name)).chain(config.store_warning());
    for warning in warnings {
        context.say(&format!("warning: {warning}: {}", warning.fix()));
    }
    if !errors.is_empty() {
        return Err(ExitError::Errors(errors));
    }
    answer(&format!("the configuration is valid: {} providers\n", names.len()))
}

fn show(context: &CommandContext<'_>) -> CommandResult {
    let config = context.setup().config()?;
    let mut tables = Vec::new();
    if let Some(set) = config.store_setting() {
        tables.push(format!("{} = {}  # {}\n", set.key, set.value, set.origin));
    }
    for provider in config.configured()? {
        let mut lines =
            vec![format!("[providers.{}]  # kind {}, {}", provider.name, provider.kind, provider.origin)];
        let settings = config.settings(&provider.name)?;
        lines.extend(settings.iter().map(|set| format!("{} = {}  # {}", set.key, set.value, set.origin)));
        tables.push(lines.join("\n") + "\n");
    }
    answer(&tables.join("\n"))
}
