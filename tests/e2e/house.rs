//! Tests that layers of `broker-core` and crates of the workspace use only those below them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::stage::repository;

/// The layers of `broker-core`, lowest first.
const LAYERS: [&str; 7] = ["token", "error", "context", "record", "provider", "store", "broker"];

/// The crates of the workspace, lowest row first. A crate depends only on crates of lower rows.
const CRATES: [&[&str]; 5] = [
    &["broker-core"],
    &["broker-exec", "broker-keyring", "broker-login", "broker-oauth2", "broker-static"],
    &["broker-carbonmapper", "broker-earthdaily", "broker-earthscope"],
    &["earthbroker"],
    // Nothing but tests depends on these.
    &["broker-http", "broker-testkit", "earthbroker-cli"],
];

/// Returns all Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let paths = folder.read_dir().expect("a folder").map(|entry| entry.expect("an entry").path());
    let files = paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

#[test]
fn core_layers_use_only_lower_layers() {
    let src = repository().join("crates/broker-core/src");
    let index = |name: &str| LAYERS.iter().position(|layer| *layer == name);
    let (mut arrows, mut wrong) = (BTreeMap::<_, usize>::new(), Vec::new());
    for path in sources(&src).iter().filter(|path| **path != src.join("lib.rs")) {
        let file = path.strip_prefix(&src).expect("a source file");
        let layer = file.iter().next().expect("a layer").to_str().expect("UTF-8");
        let from = index(layer.trim_end_matches(".rs")).unwrap_or_else(|| panic!("{layer} is not a layer"));
        let text = std::fs::read_to_string(path).expect("a source file");
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for (line, name) in code.flat_map(|line| line.split("crate::").skip(1).map(move |name| (line, name)))
        {
            let name = name.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
            match index(name) {
                Some(to) if to <= from => *arrows.entry((from, to)).or_default() += 1,
                Some(_) => wrong.push(format!("{}: up: {line}", file.display())),
                None => wrong.push(format!("{}: through lib.rs: {line}", file.display())),
            }
        }
    }
    for ((from, to), count) in arrows.iter().filter(|((from, to), _)| from != to) {
        println!("{} -> {}: {count}", LAYERS[*from], LAYERS[*to]);
    }
    assert!(arrows.len() > LAYERS.len(), "the layers use each other");
    assert!(wrong.is_empty(), "{} against the order:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn crates_depend_only_on_lower_crates() {
    let row = |name: &str| CRATES.iter().position(|row| row.contains(&name));
    for folder in repository().join("crates").read_dir().expect("a folder").flatten() {
        let text = std::fs::read_to_string(folder.path().join("Cargo.toml")).expect("a manifest");
        let manifest: toml::Table = text.parse().expect("TOML");
        let name = folder.file_name().into_string().expect("UTF-8");
        let own = row(&name).unwrap_or_else(|| panic!("{name} has no row"));
        let tables = ["dependencies", "build-dependencies"].map(|key| manifest.get(key)?.as_table());
        for dependency in tables.into_iter().flatten().flat_map(toml::Table::keys) {
            assert!(row(dependency).is_none_or(|row| row < own), "{name} depends on {dependency}");
        }
    }
}
