//! Searches output and files for leaked secrets. Secrets of tests contain a fixed text, the canary.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// The canary: a text in the secrets of tests and fake servers, by which a search finds leaked secrets.
pub const MARK: &str = "KANARIE";

/// Secrets that do not contain the canary: defaults of the fake servers, and secrets in `tests/e2e/bad-config`.
const OTHERS: [&str; 3] = ["standin-api-token", "standin-password", "hunter"];

/// The texts to search for: each secret as plain text, and in base64 as in Basic headers and JWT claims.
static FORMS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut forms = Vec::new();
    for secret in [MARK].into_iter().chain(OTHERS) {
        forms.push(secret.to_owned());
        for before in 0..3 {
            forms.extend([encoded(&STANDARD, secret, before), encoded(&URL_SAFE, secret, before)]);
        }
    }
    forms
});

/// Encodes `before` bytes and then `text` in base64. Returns the characters that depend only on `text`.
fn encoded(engine: &impl Engine, text: &str, before: usize) -> String {
    let bytes = [&vec![0; before], text.as_bytes()].concat();
    let (first, last) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    engine.encode(&bytes)[first..last].to_owned()
}

/// Returns the first secret of the tests that occurs in `text`, as plain text or in base64.
#[must_use]
pub fn secret_in(text: &str) -> Option<&'static str> {
    FORMS.iter().find(|form| text.contains(form.as_str())).map(String::as_str)
}

/// Asserts that the text contains no secret. `place` names the text's origin in the panic message.
///
/// # Panics
/// If the text contains a secret.
#[track_caller]
pub fn assert_no_secret(place: &str, text: &str) {
    if let Some(form) = secret_in(text) {
        panic!("a secret ({form}…) is in {place}: {text}");
    }
}

/// Returns the files in `folder` that contain a secret and that other users can read. Skips the files in `own`.
pub(crate) fn open_files(folder: &Path, own: &[PathBuf]) -> Vec<String> {
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        // Skips links and pipes.
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            wrong.extend(open_files(&path, own));
        }
        if !kind.is_file() || own.contains(&path) {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        // Skips copies of the `broker` program, which are too large to search in each test.
        if bytes.starts_with(b"\x7fELF") || secret_in(&String::from_utf8_lossy(&bytes)).is_none() {
            continue;
        }
        let (file, parent) = (mode(&path), mode(folder));
        if file & 0o077 != 0 {
            wrong.push(format!("{} contains a secret and has mode {file:o}", path.display()));
        }
        if parent & 0o002 != 0 {
            wrong.push(format!("{} contains a secret, its folder has mode {parent:o}", path.display()));
        }
    }
    wrong
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).map_or(0, |meta| meta.permissions().mode() & 0o777)
}
