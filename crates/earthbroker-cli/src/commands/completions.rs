//! `broker completions`: prints completion scripts, which call this program at each Tab, and answers those calls.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use broker_core::ProviderRegistry;
use clap::{Arg, Command, CommandFactory};
use clap_complete::engine::{PathCompleter, ValueCompleter};
use clap_complete::env::Shells;
use clap_complete::{CompletionCandidate, Shell};
use earthbroker::{Error, ErrorCode, Result, Setup};

use super::user_file::cannot_write;
use super::{CommandContext, CommandResult, absolute, answer, is_executable};
use crate::args::Args;
use crate::gallery::{GALLERY, Service};

/// Completion scripts set this variable to the name of their shell, and pass the typed words after `--`.
const VARIABLE: &str = "_BROKER_COMPLETE";

pub(super) fn run(context: &CommandContext<'_>, shell: Shell, installs: bool) -> CommandResult {
    if !installs {
        return answer(&script(shell)?);
    }
    let (file, line) = match shell {
        Shell::Bash => return install(context, shell, bash_file()),
        Shell::Fish => {
            let folder = xdg("XDG_CONFIG_HOME", ".config");
            let file = folder.map(|folder| folder.join("fish/completions/broker.fish"));
            return install(context, shell, file);
        }
        Shell::PowerShell => ("$PROFILE", "broker completions powershell | Out-String | Invoke-Expression"),
        Shell::Elvish => ("~/.config/elvish/rc.elv", "eval (broker completions elvish | slurp)"),
        _ => ("~/.zshrc, below `compinit`", "source <(broker completions zsh)"),
    };
    context.say(&format!("add this line to {file}:"));
    answer(&format!("{line}\n"))
}

/// Prints completions if a completion script started this program, and returns whether a script did. Prints no errors,
/// because they would appear in the line that the user types.
pub(crate) fn complete() -> bool {
    let Some(shell) = std::env::var_os(VARIABLE) else { return false };
    let (shells, words) = (Shells::builtins(), line());
    if let Some(shell) = shell.to_str().and_then(|shell| shells.completer(shell))
        && let Some(last) = words.last()
    {
        let mut command = Args::command();
        if !last.as_encoded_bytes().starts_with(b"-") {
            // `without_flags` needs the arguments of all subcommands, which clap otherwise builds later.
            command.build();
            command = without_flags(command);
        }
        let folder = std::env::current_dir().ok();
        let stdout = &mut std::io::stdout().lock();
        let _ = shell.write_complete(&mut command, words, folder.as_deref(), stdout);
    }
    true
}

/// Hides all flags. Completion offers flags only after the user has typed a dash.
fn without_flags(command: Command) -> Command {
    let hidden = |arg: Arg| {
        let flag = !arg.is_positional();
        arg.hide(flag)
    };
    let command = command.disable_help_flag(true).disable_version_flag(true);
    command.mut_args(hidden).mut_subcommands(without_flags)
}

fn script(shell: Shell) -> Result<String> {
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let written = match shells.completer(&shell.to_string()) {
        Some(shell) => shell.write_registration(VARIABLE, "broker", "broker", "broker", &mut script),
        None => Err(std::io::ErrorKind::Unsupported.into()),
    };
    written.map_err(|error| Error::failed("cannot create the completion script").with_source(error))?;
    Ok(format!("{}\n", String::from_utf8_lossy(&script).trim()))
}

fn install(context: &CommandContext<'_>, shell: Shell, file: Option<PathBuf>) -> CommandResult {
    let file = file
        .ok_or_else(|| Error::new(ErrorCode::WriteFailed, "cannot find your home folder: HOME is not set"))?;
    let folder = file.parent().map_or(Ok(()), std::fs::create_dir_all);
    let written = folder.and_then(|()| std::fs::write(&file, script(shell).map_err(std::io::Error::other)?));
    written.map_err(|error| {
        let hint = format!("to print the script instead, run: broker completions {shell}");
        cannot_write(&file, error).with_hint(hint)
    })?;
    let file = file.display();
    if shell == Shell::Bash && !has_bash_completion() {
        context.say(&format!(
            "wrote {file}. The package bash-completion, which reads this file, is not installed. Install it, or add this \
             line to ~/.bashrc: source {file}"
        ));
    } else {
        context.say(&format!("wrote {file}: new shells complete `broker`"));
    }
    Ok(())
}

