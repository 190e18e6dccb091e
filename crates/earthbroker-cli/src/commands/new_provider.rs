//! `broker new-provider`: writes the crate of a working provider, and lists the remaining steps.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use earthbroker::{Error, ErrorCode, Setup};
use toml::{Table, Value};

use super::user_file::cannot_write;
use super::{CommandResult, answer};

/// The manifest and the next steps of a crate inside the broker's workspace.
const IN_WORKSPACE: [&str; 2] =
    [include_str!("../../template/manifest.toml"), include_str!("../../template/steps.txt")];

/// The manifest and the next steps of a crate outside the broker's workspace.
const STANDALONE: [&str; 2] =
    [include_str!("../../template/standalone.toml"), include_str!("../../template/standalone.txt")];

const PROVIDER: &str = include_str!("../../template/provider.rs");
const CONFORMANCE: &str = include_str!("../../template/conformance.rs");

/// The names of this project's other crates, which a new provider cannot have.
const TAKEN: [&str; 4] = ["cli", "core", "e2e", "testkit"];

pub(super) fn run(name: &str, into: &Path) -> CommandResult {
    check(name)?;
    let folder = into.join(format!("broker-{name}"));
    let workspace = workspace_of(into);
    let [manifest, steps] = if workspace.is_some() { IN_WORKSPACE } else { STANDALONE };
    write(&folder, name, manifest).map_err(|error| not_written(&folder, error))?;
    let steps = named(steps, name);
    let steps = match &workspace {
        Some(root) => in_workspace(&steps, root, &folder, name)?,
        None => steps.replace("{folder}", &folder.display().to_string()),
    };
    answer(&format!("{}: Cargo.toml, src/lib.rs, tests/{name}.rs\n\n{steps}", folder.display()))
}

fn not_written(folder: &Path, error: std::io::Error) -> Error {
    if error.kind() == ErrorKind::AlreadyExists {
        let why = format!("the folder {} exists already", folder.display());
        return Error::new(ErrorCode::AlreadyExists, why)
            .with_hint("choose another name, or another folder with --into DIR");
    }
    cannot_write(folder, error).with_hint("name an existing folder that you can write to, with --into DIR")
}

fn check(name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(plain) || name.len() > 64 {
        let name = broker_core::sanitize(name);
        return Err(Error::usage(format!("`{name}` is not a valid name for a provider kind"))
            .with_hint("use up to 64 lower-case letters, digits and `-`, a letter first: my-service"));
    }
    if Setup::new().kinds().chain(TAKEN).any(|taken| taken == name) {
        let why = format!("a provider kind or crate `{name}` exists already");
        return Err(Error::usage(why).with_hint("choose another name, for example: my-service"));
    }
    Ok(())
}

/// Returns the root of the broker's workspace if the folder is inside the workspace.
fn workspace_of(folder: &Path) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    folder.ancestors().find(|root| root.join("crates/broker-core/Cargo.toml").is_file()).map(Path::to_owned)
}

fn write(folder: &Path, name: &str, manifest: &str) -> std::io::Result<()> {
    // `create_dir` fails if the folder exists, even an empty one.
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

/// Replaces the name `my-service` in a template, in all spellings, and the versions.
fn named(text: &str, name: &str) -> String {
    let word = name.replace('-', "_");
    text.replace("my-service", name)
        .replace("my_service", &word)
        .replace("MY_SERVICE", &word.to_uppercase())
        .replace("{version}", env!("CARGO_PKG_VERSION"))
        .replace("{rust-version}", env!("CARGO_PKG_RUST_VERSION"))
}

/// Completes the steps that compile the new kind into the broker.
fn in_workspace(steps: &str, root: &Path, folder: &Path, name: &str) -> Result<String, Error> {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let below = folder.strip_prefix(root).unwrap_or(&folder).display().to_string();
    let member = if below.starts_with("crates/") {
        ""
    } else {
        "Cargo.toml, `members` of [workspace], one more:\n    \"{folder}\"\n\n"
    };
    let steps = steps.replace("{member}", member).replace("{defaults}", &with_default(root, name)?);
    Ok(steps.replace("{folder}", &below))
}

/// Returns the default features of the crate `broker`, with the new provider's feature added.
fn with_default(root: &Path, name: &str) -> Result<String, Error> {
    let path = root.join("crates/earthbroker/Cargo.toml");
    let unreadable =
        |why: String| Error::new(ErrorCode::ReadFailed, format!("cannot read {}: {why}", path.display()));
    let text = std::fs::read_to_string(&path).map_err(|error| unreadable(error.to_string()))?;
    let manifest: Table = toml::from_str(&text).map_err(|error| unreadable(error.message().to_owned()))?;
    let defaults = manifest.get("features").and_then(|features| features.get("default"));
    let names = defaults.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let names: Vec<_> = names.chain([name]).map(|name| format!("\"{name}\"")).collect();
    Ok(names.join(", "))
}
