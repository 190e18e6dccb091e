//! The argument values that shell completion offers.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap_complete::CompletionCandidate;
use clap_complete::engine::{PathCompleter, ValueCompleter};
use earthbroker::{ProviderRegistry, Setup};

use crate::files::is_executable;
use crate::gallery::{GALLERY, Service};

/// Returns the words that the user has typed, which completion scripts pass after `--`.
pub(crate) fn line() -> Vec<OsString> {
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
