//! What a line that is being typed can go on with.

use std::ffi::OsString;
use std::path::PathBuf;

use broker::{Catalog, Setup};
use clap_complete::CompletionCandidate;

/// The words of the line that is being typed.
pub(crate) fn line() -> Vec<OsString> {
    std::env::args_os().skip_while(|word| word != "--").skip(1).collect()
}

/// The names of the providers, of the configuration that the line names.
pub(crate) fn providers() -> Vec<CompletionCandidate> {
    let words = line();
    // What comes after `--` is a command.
    if words.iter().any(|word| word == "--") {
        return Vec::new();
    }
    let after = words.iter().skip_while(|word| *word != "--config").nth(1).map(PathBuf::from);
    let joined = || words.iter().find_map(|word| word.to_str()?.strip_prefix("--config=").map(PathBuf::from));
    let setup = match after.or_else(joined) {
        Some(file) => Setup::new().config_file(file),
        None => Setup::new(),
    };
    let names = setup.config().map(|config| config.names()).unwrap_or_default();
    names.into_iter().map(CompletionCandidate::new).collect()
}
