//! `broker list` and `broker config`.

use broker::Configured;
use serde_json::json;

use super::{Desk, Outcome, answer};
use crate::args::{Config, List};
use crate::format::json_of_providers;
use crate::report::End;
use crate::words;

pub(super) fn list(desk: &Desk<'_>, args: &List) -> Outcome {
    let providers = desk.setup().config()?.configured()?;
    if args.json {
        let object = |provider: &Configured| json!({ "name": provider.name, "kind": provider.kind, "configured_in": provider.origin });
        return answer(&json_of_providers(providers.iter().map(object).collect(), None)?);
    }
    let mut rows = vec![["PROVIDER", "KIND", "CONFIGURED IN"].map(str::to_owned).to_vec()];
    rows.extend(providers.into_iter().map(|provider| vec![provider.name, provider.kind, provider.origin]));
    answer(&words::table(&rows, |_, _, cell| cell))
}

pub(super) fn run(desk: &Desk<'_>, args: &Config) -> Outcome {
    match args {
        Config::Path => path(desk),
        Config::Check => check(desk),
        Config::Show => show(desk),
    }
}

fn path(desk: &Desk<'_>) -> Outcome {
    // Also where a file is wrong its path is known.
    let files = desk.setup().config_files();
    let Some((last, _)) = files.last() else { return Ok(()) };
    for (file, there) in &files {
        desk.say(&format!("{}: {}", file.display(), if *there { "is read" } else { "is not there" }));
    }
    answer(&format!("{}\n", last.display()))
}

fn check(desk: &Desk<'_>) -> Outcome {
    let setup = desk.setup();
    let config = setup.config()?;
    let names = broker::Catalog::names(&config);
    let errors: Vec<_> =
        names.iter().filter_map(|name| broker::Catalog::entry(&config, name).err()).collect();
    for name in &names {
        desk.warn(&config, name);
    }
    if let Some(warning) = config.store_warning() {
        desk.say(&format!("warning: {warning}"));
    }
    if !errors.is_empty() {
        return Err(End::Errors(errors));
    }
    answer(&format!("the configuration is right: {} providers\n", names.len()))
}

fn show(desk: &Desk<'_>) -> Outcome {
    let config = desk.setup().config()?;
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
