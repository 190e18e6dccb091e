//! `broker import`: lists the logins and secrets of other tools, and imports them: adds a table to the configuration, or
//! logs in with a refresh token.

mod table;

use std::path::Path;

use broker_core::tools::{ToolLogin, ToolLoginContent, ToolLoginOrigin, ToolSettings};
use broker_core::{ProviderRegistry, is_provider_name, platform, sanitize};
use earthbroker::config::Config;
use earthbroker::{Error, ErrorCode, Login, Result, Secret};
use serde_json::json;

use super::login::say_logged_in;
use super::{CommandContext, CommandResult, answer, answer_json};
use crate::args::Import;
use crate::format::word;
use crate::report::hint;
use crate::run::run as run_async;
use table::{Table, quoted};

pub(super) fn run(context: &CommandContext<'_>, args: &Import) -> CommandResult {
    if args.name.is_some() && args.what.len() != 1 {
        return Err(Error::usage("`--as` needs exactly one file, or one number from `broker import`").into());
    }
    if args.what.is_empty() {
        return list(context, args.json);
    }
    // All files are read before the first import. An invalid file then changes nothing.
    let (mut found, mut readable) = (Vec::new(), Vec::new());
    for what in &args.what {
        let selected = select(context, what)?;
        let others_read = std::fs::metadata(what).is_ok_and(|meta| platform::others_read(&meta));
        if others_read && what.parse::<usize>().is_err() && selected.iter().all(|login| login.is_whole_file) {
            readable.push(what);
        }
        found.extend(selected);
    }
    if args.name.is_some() && found.len() != 1 {
        return Err(Error::usage("`--as` names one provider, but this file has logins for several").into());
    }
    let taken = found.iter().map(|found| take(context, found, args.name.as_deref()));
    let providers = taken.collect::<CommandResult<Vec<_>>>()?;
    for file in readable {
        let rm = format!("rm {}", word(file));
        context.say(&format!("{file} is no longer needed, and other users can read it; run: {rm}"));
    }
    for provider in &providers {
        context.say(&format!("next: broker token {provider}"));
    }
    if !args.json {
        return Ok(());
    }
    let object = |(provider, found): (&String, &ToolLogin)| json!({ "provider": provider, "kind": found.kind, "from": found.place });
    let imported: Vec<_> = providers.iter().zip(&found).map(object).collect();
    answer_json(&json!({ "version": 1, "imported": imported }))
}

/// Returns the login or secret with the number `what` in the printed list, or all in the file `what`.
fn select(context: &CommandContext<'_>, what: &str) -> CommandResult<Vec<ToolLogin>> {
    let setup = context.setup();
    let Ok(number) = what.parse::<usize>() else {
        return Ok(setup.tool_logins_in(Path::new(what)).map_err(|error| match hint(&error) {
            Some(_) => error,
            None => error.with_hint("run: broker import, to list what can be imported"),
        })?);
    };
    let mut all = setup.tool_logins()?;
    if number == 0 || number > all.len() {
        let error = Error::usage(format!("the list of `broker import` has no number {number}"));
        let hint = format!("to list logins, run: broker import; to import a file: broker import ./{what}");
        return Err(error.with_hint(hint).into());
    }
    Ok(vec![all.swap_remove(number - 1)])
}

fn list(context: &CommandContext<'_>, as_json: bool) -> CommandResult {
    let (all, config) = (context.setup().tool_logins()?, context.setup().config()?);
    let all = (1_usize..).zip(&all).map(|(number, found)| (number, found, how(&config, found)));
    if as_json {
        let object = |(number, found, how): (_, &ToolLogin, How)| {
            json!({
                "number": number,
                "kind": found.kind,
                "where": found.place,
                "has": found.has,
                "used": how.used,
                "importable": how.importable,
                "note": how.note,
            })
        };
        return answer_json(&json!({ "version": 1, "found": all.map(object).collect::<Vec<_>>() }));
    }
    let line = |(number, found, how): (_, &ToolLogin, How)| {
        let next = match how.note {
            Some(note) => note,
            None if how.importable && how.used => {
                format!("this token is used automatically; for a login with it, run: broker import {number}")
            }
            None if how.importable => format!("to import this login or secret, run: broker import {number}"),
            None => "used automatically".to_owned(),
        };
        let has = Some(found.has.join(", ")).filter(|has| !has.is_empty());
        let rest = has.into_iter().chain([next]).collect::<Vec<_>>().join("; ");
        format!("{number:>2}  {:<12}  {}\n{:18}{rest}\n", found.kind, found.place, "")
    };
    let lines: String = all.map(line).collect();
    if lines.is_empty() {
        context.say("no login or secret of another tool was found on this machine");
        context.say("hint: to import a downloaded file, run: broker import FILE");
    }
    answer(&lines)
}

/// The state of a login or secret in the list that `broker import` prints.
struct How {
    used: bool,
    importable: bool,
    note: Option<String>,
}

