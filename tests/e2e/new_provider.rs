//! Tests that a crate from `broker new-provider` compiles and passes the conformance suite. The test follows the
//! printed steps in a copy of the repository.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use broker_e2e::{Run, Sandbox, finish, louder, spawn};
use broker_testkit::{TokenService, TokenServiceOptions};

use crate::stage::{program, repository, target_folder};
use crate::writing::block;

/// A provider name that is spelled differently as crate, module and type.
const NAME: &str = "tide-gauge2";

/// Copies the repository. Keeps modification times, from which cargo decides which crates to rebuild.
fn copy(to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(repository())
        .output()
        .expect("git");
    assert!(listed.status.success(), "git lists the repository's files");
    let names = String::from_utf8(listed.stdout).expect("names");
    let is_there = |name: &&str| repository().join(name).is_file() || repository().join(name).is_symlink();
    for name in names.split('\0').filter(is_there) {
        let (from, to) = (repository().join(name), to.join(name));
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        if let Ok(link) = from.read_link() {
            std::os::unix::fs::symlink(link, &to).expect("a link");
            continue;
        }
        std::fs::copy(&from, &to).expect("a copy");
        let time = from.metadata().expect("a file").modified().expect("a time");
        let copied = std::fs::File::options().append(true).open(&to).expect("a file");
        copied.set_modified(time).expect("its time");
    }
}

/// Follows the steps that `new-provider` prints. Each step names a file, a line, and the lines to add below that line.
fn follow(output: &str, root: &Path) -> usize {
    let mut followed = 0;
    for part in output.split("\n\n") {
        let Some((head, lines)) = part.split_once(":\n    ") else { continue };
        let Some((file, below)) = head.split_once(", below ") else { continue };
        let below = below.split(',').next().expect("a line");
        let path = root.join(file);
        let mut text: Vec<_> =
            std::fs::read_to_string(&path).expect(file).lines().map(str::to_owned).collect();
        let at = text.iter().position(|line| line.contains(below)).expect(below) + 1;
        for line in lines.lines().map(str::trim).rev() {
            let is_default = |line: &str| line.starts_with("default = ");
            match text.iter().position(|old| is_default(old) && is_default(line)) {
                Some(old) => line.clone_into(&mut text[old]),
                None => text.insert(at, line.to_owned()),
            }
        }
        std::fs::write(&path, text.join("\n") + "\n").expect(file);
        followed += 1;
    }
    followed
}

/// Runs cargo in the copy of the repository, with a separate target folder, because cargo would confuse the two.
fn cargo(scratch: &Path, words: &[&str]) -> String {
    let mut cargo = Command::new(env!("CARGO"));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_")) && name != "CARGO_HOME" {
            cargo.env_remove(&name);
        }
    }
    cargo.args(words).arg("--offline").current_dir(scratch);
    cargo.env("CARGO_TARGET_DIR", target_folder().join("new-provider"));
    // Builds without debug information save time and disk space.
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
    let output = cargo.output().expect("cargo");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{words:?}: {stdout}{}", String::from_utf8_lossy(&output.stderr));
    stdout
}

/// Runs a newly built broker in a sandbox, with `input` as standard input.
fn reading(sandbox: &Sandbox, broker: &Path, words: &[&str], input: &str) -> Run {
    let words = &[words, louder(words)].concat();
    let mut command = program(sandbox, broker.to_str().expect("text"), words);
    command.stdin(Stdio::piped());
    let mut child = spawn(command, words);
    child.stdin.take().expect("its stdin").write_all(input.as_bytes()).expect("it is read");
    finish(child)
}

