//! Tests that each security claim in docs/dev/threat-model.md names a test that exists.

use std::path::{Path, PathBuf};

use crate::stage::repository;

fn document() -> String {
    std::fs::read_to_string(repository().join("docs/dev/threat-model.md")).expect("the document")
}

/// Finds all test references `FILE.rs::TEST` in a text.
fn tests_in(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let code = text.split('`').skip(1).step_by(2);
    code.filter_map(|code| code.split_once("::"))
        .filter(|(file, _)| Path::new(file).extension().is_some_and(|ending| ending == "rs"))
}

/// Returns the paths that a file name in docs/dev/threat-model.md may mean.
fn paths(file: &str) -> Vec<PathBuf> {
    let tests = repository().join("tests");
    let of_crate = file
        .split_once('/')
        .map(|(name, rest)| repository().join("crates").join(name).join("tests").join(rest));
    [tests.join("e2e").join(file), tests.join(file)].into_iter().chain(of_crate).collect()
}

/// Returns whether a source file contains this test.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let is_it = |line: &str| line.trim_start_matches("async ").starts_with(&format!("fn {name}("));
    let is_test = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    lines.iter().enumerate().any(|(at, line)| {
        let before = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        is_it(line) && before.into_iter().any(is_test)
    })
}

#[test]
fn tests_named_in_the_threat_model_exist() {
    let document = document();
    let mut missing = Vec::new();
    for (file, test) in tests_in(&document) {
        let text = paths(file).iter().find_map(|path| std::fs::read_to_string(path).ok());
        if !text.is_some_and(|text| has_test(&text, test)) {
            missing.push(format!("{file}::{test}"));
        }
    }
    assert_eq!(missing, [""; 0], "named in docs/dev/threat-model.md, but missing");
}

#[test]
fn threat_model_has_tests_for_claims_and_lists_limits() {
    let document = document();
    let claims: Vec<_> =
        document.lines().filter(|line| line.starts_with("| ") && !line.ends_with("| shown by |")).collect();
    assert!(claims.len() > 40, "the tables are found: {}", claims.len());
    let bare: Vec<_> = claims.iter().filter(|line| tests_in(line).next().is_none()).collect();
    assert!(bare.is_empty(), "claims without a test: {bare:?}");
    for section in document.split("\n## ").skip(1) {
        assert!(section.contains("\nNot covered"), "{}", section.lines().next().unwrap_or_default());
    }
}