/// Whether the package bash-completion is installed.
fn has_bash_completion() -> bool {
    let usual = [
        "/usr/share/bash-completion/bash_completion",
        "/etc/bash_completion",
        "/usr/local/etc/profile.d/bash_completion.sh",
        "/opt/homebrew/etc/profile.d/bash_completion.sh",
    ];
    let loaded = std::env::var_os("BASH_COMPLETION_VERSINFO").is_some();
    loaded || usual.iter().any(|file| Path::new(file).is_file())
}

/// Returns the file where bash-completion looks for the completions of `broker`.
fn bash_file() -> Option<PathBuf> {
    let default = || Some(xdg("XDG_DATA_HOME", ".local/share")?.join("bash-completion"));
    let folder = absolute("BASH_COMPLETION_USER_DIR").or_else(default)?;
    Some(folder.join("completions/broker"))
}

/// Returns the folder in an environment variable, or else a folder in the user's home folder.
fn xdg(variable: &str, default: &str) -> Option<PathBuf> {
    absolute(variable).or_else(|| Some(std::env::home_dir()?.join(default)))
}

/// Returns the words that the user has typed, which completion scripts pass after `--`.
fn line() -> Vec<OsString> {
    std::env::args_os().skip_while(|word| word != "--").skip(1).collect()
}

/// Returns the provider names in the configuration file after `--config`, or else in the default files.
pub(crate) fn providers() -> Vec<CompletionCandidate> {
    let words = line();
    let after = words.iter().skip_while(|word| *word != "--config").nth(1).map(PathBuf::from);
    let joined = || words.iter().find_map(|word| word.to_str()?.strip_prefix("--config=").map(PathBuf::from));
    let setup = after.or_else(joined).into_iter().fold(Setup::new(), Setup::config_file);
    let names = setup.config().map(|config| config.names()).unwrap_or_default();
    names.into_iter().map(CompletionCandidate::new).collect()
}

pub(crate) fn gallery() -> Vec<CompletionCandidate> {
    let candidate =
        |service: &Service| CompletionCandidate::new(service.name).help(Some(service.about().into()));
    GALLERY.iter().map(candidate).collect()
}

/// Completes a word of `broker exec`: providers before `--`, the command and its arguments after `--`.
pub(crate) fn in_exec(typed: &OsStr) -> Vec<CompletionCandidate> {
    let words = line();
    let words_from_dashes = words.iter().skip_while(|word| *word != "--").count();
    let begins = |name: &OsStr| name.as_encoded_bytes().starts_with(typed.as_encoded_bytes());
    match words_from_dashes {
        0 => providers().into_iter().filter(|name| begins(name.get_value())).collect(),
        // Without a first letter, completion would list all programs of the machine.
        2 if typed.is_empty() => Vec::new(),
        // The user is typing the command, the first word after `--`.
        2 if !typed.as_encoded_bytes().contains(&b'/') => programs(begins),
        _ => PathCompleter::any().complete(typed),
    }
}

/// Returns the programs in the folders of `PATH`.
fn programs(matches: impl Fn(&OsStr) -> bool) -> Vec<CompletionCandidate> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let entries = std::env::split_paths(&folders).filter_map(|folder| folder.read_dir().ok()).flatten();
    let found = entries.flatten().filter(|entry| matches(&entry.file_name()) && is_executable(&entry.path()));
    let names: BTreeSet<_> = found.map(|entry| entry.file_name()).collect();
    names.into_iter().map(CompletionCandidate::new).collect()
}
