//! `broker new-provider`: writes the crate of a working provider, and lists the remaining steps.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use earthbroker::{Error, ErrorCode, Setup};
use toml::{Table, Value};

use super::{CommandResult, answer};
use crate::args::NewProvider;

const MANIFEST: &str = include_str!("../../template/manifest.toml");
const PROVIDER: &str = include_str!("../../template/provider.rs");
const CONFORMANCE: &str = include_str!("../../template/conformance.rs");

/// The names of this project's other crates, which a new provider cannot have.
const TAKEN: [&str; 4] = ["cli", "core", "e2e", "testkit"];

pub(super) fn run(args: &NewProvider) -> CommandResult {
    let name = &args.name;
    check(name)?;
    let folder = args.into.join(format!("broker-{name}"));
    let workspace = workspace_of(&args.into);
    let manifest = if workspace.is_some() { MANIFEST.to_owned() } else { standalone(MANIFEST) };
    write(&folder, name, &manifest).map_err(|error| not_written(&folder, error))?;
    let steps = match &workspace {
        Some(root) => steps_in_workspace(root, &folder, name)?,
        None => steps_outside_workspace(&folder, name),
    };
    answer(&format!("{}: Cargo.toml, src/lib.rs, tests/{name}.rs\n\n{steps}", folder.display()))
}

fn not_written(folder: &Path, error: std::io::Error) -> Error {
    let shown = folder.display();
    let failed = match error.kind() {
        ErrorKind::AlreadyExists => {
            Error::new(ErrorCode::AlreadyExists, format!("the folder {shown} exists already"))
                .with_hint("choose another name, or another folder with --into DIR")
        }
        _ => Error::new(ErrorCode::WriteFailed, format!("cannot write {shown}: {error}"))
            .with_hint("name an existing folder that you can write to, with --into DIR"),
    };
    failed.with_source(error)
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
    let root = folder.ancestors().find(|root| root.join("crates/broker-core/Cargo.toml").is_file())?;
    Some(root.to_owned())
}

/// Returns the template's `Cargo.toml`, changed for a crate outside the broker's workspace.
fn standalone(manifest: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let own = [
        // `rust-version` is replaced first, because that key ends with `version`.
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
        ("tokio = { workspace = true", "tokio = { version = \"1\"".to_owned()),
    ];
    own.iter().fold(manifest.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
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

/// Replaces the name `my-service` in the template, in all spellings.
fn named(text: &str, name: &str) -> String {
    let word = name.replace('-', "_");
    text.replace("my-service", name).replace("my_service", &word).replace("MY_SERVICE", &word.to_uppercase())
}

/// Returns the steps that compile the new kind into the broker.
fn steps_in_workspace(root: &Path, folder: &Path, name: &str) -> Result<String, Error> {
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
        "Its tests pass as written: cargo test -p broker-{name}\n\n\
         To compile it in, add these lines.\n\n{member}\
         Cargo.toml, below [workspace.dependencies]:\n    \
         broker-{name} = {{ path = \"{below}\", version = \"{version}\" }}\n\n\
         crates/earthbroker/Cargo.toml, below [features], the first instead of the existing line:\n    \
         default = [{defaults}]\n    {name} = [\"dep:broker-{name}\"]\n\n\
         crates/earthbroker/Cargo.toml, below [dependencies]:\n    \
         broker-{name} = {{ workspace = true, optional = true }}\n\n\
         crates/earthbroker/src/kinds.rs, below BUILT_IN:\n    \
         #[cfg(feature = \"{name}\")]\n    broker_{word}::KIND,\n\n\
         What to change for your service: docs/dev/writing-a-provider.md\n"
    ))
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

/// Returns the steps that test and use the new crate outside the broker's workspace.
fn steps_outside_workspace(folder: &Path, name: &str) -> String {
    let word = name.replace('-', "_");
    let folder = folder.display();
    format!(
        "This folder is not in the broker's workspace, so cargo gets broker-core and broker-testkit from crates.io. If\n\
         they are not published yet, use a clone of the broker's repository; add to the end of Cargo.toml:\n    \
         [patch.crates-io]\n    \
         broker-core = {{ path = \"CLONE/crates/broker-core\" }}\n    \
         broker-testkit = {{ path = \"CLONE/crates/broker-testkit\" }}\n\n\
         Its tests then pass as written:\n    \
         cd {folder} && cargo test\n\n\
         Your own program adds the kind with\n    \
         earthbroker::Setup::new().kind(broker_{word}::KIND)\n\n\
         To add it to the command line, create the crate in a clone of the broker's repository: --into crates\n"
    )
}
