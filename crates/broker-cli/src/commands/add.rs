//! `broker add`.

use std::path::Path;

use broker::{Env, Error, Result, SystemEnv, is_provider_name, platform};
use serde_json::json;
use toml::{Table, Value};

use super::config_file::{at, beside, check, person_file, text_of, turn};
use super::{CommandContext, CommandResult, answer};
use crate::args::Add;
use crate::format::line;
use crate::gallery::{GALLERY, Service, variables};

pub(super) fn run(context: &CommandContext<'_>, args: &Add) -> CommandResult {
    let Some(wanted) = &args.service else { return list(args.json) };
    let service = Service::find(wanted).map_err(|near| {
        let near = near.map_or_else(String::new, |near| format!(": did you mean `{near}`?"));
        Error::usage(format!("the gallery has no `{wanted}`{near}")).with_hint("what it has: broker add")
    })?;
    let name = args.name.as_deref().unwrap_or(service.name);
    if !is_provider_name(name) {
        let rule = "a provider's name is up to 64 letters, digits, `-` and `_`, and does not begin with `-`";
        return Err(Error::usage(format!("`--as {name}`: {rule}")).into());
    }
    let text = service.named(name);
    if args.dry_run {
        refuse_twice(context, name, service)?;
        return answer(&text);
    }
    let file = person_file(context)?;
    let folder = file.parent().unwrap_or(Path::new("/"));
    let _turn = turn(folder)?;
    refuse_twice(context, name, service)?;
    let before = text_of(&file).map_err(|error| at("read", &file, error))?;
    let gap = match before.as_bytes() {
        [] => "",
        [.., b'\n'] => "\n",
        _ => "\n\n",
    };
    let new = beside(&file, &format!("{before}{gap}{text}")).map_err(|error| at("written", &file, error))?;
    // What the person has to fill in is missing yet: that is said below.
    if service.blanks().is_empty() {
        check(&new, &file, name)?;
    }
    context.say(text.trim_end());
    platform::put_in_place(new, &file).map_err(|error| at("written", &file, error))?;
    context.say(&format!("\n{name}: added to {}", file.display()));
    for note in shared(service, name, &before) {
        context.say(&format!("note: {note}"));
    }
    for next in steps(service, name) {
        context.say(&format!("next: {next}"));
    }
    Ok(())
}

/// A provider that is there is not changed.
fn refuse_twice(context: &CommandContext<'_>, name: &str, service: &Service) -> Result<()> {
    let there = context.setup().config()?.configured()?.into_iter().find(|there| there.name == name);
    let Some(there) = there else { return Ok(()) };
    let error =
        Error::failed(format!("[providers.{name}] is there already ({}) and is not changed", there.origin));
    let other = format!("broker add {0} --as {0}-2", service.name);
    Err(error.with_hint(format!("remove that table first, or add a second one: {other}")))
}

/// What is left to do until there is a token.
fn steps(service: &Service, name: &str) -> Vec<String> {
    let blanks = service.blanks();
    let blanks = blanks.iter().map(|key| format!("fill in `{key}`: it is empty, and yours"));
    let unset = service.variables().into_iter().filter(|(_, variable)| SystemEnv.var(variable).is_none());
    let variables = unset.map(|(key, variable)| {
        format!("set {variable}, or name another place of `{key}`: {{ file = … }}, {{ command = … }}")
    });
    let command = if service.has_login() { "login" } else { "token" };
    blanks.chain(variables).chain([format!("broker {command} {name}")]).collect()
}

/// Secrets that other providers of the file have from the same variables: another account needs others.
fn shared(service: &Service, name: &str, before: &str) -> Vec<String> {
    let file: Table = toml::from_str(before).unwrap_or_default();
    let providers = file.get("providers").and_then(Value::as_table);
    let note = |(key, variable): (String, String)| {
        let reads = |table: &Table| variables(table).iter().any(|(_, theirs)| *theirs == variable);
        let (other, _) = providers?.iter().find(|(_, table)| table.as_table().is_some_and(reads))?;
        let change = format!("for another account name another variable in `{key}` of [providers.{name}]");
        Some(format!("{variable} is what `{other}` reads too: {change}"))
    };
    service.variables().into_iter().filter_map(note).collect()
}

fn list(as_json: bool) -> CommandResult {
    if as_json {
        let object = |service: &Service| {
            let variables = service.variables().into_iter().map(|(_, variable)| variable);
            json!({
                "name": service.name,
                "about": service.about(),
                "kind": service.get("kind"),
                "variables": variables.collect::<Vec<_>>(),
            })
        };
        let services: Vec<_> = GALLERY.iter().map(object).collect();
        return answer(&line(&json!({ "version": 1, "services": services }))?);
    }
    let rows = GALLERY
        .iter()
        .map(|service| format!("{:<22}  {:<6}  {}\n", service.name, service.get("kind"), service.about()));
    answer(&rows.collect::<String>())
}
