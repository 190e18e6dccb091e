//! What `--version` names: the version, the commit that it is built of, and the kinds that are compiled in. And how the
//! binary is linked. Nothing in here fails a build: what cannot be found is `unknown`, or linked as usual.

#![allow(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]

use std::env::var;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where this crate is in its repository. In any other one it is a copy, whose commits say nothing of it.
const PLACE: &str = "crates/broker-cli/";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let root = PathBuf::from(var("CARGO_MANIFEST_DIR").unwrap_or_default());
    let commit = packaged(&root).or_else(|| in_repository(&root)).unwrap_or_else(|| "unknown".to_owned());
    let version = var("CARGO_PKG_VERSION").unwrap_or_default();
    println!("cargo::rustc-env=BROKER_VERSION={version} ({commit}) features: {}", features());
    if let Some(folder) = unwinder() {
        println!("cargo::rustc-link-search=native={}", folder.display());
        println!("cargo::rustc-link-lib=static=gcc_eh");
    }
}

/// Where the C compiler has its unwinder as an archive. As a library, `libgcc_s.so`, it would be mapped at each start, and
/// begins by asking the processor what it can do: in a virtual machine that alone takes longer than to read a record.
fn unwinder() -> Option<PathBuf> {
    let is = |name: &str, value: &str| var(name).is_ok_and(|is| is == value);
    if !is("CARGO_CFG_TARGET_OS", "linux")
        || !is("CARGO_CFG_TARGET_ENV", "gnu")
        || var("HOST") != var("TARGET")
    {
        return None;
    }
    let output = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim_end());
    // What it has not, it names without a folder.
    let folder = path.parent().filter(|folder| folder.is_absolute())?;
    path.exists().then(|| folder.to_owned())
}

/// The features that are on, in the order of the alphabet.
fn features() -> String {
    let on =
        std::env::vars().filter_map(|(name, _)| Some(name.strip_prefix("CARGO_FEATURE_")?.to_lowercase()));
    let mut on: Vec<_> = on.filter(|name| name != "default").collect();
    on.sort();
    if on.is_empty() { "none".to_owned() } else { on.join(" ") }
}

/// The commit that cargo noted when it made the package of crates.io.
fn packaged(root: &Path) -> Option<String> {
    let file = root.join(".cargo_vcs_info.json");
    let text = std::fs::read_to_string(&file).ok()?;
    println!("cargo::rerun-if-changed={}", file.display());
    let (_, rest) = text.split_once("\"sha1\"")?;
    let commit = rest.split('"').nth(1)?;
    commit.is_ascii().then(|| commit.chars().take(10).collect())
}

/// The commit and its date, of the repository that this crate is in.
fn in_repository(root: &Path) -> Option<String> {
    if git(root, &["rev-parse", "--show-prefix"])? != PLACE {
        return None;
    }
    watch(root);
    git(root, &["log", "-1", "--abbrev=10", "--date=short", "--format=%h %cd"])
}

/// Runs this again when HEAD is another commit. A file that is not there would run it at every build.
fn watch(root: &Path) {
    let path = |name: &str| Some(root.join(git(root, &["rev-parse", "--git-path", name])?));
    let there = |name: &str| path(name).filter(|path| path.exists());
    // What HEAD was is noted at each commit and checkout; where that is turned off, branches are files or packed.
    let log = there("logs/HEAD");
    let branches = if log.is_none() { [there("refs/heads"), there("packed-refs")] } else { [None, None] };
    for path in [there("HEAD"), log].into_iter().chain(branches).flatten() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

fn git(root: &Path, words: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    // A hook of another repository may be what builds this.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
        git.env_remove(name);
    }
    let output = git.args(words).current_dir(root).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
