//! Tests that links in the documentation resolve, and that the page on errors lists all error codes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use earthbroker::{ErrorCode, ErrorKind};

use crate::stage::repository;

fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<_> =
        ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|page| repository().join(page)).into();
    let mut folders = vec![repository().join("docs")];
    while let Some(folder) = folders.pop() {
        let entries =
            std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
        let (below, files): (Vec<_>, Vec<_>) = entries.partition(|entry| entry.is_dir());
        folders.extend(below);
        pages.extend(files.into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "md")));
    }
    pages
}

/// Removes code blocks from a Markdown text.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// Returns the anchors that GitHub creates for a page's headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text);
    let headings = headings.lines().filter_map(|line| line.strip_prefix('#'));
    let mut counts = BTreeMap::new();
    headings
        .map(|heading| {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            let anchor = kept.collect::<String>().replace(' ', "-");
            let count = counts.entry(anchor.clone()).and_modify(|count| *count += 1).or_insert(0);
            if *count == 0 { anchor } else { format!("{anchor}-{count}") }
        })
        .collect()
}

#[test]
fn links_of_all_documentation_pages_resolve() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("a page");
        let prose = prose(&text);
        for link in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") {
                continue;
            }
            let (path, anchor) =
                link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
            let target = if path.is_empty() { page.clone() } else { page.with_file_name("").join(path) };
            let found = target.exists()
                && anchor.is_none_or(|anchor| {
                    std::fs::read_to_string(&target).is_ok_and(|text| anchors(&text).contains(anchor))
                });
            if !found {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn errors_page_lists_each_error_code_with_its_exit_code() {
    let page = std::fs::read_to_string(repository().join("docs/errors.md")).expect("the page");
    let mut listed = BTreeMap::new();
    for section in page.split("\n## Exit ").skip(1) {
        let exit = section.split([':', '\n']).next().expect("a code").to_owned();
        for row in section.lines().filter_map(|line| line.strip_prefix("| `")) {
            listed.insert(row.split('`').next().expect("a name").to_owned(), exit.clone());
        }
    }
    let exit = |kind| match kind {
        ErrorKind::Usage => "2",
        ErrorKind::LoginRequired => "3",
        ErrorKind::Unavailable => "4",
        ErrorKind::Configuration => "5",
        ErrorKind::Refused => "6",
        ErrorKind::Cancelled => "130",
        _ => "1",
    };
    let codes = ErrorCode::ALL.iter().map(|code| (code.name().to_owned(), exit(code.kind()).to_owned()));
    assert_eq!(listed, codes.collect());
}
