//! Tests `broker --version`, and the version numbers in docs and packages.

use std::process::Command;

use broker_e2e::Sandbox;

use crate::stage::repository;

/// Returns the current commit, if the source folder is a git repository.
fn head() -> Option<String> {
    let root = repository();
    // If this folder has no `.git`, git would report the commit of an enclosing repository.
    root.join(".git").exists().then_some(())?;
    let git = Command::new("git").args(["log", "-1", "--format=%H %cs"]).current_dir(root).output().ok()?;
    git.status.success().then(|| String::from_utf8(git.stdout).expect("text").trim().to_owned())
}

#[test]
#[ignore = "needs git"]
fn version_prints_commit_and_compiled_provider_types() {
    let sandbox = Sandbox::new();
    let short = format!("broker {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(sandbox.broker(&["-V"]).ends(0).out, short);

    let long = sandbox.broker(&["--version"]).ends(0).out;
    let (version, rest) = long.trim().split_once(" (").expect("a commit");
    let (commit, features) = rest.split_once(") features: ").expect("features");
    assert_eq!(version, short.trim());
    match head() {
        Some(head) => {
            let (hash, date) = commit.split_once(' ').expect("a date");
            let (full, day) = head.split_once(' ').expect("a date");
            assert!(hash.len() >= 10 && full.starts_with(hash), "{commit} is not {head}");
            assert_eq!(date, day);
        }
        None => assert_eq!(commit, "unknown"),
    }

    // `--version` must list all provider types that crate `broker` compiles by default.
    let manifest = repository().join("crates/earthbroker/Cargo.toml");
    let manifest: toml::Table =
        toml::from_str(&std::fs::read_to_string(manifest).expect("a manifest")).expect("TOML");
    let named: Vec<_> = features.split(' ').collect();
    for kind in earthbroker::Setup::new().kinds() {
        assert!(manifest["features"].get(kind).is_some(), "{kind} is a feature");
        assert!(named.contains(&kind), "{kind} is not in: {features}");
    }
}

#[test]
fn docs_and_changelogs_name_rust_and_broker_versions() {
    let read = |name: &str| std::fs::read_to_string(repository().join(name)).expect(name);
    let promised = env!("CARGO_PKG_RUST_VERSION");
    for page in ["README.md", "CONTRIBUTING.md", "docs/install.md", "crates/earthbroker/README.md"] {
        assert!(read(page).contains(&format!("Rust {promised}")), "{page} does not name Rust {promised}");
    }
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        read("CHANGELOG.md").contains(&format!("## [{version}]")),
        "CHANGELOG.md does not name {version}"
    );
    let package = read("crates/earthbroker-cli/packaging/changelog");
    assert!(package.starts_with(&format!("earthbroker ({version}-1) ")), "{package}");
}
