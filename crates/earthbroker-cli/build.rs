//! Collects the version, commit and features for `--version`, and links the unwinder statically. The build also
//! succeeds without a git repository or a static unwinder.

#![allow(clippy::print_stdout, reason = "cargo reads standard output")]

use std::env::var;
use std::path::{Path, PathBuf};
use std::process::Command;

/// This crate's path in the broker's repository. A copy of the crate in another repository has unrelated commits.
const CRATE_PATH: &str = "crates/earthbroker-cli/";

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

/// Returns the folder of the C compiler's static unwinder. The shared one, `libgcc_s.so`, queries the processor's
/// features at each start, which is slow in a virtual machine.
fn unwinder() -> Option<PathBuf> {
    let is = |name: &str, value: &str| var(name).as_deref() == Ok(value);
    if !is("CARGO_CFG_TARGET_OS", "linux")
        || !is("CARGO_CFG_TARGET_ENV", "gnu")
        || var("HOST") != var("TARGET")
    {
        return None;
    }
    let output = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim_end());
    // If `cc` has no static unwinder, it prints the file name without a folder.
    let folder = path.parent().filter(|folder| folder.is_absolute())?;
    path.exists().then(|| folder.to_owned())
}

fn features() -> String {
    let on =
        std::env::vars().filter_map(|(name, _)| Some(name.strip_prefix("CARGO_FEATURE_")?.to_lowercase()));
    let mut on: Vec<_> = on.filter(|name| name != "default").collect();
    on.sort();
    if on.is_empty() { "none".to_owned() } else { on.join(" ") }
}

/// Returns the commit that cargo recorded when the crate was packaged.
fn packaged(root: &Path) -> Option<String> {
    let file = root.join(".cargo_vcs_info.json");
    let text = std::fs::read_to_string(&file).ok()?;
    println!("cargo::rerun-if-changed={}", file.display());
    let (_, rest) = text.split_once("\"sha1\"")?;
    let commit = rest.split('"').nth(1)?;
    commit.is_ascii().then(|| commit.chars().take(10).collect())
}

/// Returns the id and date of the repository's current commit.
fn in_repository(root: &Path) -> Option<String> {
    if git(root, &["rev-parse", "--show-prefix"])? != CRATE_PATH {
        return None;
    }
    watch(root);
    git(root, &["log", "-1", "--abbrev=10", "--date=short", "--format=%h %cd"])
}

/// Reruns this build script when `HEAD` changes. Watching a missing file would rerun the script at every build.
fn watch(root: &Path) {
    let path = |name: &str| Some(root.join(git(root, &["rev-parse", "--git-path", name])?));
    let existing = |name: &str| path(name).filter(|path| path.exists());
    // The reflog changes at each commit and checkout. Without a reflog, the script watches the branch files.
    let log = existing("logs/HEAD");
    let branches =
        if log.is_none() { [existing("refs/heads"), existing("packed-refs")] } else { [None, None] };
    for path in [existing("HEAD"), log].into_iter().chain(branches).flatten() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

fn git(root: &Path, words: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    // git sets these variables for its hooks. In a hook of another repository, they name that repository.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
        git.env_remove(name);
    }
    let output = git.args(words).current_dir(root).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