fn how(config: &Config, found: &ToolLogin) -> How {
    let entry = config.entry(found.kind).ok();
    let sources = entry.map(|entry| entry.info.sources).unwrap_or_default();
    let is_source = sources.contains(&found.place);
    // A login or secret that a provider uses already is not imported again.
    let once = |used: bool| (used, !used, None);
    let (used, importable, note) = match &found.content {
        ToolLoginContent::Settings(settings) => {
            let is_first = sources.first() == Some(&found.place);
            once(found.is_default || is_first || is_configured(config, found.kind, settings))
        }
        ToolLoginContent::RefreshToken { .. } if is_used_while_set(config, found) => (true, false, None),
        ToolLoginContent::RefreshToken { .. } => {
            let other = other_login(config, found.kind);
            (is_source, other.is_none(), other)
        }
        ToolLoginContent::Nothing(why) => (is_source, false, Some(why.clone())),
    };
    How { used, importable, note }
}

/// Returns why a provider stores no login: its login or secret is in the configuration or a variable.
fn other_login(config: &Config, name: &str) -> Option<String> {
    let info = config.entry(name).ok()?.info;
    if info.takes_refresh_token() && info.issuer.flow != "refresh_token" {
        return None;
    }
    let place = info.sources.into_iter().next().unwrap_or_default();
    Some(format!("the provider {name} uses {place}, and stores no login"))
}

/// Whether a provider already uses this refresh token from the environment variable that contains it.
fn is_used_while_set(config: &Config, found: &ToolLogin) -> bool {
    let info = config.entry(found.kind).ok().map(|entry| entry.info);
    found.origin == ToolLoginOrigin::Environment
        && info.is_some_and(|info| info.issuer.flow == "refresh_token")
}

/// Whether a provider has these settings, which need no secret: it uses the tools' file.
fn is_configured(config: &Config, kind: &str, wanted: &ToolSettings) -> bool {
    let configured = config.configured().unwrap_or_default();
    let mut of_kind = configured.iter().filter(|provider| provider.kind == kind);
    wanted.secret.is_none()
        && of_kind.any(|provider| {
            let settings = config.settings(&provider.name).unwrap_or_default();
            let has = |key: &str, value: &str| settings.iter().any(|it| it.key == key && it.value == value);
            wanted.texts.iter().all(|(key, text)| text.as_ref().is_none_or(|text| has(key, &quoted(text))))
        })
}

/// Imports a found login or secret, and returns the name of the provider that uses it.
fn take(context: &CommandContext<'_>, found: &ToolLogin, name: Option<&str>) -> CommandResult<String> {
    let (kind, place) = (found.kind, &found.place);
    let name = match (&found.content, name) {
        (_, Some(name)) => name,
        (ToolLoginContent::Settings(ToolSettings { name: Some(name), .. }), None) => name,
        _ => kind,
    };
    if !is_provider_name(name) {
        let error = Error::usage(format!("`{}` is not a valid provider name", sanitize(name)));
        return Err(error.with_hint("choose a name with --as NAME: letters, digits, `-` and `_`").into());
    }
    match &found.content {
        ToolLoginContent::Settings(_) if found.is_default && name == kind => {
            context.say(&format!("{name}: the broker already reads {place}: there is nothing to import"));
        }
        ToolLoginContent::Settings(settings) => Table { name, kind, settings }.add(context, place)?,
        ToolLoginContent::RefreshToken { token, name_key } => {
            let config = context.setup().config()?;
            refuse_unstorable(&config, found, name)?;
            if !config.names().iter().any(|known| known == name) {
                let texts = name_key.iter().map(|key| (*key, Some(name.to_owned()))).collect();
                let settings = ToolSettings { texts, ..ToolSettings::default() };
                Table { name, kind, settings: &settings }.add(context, place)?;
            }
            log_in(context, name, token)?;
        }
        ToolLoginContent::Nothing(why) => {
            return Err(Error::new(ErrorCode::ReadFailed, format!("{place}: {why}")).into());
        }
    }
    Ok(name.to_owned())
}

/// Fails if a provider already uses the refresh token, or if the provider `name` cannot store a login.
fn refuse_unstorable(config: &Config, found: &ToolLogin, name: &str) -> Result<()> {
    let place = &found.place;
    if is_used_while_set(config, found) {
        let why =
            format!("{place} is used automatically while the variable is set: there is nothing to import");
        let hint = format!("run: broker token {}", found.kind);
        return Err(Error::new(ErrorCode::AlreadyExists, why).with_hint(hint));
    }
    let Some(other) = other_login(config, name) else { return Ok(()) };
    let error = Error::new(ErrorCode::AlreadyExists, format!("{place}: {other}"));
    Err(error.with_hint(format!(
        "remove the source that {name} uses now, or name another provider with --as NAME"
    )))
}

fn log_in(context: &CommandContext<'_>, name: &str, token: &Secret) -> CommandResult {
    let broker = context.broker(name)?;
    if broker.status(name)?.grant {
        let why = format!("{name} has a login already, which was not replaced");
        return Err(Error::new(ErrorCode::AlreadyExists, why)
            .with_hint(format!("run: broker logout {name}, or name another provider with --as NAME"))
            .into());
    }
    let logged_in = run_async(&broker, broker.login(name, Login::RefreshToken(token.clone())))?;
    say_logged_in(context, name, logged_in);
    Ok(())
}
