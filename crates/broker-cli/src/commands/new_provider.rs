//! `broker new-provider`: the crate of a provider that works, for its author to change, and what is left to do.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use broker::{Error, Setup};
use toml::{Table, Value};

use super::{CommandResult, answer};
use crate::args::NewProvider;

const MANIFEST: &str = include_str!("../../template/manifest.toml");
const PROVIDER: &str = include_str!("../../template/provider.rs");
const CONFORMANCE: &str = include_str!("../../template/conformance.rs");

/// Crates of this project that are no kinds.
const TAKEN: [&str; 4] = ["cli", "core", "e2e", "testkit"];

pub(super) fn run(args: &NewProvider) -> CommandResult {
    let name = &args.name;
    check(name)?;
    let folder = args.into.join(format!("broker-{name}"));
    let workspace = workspace_of(&args.into);
    let manifest = if workspace.is_some() { MANIFEST.to_owned() } else { on_its_own(MANIFEST) };
    write(&folder, name, &manifest).map_err(|error| not_written(&folder, error))?;
    let left = match &workspace {
        Some(root) => left_in_workspace(root, &folder, name)?,
        None => left_elsewhere(&folder, name),
    };
    answer(&format!("{}: Cargo.toml, src/lib.rs, tests/{name}.rs\n\n{left}", folder.display()))
}

fn not_written(folder: &Path, error: std::io::Error) -> Error {
    let told = match error.kind() {
        ErrorKind::AlreadyExists => Error::failed(format!("{} is there already", folder.display()))
            .with_hint("nothing was written: take another name, or another folder with --into DIR"),
        _ => Error::failed(format!("cannot write {}: {error}", folder.display()))
            .with_hint("name a folder that is there and yours: --into DIR"),
    };
    told.with_source(error)
}

/// Whether a kind can be called so.
fn check(name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(plain) || name.len() > 64 {
        let name = broker::sanitize(name);
        return Err(Error::usage(format!("`{name}` is no name for a kind"))
            .with_hint("up to 64 small letters, digits and `-`, a letter first: my-service"));
    }
    if Setup::new().kinds().chain(TAKEN).any(|taken| taken == name) {
        return Err(
            Error::usage(format!("`{name}` is there already")).with_hint("take another name: my-service")
        );
    }
    Ok(())
}

/// The workspace of the broker that a folder is in, if it is in one.
fn workspace_of(folder: &Path) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    let root = folder.ancestors().find(|root| root.join("crates/broker-core/Cargo.toml").is_file())?;
    Some(root.to_owned())
}

/// The manifest for where there is no workspace to inherit from.
fn on_its_own(manifest: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let own = [
        // Before `version`, which it ends with.
        ("rust-version.workspace = true", format!("rust-version = \"{}\"", env!("CARGO_PKG_RUST_VERSION"))),
        ("version.workspace = true", "version = \"0.1.0\"".to_owned()),
        ("edition.workspace = true", "edition = \"2024\"".to_owned()),
        ("license.workspace = true", "license = \"MIT\"".to_owned()),
        ("[lints]\nworkspace = true\n\n", String::new()),
        ("async-trait.workspace = true", "async-trait = \"0.1\"".to_owned()),
        ("broker-core.workspace = true", format!("broker-core = \"{version}\"")),
        ("broker-testkit.workspace = true", format!("broker-testkit = \"{version}\"")),
        ("chrono.workspace = true", "chrono = { version = \"0.4\", default-features = false }".to_owned()),
        ("serde.workspace = true", "serde = { version = \"1\", features = [\"derive\"] }".to_owned()),
        ("serde_json.workspace = true", "serde_json = \"1\"".to_owned()),
        (
            "{ workspace = true, features = [\"macros\"",
            "{ version = \"1\", features = [\"macros\"".to_owned(),
        ),
    ];
    own.iter().fold(manifest.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
}

fn write(folder: &Path, name: &str, manifest: &str) -> std::io::Result<()> {
    // Fails where it is there, whatever is in it.
    std::fs::create_dir(folder)?;
    for (path, text) in [
        ("Cargo.toml".to_owned(), manifest),
        ("src/lib.rs".to_owned(), PROVIDER),
        (format!("tests/{name}.rs"), CONFORMANCE),
    ] {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
        std::fs::File::create_new(path)?.write_all(named(text, name).as_bytes())?;
    }
    Ok(())
}

/// The template's name in each of its spellings, by the name it gets.
fn named(text: &str, name: &str) -> String {
    let word = name.replace('-', "_");
    text.replace("my-service", name).replace("my_service", &word).replace("MY_SERVICE", &word.to_uppercase())
}

/// What a kind needs to be compiled in, line by line.
fn left_in_workspace(root: &Path, folder: &Path, name: &str) -> Result<String, Error> {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let below = folder.strip_prefix(root).unwrap_or(&folder).display().to_string();
    let word = name.replace('-', "_");
    let version = env!("CARGO_PKG_VERSION");
    let member = if below.starts_with("crates/") {
        String::new()
    } else {
        format!("Cargo.toml, `members` of [workspace], one more:\n    \"{below}\"\n\n")
    };
    let defaults = with_default(root, name)?;
    Ok(format!(
        "Its tests pass as it is: cargo test -p broker-{name}\n\n\
         To compile it in, add these lines.\n\n{member}\
         Cargo.toml, below [workspace.dependencies]:\n    \
         broker-{name} = {{ path = \"{below}\", version = \"{version}\" }}\n\n\
         crates/broker/Cargo.toml, below [features], the first in the place of the line that is there:\n    \
         default = [{defaults}]\n    {name} = [\"dep:broker-{name}\"]\n\n\
         crates/broker/Cargo.toml, below [dependencies]:\n    \
         broker-{name} = {{ workspace = true, optional = true }}\n\n\
         crates/broker/src/kinds.rs, below BUILT_IN:\n    \
         #[cfg(feature = \"{name}\")]\n    broker_{word}::KIND,\n\n\
         What to change for your service: docs/dev/writing-a-provider.md\n"
    ))
}

/// The default features of the broker and this one.
fn with_default(root: &Path, name: &str) -> Result<String, Error> {
    let path = root.join("crates/broker/Cargo.toml");
    let unreadable = |why: String| Error::failed(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(&path).map_err(|error| unreadable(error.to_string()))?;
    let manifest: Table = toml::from_str(&text).map_err(|error| unreadable(error.message().to_owned()))?;
    let defaults = manifest.get("features").and_then(|features| features.get("default"));
    let names = defaults.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let names: Vec<_> = names.chain([name]).map(|name| format!("\"{name}\"")).collect();
    Ok(names.join(", "))
}

/// A program that embeds the broker needs no change of the broker.
fn left_elsewhere(folder: &Path, name: &str) -> String {
    let word = name.replace('-', "_");
    let folder = folder.display();
    format!(
        "This folder is not in the broker's workspace, so it asks crates.io for broker-core and broker-testkit. Where\n\
         they are not published yet, take both from a clone of the broker's repository, at the end of its Cargo.toml:\n    \
         [patch.crates-io]\n    \
         broker-core = {{ path = \"CLONE/crates/broker-core\" }}\n    \
         broker-testkit = {{ path = \"CLONE/crates/broker-testkit\" }}\n\n\
         Its tests pass then as it is:\n    \
         cd {folder} && cargo test\n\n\
         A program of your own has the kind with\n    \
         broker::Setup::new().kind(broker_{word}::KIND)\n\n\
         To have it in the command line, make the crate in a clone of the broker's repository: --into crates\n"
    )
}