#[test]
#[ignore = "takes minutes: builds a copy of the workspace"]
fn generated_provider_crate_passes_its_conformance_test() {
    let scratch = target_folder().join("new-provider/copy");
    copy(&scratch);
    let sandbox = Sandbox::new();
    let into = scratch.join("crates");
    let output =
        sandbox.broker(&["new-provider", NAME, "--into", into.to_str().expect("a path")]).ends(0).out;
    let folder = into.join(format!("broker-{NAME}"));
    let written = ["Cargo.toml", "src/lib.rs", "tests/tide-gauge2.rs"]
        .map(|file| std::fs::read_to_string(folder.join(file)).expect(file));
    let lines: usize = written.iter().map(|text| text.lines().count()).sum();
    assert!(lines < 150, "{lines} lines");
    assert!(!written.concat().contains("my"), "no template name is left");

    assert_eq!(follow(&output, &scratch), 4, "four places: {output}");
    // Each cargo call selects the same packages, because another selection would rebuild dependencies.
    let package = format!("broker-{NAME}");
    let both = ["--quiet", "--package", &package, "--package", "earthbroker-cli", "--test", NAME];
    cargo(&scratch, &[&["build", "--bin", "broker"], &both[..]].concat());
    let tests = cargo(&scratch, &[&["test"], &both[..]].concat());
    assert!(tests.contains("1 passed"), "its conformance test ran: {tests}");

    let table = block("toml", "kind = \"my-service\"").replace("my-service", NAME);
    let service = TokenService::start(TokenServiceOptions::default());
    let sandbox = Sandbox::new().with_config(&table.replace("https://auth.example.org", service.url()));
    let broker = target_folder().join("new-provider/debug/broker");
    let run = |words: &[&str], input: &str| reading(&sandbox, &broker, words, input);
    let listed = run(&["list"], "").ends(0).out;
    let line = listed.lines().find(|line| line.starts_with("station")).unwrap_or_default();
    assert!(line.contains(NAME), "{listed}");
    let _ = run(&["login", "station", "--password-stdin"], "standin-password\n").ends(0);
    let token = run(&["token", "station"], "").token();
    assert!(service.access_is_live(&token), "the service knows {token}");
}

#[test]
fn new_provider_refuses_invalid_names_and_existing_folders() {
    let sandbox = Sandbox::new();
    let malformed = ["", "Tide", "2tide", "-tide", "tide_gauge", "tide/gauge", "../tide", "gezeiten-ä"];
    let taken = ["oauth2", "static", "earthscope", "core", "testkit"];
    for name in malformed.into_iter().chain(taken) {
        let _ = sandbox.broker(&["new-provider", "--", name]).ends(2).fails_with("usage_invalid");
    }
    let existing = sandbox.home().join("broker-tide");
    std::fs::create_dir(&existing).expect("a folder");
    let _ = sandbox.broker(&["new-provider", "tide"]).ends(1).fails_with("already_exists");
    assert_eq!(std::fs::read_dir(&existing).expect("a folder").count(), 0, "it is unchanged");
    let run = sandbox.broker(&["new-provider", "tide", "--into", "nowhere"]).ends(1);
    let _ = run.fails_with("write_failed").says("--into DIR");
}

#[test]
fn new_provider_crate_outside_workspace_uses_published_crates() {
    let sandbox = Sandbox::new();
    let output = sandbox.broker(&["new-provider", "tide"]).ends(0).out;
    assert!(output.contains("Setup::new().kind(broker_tide::KIND)"), "{output}");
    assert!(output.contains("cd ./broker-tide && cargo test\n"), "{output}");
    let path = sandbox.home().join("broker-tide/Cargo.toml");
    let text = std::fs::read_to_string(&path).expect("a manifest");
    assert!(!text.contains("workspace"), "{text}");
    let manifest: toml::Table = toml::from_str(&text).expect("TOML");
    assert_eq!(manifest["package"]["rust-version"].as_str(), Some(env!("CARGO_PKG_RUST_VERSION")));
    for (table, name) in [("dependencies", "broker-core"), ("dev-dependencies", "broker-testkit")] {
        assert_eq!(manifest[table][name].as_str(), Some(env!("CARGO_PKG_VERSION")), "{name}");
    }

    let (_, clone) = output.split_once("[patch.crates-io]\n").expect("steps for a clone");
    let clone: Vec<_> = clone.lines().take_while(|line| line.starts_with("    broker-")).collect();
    let clone = clone.join("\n").replace("CLONE", repository().to_str().expect("a path"));
    std::fs::write(&path, format!("{text}\n[patch.crates-io]\n{clone}\n")).expect("a manifest");
    // The crate versions in `Cargo.lock` are already downloaded, so the test needs no registry.
    std::fs::copy(repository().join("Cargo.lock"), path.with_file_name("Cargo.lock")).expect("a lock");
    let tree = cargo(path.parent().expect("a folder"), &["tree"]);
    let testkit = format!("broker-testkit v{} ({}", env!("CARGO_PKG_VERSION"), repository().display());
    assert!(tree.contains(&testkit), "{tree}");
}
