//! `broker exec`.

mod file;
mod folder;

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use broker::{Broker, Clock, Error, SystemClock, Token, TokenRequest, sanitize};

use super::token::{held_or_new, warn_if_short};
use super::{CommandContext, CommandResult};
use crate::args::Exec;
use crate::format::plain;
use crate::harden::as_started;
use crate::report::ExitError;

/// A provider's token, and the variable that programs look for it in.
struct Given {
    provider: String,
    variable: String,
    token: Token,
}

pub(super) fn run(context: &CommandContext<'_>, args: &Exec) -> CommandResult {
    let mut command = command(&args.providers, &args.command)?;
    let broker = context.broker_of(context.setup(), &args.providers)?;
    // It gets the tokens that it was started for, and no password behind them.
    for name in context.terminal.withheld() {
        command.env_remove(name);
    }
    let variables = variables(&broker, &args.providers)?;
    let usual = args.scope.iter().fold(TokenRequest::new(), |request, scope| request.scope(scope));
    let request = args.min_ttl.iter().fold(usual.clone(), |request, left| request.min_ttl(*left));
    let given = args.providers.iter().zip(variables).map(|(provider, variable)| {
        let token = held_or_new(&broker, provider, &request)?;
        warn_if_short(context, &token, args.min_ttl, SystemClock.now());
        Ok(Given { provider: provider.clone(), variable, token })
    });
    let given = given.collect::<CommandResult<Vec<_>>>()?;
    if args.file { file::run(context, &broker, &usual, given, command) } else { become_it(command, &given) }
}

/// Gives the process to the command: signals, exit code and terminal are its own then.
fn become_it(mut command: Command, given: &[Given]) -> CommandResult {
    for Given { variable, token, .. } in given {
        command.env(variable, plain(token)?);
    }
    let error = as_started(|| command.exec());
    Err(not_run(&command, error))
}

fn command(providers: &[String], words: &[OsString]) -> CommandResult<Command> {
    let wrong = |what: &str, hint: String| Err(Error::usage(what).with_hint(hint).into());
    let Some((program, its_words)) = words.split_first() else {
        // Without `--` the command's words look like more providers; all but the first may be secrets.
        let typed = providers.get(1).map_or_else(|| "COMMAND".to_owned(), |word| sanitize(word));
        let provider = providers.first().map(|name| sanitize(name)).unwrap_or_default();
        return wrong(
            "no command is given",
            format!("the command stands after `--`: broker exec {provider} -- {typed} …"),
        );
    };
    if providers.iter().any(String::is_empty) {
        let hint = "as in: broker exec earthscope,earthdaily -- COMMAND; `broker list` shows which there are";
        return wrong("the name of a provider is missing", hint.to_owned());
    }
    let mut command = Command::new(program);
    command.args(its_words);
    Ok(command)
}

/// The variable of each provider; two tokens cannot be in one.
fn variables(broker: &Broker, providers: &[String]) -> CommandResult<Vec<String>> {
    let named = providers.iter().map(|provider| broker.token_variable(provider));
    let variables = named.collect::<broker::Result<Vec<_>>>()?;
    if let Some(twice) = repeated(providers) {
        return Err(Error::usage(format!("`{twice}` is named twice")).into());
    }
    match repeated(&variables) {
        None => Ok(variables),
        Some(twice) => {
            Err(Error::usage(format!("the tokens of two providers would be in the same variable, {twice}"))
                .with_hint("give one of them another in the configuration: env = \"NAME\"")
                .into())
        }
    }
}

/// What stands in a list a second time.
fn repeated(names: &[String]) -> Option<&String> {
    names.iter().enumerate().find_map(|(at, name)| names[..at].contains(name).then_some(name))
}

/// Why a command was not run, with the exit code that shells have for it.
fn not_run(command: &Command, error: std::io::Error) -> ExitError {
    let (program, missing) = (command.get_program(), error.kind() == std::io::ErrorKind::NotFound);
    let shown = sanitize(&program.to_string_lossy());
    let hint = if missing && shown.contains(char::is_whitespace) {
        "the command and its arguments are words of their own; for a line of shell: sh -c '…'"
    } else if missing {
        "see whether it is in one of the folders of PATH, and what its first line (#!) names"
    } else {
        "see whether it is a program, and yours to run: ls -l"
    };
    let error = Error::failed(format!("`{shown}` cannot be run: {error}")).with_hint(hint).with_source(error);
    ExitError::Code(if missing { 127 } else { 126 }, Some(error))
}
