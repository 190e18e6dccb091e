use broker_core::{SecretSource, SystemEnv, is_provider_name};
use earthbroker::config::{Config, Configured};
use earthbroker::{Env, Error, ErrorCode, Result};
use serde_json::json;

use super::user_file::{UserFile, appended};
use super::{CommandContext, CommandResult, answer, answer_json};
use crate::args::Add;
use crate::gallery::{GALLERY, Service};
use crate::humanize;

pub(super) fn run(context: &CommandContext<'_>, args: &Add) -> CommandResult {
    let Some(wanted) = &args.service else { return list(args.json) };
    let service = Service::find(wanted).ok_or_else(|| not_found(wanted))?;
    let name = args.name.as_deref().unwrap_or(service.name);
    if !is_provider_name(name) {
        let why = format!("`--as {name}`: not a valid provider name");
        return Err(Error::usage(why).with_hint("use up to 64 letters, digits, `-` and `_`").into());
    }
    let text = service.named(name);
    if args.dry_run {
        let _ = config_without(context, name, service)?;
        return answer(&text);
    }
    let file = UserFile::lock(context)?;
    let config = config_without(context, name, service)?;
    // A table with empty keys is invalid until the user has filled in the keys.
    let checked = Some(name).filter(|_| service.blanks().is_empty());
    let new = file.temporary(&appended(&file.text()?, &text), checked)?;
    text.trim_end().lines().for_each(|line| context.say(line));
    file.replace(new)?;
    context.say("");
    context.say(&format!("{name}: added to {}", file.path.display()));
    for note in shared(service, name, &config)? {
        context.say(&format!("note: {note}"));
    }
    for next in steps(service, name) {
        context.say(&format!("next: {next}"));
    }
    Ok(())
}

/// Returns the error for an unknown service, with the services that match the text.
fn not_found(wanted: &str) -> Error {
    let lines: Vec<_> =
        Service::search(wanted).iter().map(|service| format!("  {}", service.line())).collect();
    let (why, hint) = if lines.is_empty() {
        (format!("no service matches `{wanted}`"), "run: broker add, to list all services")
    } else {
        let why = format!("no service is named `{wanted}`; these match:");
        (why, "run: broker add NAME, with the name of a service")
    };
    Error::new(ErrorCode::ProviderUnknown, why).with_lines(lines).with_hint(hint)
}

/// Returns the configuration. Fails if a provider with this name is configured.
fn config_without(context: &CommandContext<'_>, name: &str, service: &Service) -> Result<Config> {
    let config = context.setup().config()?;
    let configured = config.configured()?.into_iter().find(|other| other.name == name);
    let Some(configured) = configured else { return Ok(config) };
    let why = format!("[providers.{name}] exists already in {}, and was not changed", configured.origin);
    let other = format!("broker add {0} --as {0}-2", service.name);
    let hint = format!("remove [providers.{name}] first, or add a second provider: {other}");
    Err(Error::new(ErrorCode::AlreadyExists, why).with_hint(hint))
}

/// Returns the steps that the user has to do before the provider can get a token.
fn steps(service: &Service, name: &str) -> Vec<String> {
    let blanks = service.blanks().into_iter().map(|key| format!("fill in `{key}`, which is empty"));
    let unset = service.variables().into_iter().filter(|(_, variable)| SystemEnv.var(variable).is_none());
    let variables = unset.map(|(key, variable)| {
        format!("set {variable}, or change the source of `{key}`: {{ file = … }}, {{ command = … }}")
    });
    let command = if service.has_login() { "login" } else { "token" };
    blanks.chain(variables).chain([format!("broker {command} {name}")]).collect()
}

/// Returns a note for each environment variable that both the new and an existing provider read.
fn shared(service: &Service, name: &str, config: &Config) -> Result<Vec<String>> {
    let others = config.configured()?;
    let note = |(key, variable): (String, String)| {
        let reads = |other: &&Configured| {
            let sources = config.secret_sources(&other.name).unwrap_or_default();
            sources
                .iter()
                .any(|(_, source)| matches!(source, SecretSource::Env(theirs) if *theirs == variable))
        };
        let other = &others.iter().find(reads)?.name;
        let change =
            format!("for another account, set another environment variable in `{key}` of [providers.{name}]");
        Some(format!("`{other}` reads {variable} too: {change}"))
    };
    Ok(service.variables().into_iter().filter_map(note).collect())
}

fn list(as_json: bool) -> CommandResult {
    if as_json {
        let object = |service: &Service| {
            let (_, variables): (Vec<_>, Vec<_>) = service.variables().into_iter().unzip();
            let (name, about, kind) = (service.name, service.about(), service.get("kind"));
            json!({ "name": name, "about": about, "kind": kind, "variables": variables })
        };
        let services: Vec<_> = GALLERY.iter().map(object).collect();
        return answer_json(&json!({ "version": 1, "services": services }));
    }
    let lines: String = GALLERY.iter().map(|service| service.line() + "\n").collect();
    answer(&humanize::displayable(&lines, &std::io::stdout()))
}
