//! Tests that core, facade and command line name no built-in service: each service is known to its own crate.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The folders without a service, and the file that lists the compiled-in kinds.
const FOLDERS: [&str; 3] = ["broker-core/src", "earthbroker/src", "earthbroker-cli/src"];
const LIST: &str = "earthbroker/src/kinds.rs";

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Returns the names of the built-in providers, and the prefixes of the variables in their comments.
fn services() -> (BTreeSet<String>, BTreeSet<String>) {
    let text = include_str!("../../providers.toml");
    let (_, tables) = text.split_once("\n[providers.").expect("a provider");
    let names = tables.lines().filter_map(|line| line.split_once(']').map(|(name, _)| name));
    let names = names.map(|name| name.trim_start_matches("[providers.").to_owned());
    let words = tables.split(|c: char| !c.is_ascii_uppercase() && c != '_');
    let prefixes = words.filter_map(|word| word.split_once('_')).filter(|(prefix, _)| prefix.len() > 1);
    (
        names.filter(|name| name.chars().all(|c| c.is_ascii_lowercase())).collect(),
        prefixes.map(|(prefix, _)| format!("{prefix}_")).collect(),
    )
}

#[test]
fn only_the_list_of_kinds_names_a_service() {
    let (names, prefixes) = services();
    assert!(names.len() == 3 && prefixes.len() >= 3, "{names:?} {prefixes:?}");
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut found = Vec::new();
    for file in FOLDERS.iter().flat_map(|folder| files(&crates.join(folder))) {
        let text = std::fs::read_to_string(&file).expect("source code");
        // clap prints the doc comments of arguments as help.
        let is_help = file.components().any(|part| part.as_os_str() == "args");
        for line in text.lines().filter(|line| is_help || !line.trim_start().starts_with("//")) {
            let plain = line.to_lowercase().replace([' ', '-'], "");
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let has_prefix = |prefix: &String| {
                line.match_indices(prefix.as_str()).any(|(at, _)| !line[..at].ends_with(is_word))
            };
            if names.iter().any(|name| plain.contains(name)) || prefixes.iter().any(has_prefix) {
                found.push(format!("{}: {}", file.display(), line.trim()));
            }
        }
    }
    found.retain(|line| !line.contains(LIST));
    assert!(found.is_empty(), "{}", found.join("\n"));
}
