mod table;
mod take;

use std::path::Path;

use broker_core::platform;
use broker_core::tools::ToolLogin;
use earthbroker::Error;
use serde_json::json;

use super::{CommandContext, CommandResult, answer, answer_json};
use crate::args::Import;
use crate::format::word;
use crate::hints;

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
        if others_read && number(what).is_none() && selected.iter().all(|login| login.is_whole_file) {
            readable.push(what);
        }
        found.extend(selected);
    }
    if args.name.is_some() && found.len() != 1 {
        return Err(Error::usage("`--as` names one provider, but this file has logins for several").into());
    }
    let taken = found.iter().map(|found| take::take(context, found, args.name.as_deref()));
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

fn number(what: &str) -> Option<usize> {
    what.parse().ok()
}

/// Returns the login or secret with the number `what` in the printed list, or all in the file `what`.
fn select(context: &CommandContext<'_>, what: &str) -> CommandResult<Vec<ToolLogin>> {
    let setup = context.setup();
    let Some(number) = number(what) else {
        return Ok(setup.tool_logins_in(Path::new(what)).map_err(|error| match hints::hint(&error) {
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
    let how: Vec<_> = all.iter().map(|found| take::how(&config, found)).collect();
    if as_json {
        let object = |(number, (found, how)): (usize, (&ToolLogin, &take::How))| {
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
        return answer_json(&json!({ "version": 1, "found": found }));
    }
    if all.is_empty() {
        context.say("no login or secret of another tool was found on this machine");
        context.say("hint: to import a downloaded file, run: broker import FILE");
        return Ok(());
    }
    let lines = (1..).zip(all.iter().zip(&how)).map(|(number, (found, how))| {
        let next = match &how.note {
            Some(note) => note.clone(),
            None if how.importable && how.used => {
                format!("this token is used automatically; for a login with it, run: broker import {number}")
            }
            None if how.importable => format!("to import this login or secret, run: broker import {number}"),
            None => "used automatically".to_owned(),
        };
        let has = Some(found.has.join(", ")).filter(|has| !has.is_empty());
        let rest = has.into_iter().chain([next]).collect::<Vec<_>>().join("; ");
        format!("{number:>2}  {:<12}  {}\n{:18}{rest}\n", found.kind, found.place, "")
    });
    answer(&lines.collect::<Vec<_>>().concat())
}
