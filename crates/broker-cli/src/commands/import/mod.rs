//! `broker import`.

mod found;
mod insert;
#[cfg(not(feature = "earthdaily"))]
mod no_earthdaily;
mod table;
mod take;

use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "earthdaily")]
use broker::EarthDailyCredentials;
use broker::{Env, EnvFile, Error, SystemEnv, platform};
use serde_json::json;

use super::{CommandContext, CommandResult, answer};
use crate::args::Import;
use crate::format::{line, word};
use found::Found;
#[cfg(not(feature = "earthdaily"))]
use no_earthdaily::EarthDailyCredentials;
use take::Taken;

pub(super) fn run(context: &CommandContext<'_>, args: &Import) -> CommandResult {
    if args.name.is_some() && args.what.len() != 1 {
        return Err(Error::usage("`--as` names the provider that one file or number becomes").into());
    }
    let env: Arc<dyn Env> = match &context.global.env_file {
        Some(file) => Arc::new(EnvFile::read(file, Arc::new(SystemEnv))?),
        None => Arc::new(SystemEnv),
    };
    if args.what.is_empty() {
        return list(context, env.as_ref(), args.json);
    }
    // All is looked at before any is taken.
    let (mut found, mut open) = (Vec::new(), Vec::new());
    for what in &args.what {
        let meant = meant(&env, what)?;
        let others_read = std::fs::metadata(what).is_ok_and(|meta| platform::others_read(&meta));
        if others_read && number(what).is_none() && meant.iter().all(Found::is_all) {
            open.push(what);
        }
        found.extend(meant);
    }
    if args.name.is_some() && found.len() != 1 {
        return Err(Error::usage("`--as` names one provider, and this file is for several").into());
    }
    let mut taken = Vec::new();
    for found in &found {
        taken.push(take::take(context, found, args.name.as_deref())?);
    }
    for file in open {
        context.say(&format!("{file} is not needed any more; others can read it: rm {}", word(file)));
    }
    for next in &taken {
        context.say(&format!("next: broker token {}", next.provider));
    }
    if !args.json {
        return Ok(());
    }
    let object =
        |taken: &Taken| json!({ "provider": taken.provider, "kind": taken.kind, "from": taken.from });
    let taken: Vec<_> = taken.iter().map(object).collect();
    answer(&line(&json!({ "version": 1, "imported": taken }))?)
}

fn number(what: &str) -> Option<usize> {
    what.parse().ok()
}

/// What a number of the list or a file stands for.
fn meant(env: &Arc<dyn Env>, what: &str) -> CommandResult<Vec<Found>> {
    let Some(number) = number(what) else { return Ok(found::in_file(env, Path::new(what))?) };
    let mut all = found::on_machine(env.as_ref());
    if number == 0 || number > all.len() {
        let error = Error::usage(format!("there is no number {number} in the list"));
        return Err(error.with_hint("the list: broker import; a file of that name: ./NAME").into());
    }
    Ok(vec![all.swap_remove(number - 1)])
}

fn list(context: &CommandContext<'_>, env: &dyn Env, as_json: bool) -> CommandResult {
    let all = found::on_machine(env);
    let config = context.setup().config()?;
    let how: Vec<_> = all.iter().map(|found| take::how(&config, found)).collect();
    if as_json {
        let object = |(number, (found, how)): (usize, (&Found, &take::How))| {
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
        let found: Vec<_> = (1..).zip(all.iter().zip(&how)).map(object).collect();
        return answer(&line(&json!({ "version": 1, "found": found }))?);
    }
    if all.is_empty() {
        context.say("nothing of the services' own tools was found on this machine");
        context.say("hint: a file that is elsewhere: broker import EDS.env");
        return Ok(());
    }
    let lines = (1..).zip(all.iter().zip(&how)).map(|(number, (found, how))| {
        let next = match &how.note {
            Some(note) => note.clone(),
            None if how.importable && how.used => {
                format!("used by itself where there is no login; to log in with it: broker import {number}")
            }
            None if how.importable => format!("take it over: broker import {number}"),
            None => "used by itself".to_owned(),
        };
        let has = Some(found.has.join(", ")).filter(|has| !has.is_empty());
        let rest = has.into_iter().chain([next]).collect::<Vec<_>>().join("; ");
        format!("{number:>2}  {:<12}  {}\n{:18}{rest}\n", found.kind, found.place, "")
    });
    answer(&lines.collect::<Vec<_>>().concat())
}
