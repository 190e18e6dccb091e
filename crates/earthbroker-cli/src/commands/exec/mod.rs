mod file;

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use broker_core::sanitize;
use clap::Parser;
use clap::error::ErrorKind;
use earthbroker::{Broker, Error, ErrorCode, Hint, Token, TokenRequest};

use super::token::{stored_or_new, warn_if_short};
use super::{CommandContext, CommandResult};
use crate::args::{Args, Command as Subcommand, Exec};
use crate::format::{plain, word};
use crate::harden::with_original_limits;
use crate::report::ExitError;

/// A provider's token, and the environment variable that passes the token to the command.
struct ChildToken {
    provider: String,
    variable: String,
    token: Token,
}

pub(super) fn run(context: &CommandContext<'_>, args: &Exec) -> CommandResult {
    let mut command = command(&args.providers, &args.command)?;
    let broker = context.broker_of(context.setup(), &args.providers)?;
    // The command gets tokens, but none of the passwords in the environment.
    for name in context.terminal.withheld() {
        command.env_remove(name);
    }
    let variables = variables(&broker, &args.providers)?;
    let scopes = args.scope.iter().fold(TokenRequest::new(), |request, scope| request.scope(scope));
    let request = args.min_ttl.iter().fold(scopes.clone(), |request, left| request.min_ttl(*left));
    let tokens = args.providers.iter().zip(variables).map(|(provider, variable)| {
        let token = stored_or_new(&broker, provider, &request)?;
        warn_if_short(context, &token, args.min_ttl, None);
        Ok(ChildToken { provider: provider.clone(), variable, token })
    });
    let tokens = tokens.collect::<CommandResult<Vec<_>>>()?;
    if args.file {
        file::run(context, &broker, &scopes, tokens, command)
    } else {
        replace_process(command, &tokens)
    }
}

/// Replaces this process with the command, so that signals, exit code and terminal belong to the command.
fn replace_process(mut command: Command, tokens: &[ChildToken]) -> CommandResult {
    for ChildToken { variable, token, .. } in tokens {
        command.env(variable, plain(token)?);
    }
    let error = with_original_limits(|| command.exec());
    Err(not_run(&command, error))
}

fn command(providers: &[String], words: &[OsString]) -> CommandResult<Command> {
    let Some((program, arguments)) = words.split_first() else { return Err(no_command().into()) };
    if providers.iter().any(String::is_empty) {
        return Err(Error::usage("the name of a provider is missing")
            .with_hint("separate names with one comma: broker exec NAME,NAME -- COMMAND. To see all names, run: broker list")
            .into());
    }
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

/// Returns the environment variable for each provider's token. Fails if two providers have the same variable.
fn variables(broker: &Broker, providers: &[String]) -> CommandResult<Vec<String>> {
    let named = providers.iter().map(|provider| Ok(broker.provider(provider)?.info().variable.clone()));
    let variables = named.collect::<earthbroker::Result<Vec<_>>>()?;
    if let Some(twice) = repeated(providers) {
        return Err(Error::usage(format!("the provider `{twice}` is named twice")).into());
    }
    if let Some(twice) = repeated(&variables) {
        return Err(Error::usage(format!("two providers use the same environment variable: {twice}"))
            .with_hint("set another variable for one of the providers in the configuration: env = \"NAME\"")
            .into());
    }
    Ok(variables)
}

/// Returns the first name that repeats an earlier name.
fn repeated(names: &[String]) -> Option<&String> {
    names.iter().enumerate().find_map(|(at, name)| names[..at].contains(name).then_some(name))
}

/// Returns the error for a command that did not start, with the exit code that shells use.
fn not_run(command: &Command, error: std::io::Error) -> ExitError {
    let (program, missing) = (command.get_program(), error.kind() == std::io::ErrorKind::NotFound);
    let shown = sanitize(&program.to_string_lossy());
    let hint = if missing && shown.contains(char::is_whitespace) {
        "do not quote command and arguments together; for shell syntax use: sh -c '…'"
    } else if missing {
        "check that the program is in a folder of PATH; for a script, check the program in its first line (#!)"
    } else {
        "check that the file is a program that you may execute: ls -l"
    };
    let error = Error::new(ErrorCode::ProgramFailed, format!("cannot run `{shown}`: {error}"))
        .with_hint(hint)
        .with_source(error);
    ExitError::Code(if missing { 127 } else { 126 }, Some(error))
}

/// Returns the error for `broker exec` without `--` before the command to run.
fn no_command() -> Error {
    let hint = match typed().as_deref().and_then(corrected) {
        Some(corrected) => Hint::Command("put `--` before the command:".to_owned(), corrected),
        None => "put the command after `--`: broker exec PROVIDER -- COMMAND".into(),
    };
    Error::usage("no command after `--`").with_hint(hint)
}

/// Replaces clap's error about an unknown flag if the flag belongs to the command to run, but `--` is missing.
pub(crate) fn missing_dashes(error: &clap::Error) -> Option<Error> {
    let about_flag = matches!(error.kind(), ErrorKind::UnknownArgument | ErrorKind::DisplayVersion);
    (about_flag && typed().as_deref().and_then(corrected).is_some()).then(no_command)
}

/// Returns the arguments that the user typed, if they are UTF-8 text.
fn typed() -> Option<Vec<String>> {
    std::env::args_os().skip(1).map(|word| word.into_string().ok()).collect()
}

/// Returns the command line with `--` before the command, quoted for a shell. Returns `None` if there is no command,
/// if `--` is present, or if a word cannot be pasted into a shell.
fn corrected(words: &[String]) -> Option<String> {
    if words.iter().any(|word| word == "--" || word.contains(char::is_control)) {
        return None;
    }
    // The command begins at the first word before which `--` makes the command line valid.
    let is_command = |at: &usize| {
        let (before, after) = words.split_at(*at);
        let corrected = [&["broker".to_owned()], before, &["--".to_owned()], after].concat();
        let parsed = Args::try_parse_from(corrected);
        !words[*at].starts_with('-') && matches!(parsed, Ok(Args { command: Subcommand::Exec(_), .. }))
    };
    let (before, after) = words.split_at((1..words.len()).find(is_command)?);
    let quoted = |words: &[String]| words.iter().map(|text| word(text)).collect::<Vec<_>>().join(" ");
    Some(format!("broker {} -- {}", quoted(before), quoted(after)))
}

#[cfg(test)]
mod tests {
    use super::corrected;

    #[test]
    fn exec_error_suggests_command_line_with_double_dash() {
        for (typed, advice) in [
            (&["exec", "lab", "make", "all"][..], Some("broker exec lab -- make all")),
            (&["exec", "lab", "--min-ttl", "1m", "make"], Some("broker exec lab --min-ttl 1m -- make")),
            (
                &["-vv", "--config=x", "exec", "--file", "a,b", "sh", "-c", "echo it's $X; ls"],
                Some(r"broker -vv --config=x exec --file a,b -- sh -c 'echo it'\''s $X; ls'"),
            ),
            (&["exec", "a", "-x"], None),
            (&["exec", "a", "--", "make"], None),
            (&["exec", "a"], None),
            (&["token", "a", "b"], None),
            (&["exec", "a", "sh", "-c", "\u{1b}[2J"], None),
        ] {
            let words: Vec<_> = typed.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(corrected(&words).as_deref(), advice, "{typed:?}");
        }
    }
}
