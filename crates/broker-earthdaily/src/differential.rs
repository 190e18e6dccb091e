//! Compares how this crate and EarthDaily's own client read generated files.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "tests")]

use broker_testkit::{TestEnv, official_readings};
use serde_json::Value;

use crate::sources::{find, unquoted};

/// The number of generated files.
const FILES: usize = 3000;

#[test]
#[ignore = "needs python3 with earthdaily (BROKER_TOOLS_PYTHON)"]
fn generated_files_are_read_as_by_earthdailys_client() {
    let folder = tempfile::tempdir().expect("a folder");
    let cases = official_readings("earthdaily", folder.path(), FILES);
    let (mut differences, mut secrets) = (Vec::new(), 0);
    for case in &cases {
        secrets += usize::from(case["read"][0].is_string());
        if let Some(why) = difference(case) {
            let text = std::fs::read_to_string(case["path"].as_str().expect("a path")).expect("a file");
            differences.push(format!("{why}\n{case}\n{text}\n"));
        }
    }
    println!("{FILES} files, {secrets} with a secret, {} differences", differences.len());
    assert!(differences.is_empty(), "{}", differences.join("----\n"));
    assert!(secrets > FILES / 4, "{secrets}");
}

/// Returns how both readings of a file differ, apart from the intended differences.
fn difference(case: &Value) -> Option<String> {
    let text = |key: &str| case[key].as_str().unwrap_or_default().to_owned();
    let env =
        TestEnv::default().with(&text("variable"), &text("path")).with("EDS_INI_PROFILE", &text("profile"));
    let ours = find(&env);
    // The client's parser predates TOML 1.0, so Python's own parser decides.
    let theirs = case.get("toml").filter(|_| text("variable") == "EDS_TOML_PATH").unwrap_or(&case["read"]);
    match (&ours, theirs) {
        (Err(_), Value::Null) => None,
        (Ok(_), Value::Null) => {
            let text = std::fs::read_to_string(text("path")).unwrap_or_default();
            // Intended: a byte order mark is ignored, and the escapes `\e` and `\x` of TOML 1.1 are read.
            let expected = text.starts_with('\u{feff}') || text.contains("\\e") || text.contains("\\x");
            (!expected).then(|| "only we read it".to_owned())
        }
        // Intended: a value that is no text is an error, as is a file without a secret.
        (Err(why), Value::Array(values)) => {
            let is_text = |value: &Value| value.is_string() || is_empty(value);
            let expected = is_empty(&values[0]) || !values.iter().all(is_text);
            (!expected).then(|| format!("only they read it: {why}"))
        }
        (Ok(None), _) => Some("nothing was found".to_owned()),
        (Ok(Some(ours)), Value::Array(values)) => {
            let found = [
                Some(ours.secret.expose().to_owned()),
                ours.client_id.clone(),
                ours.auth_url.clone(),
                ours.api_url.clone(),
            ];
            let expected = (0..).zip(values).map(|(index, value)| {
                let value = value.as_str().map(str::trim).filter(|text| !text.is_empty());
                // Intended: blanks around values are removed, and quotes around URLs.
                let value = if index > 1 { value.map(unquoted) } else { value.map(str::to_owned) };
                value.filter(|text| index != 3 || text != "https://api.earthdaily.com")
            });
            let expected: Vec<_> = expected.collect();
            (found != *expected).then(|| format!("ours {found:?}"))
        }
        _ => Some("unknown".to_owned()),
    }
}

/// Whether the client's `or` passes over this value.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.trim().is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(table) => table.is_empty(),
        Value::Bool(true) => false,
    }
}
