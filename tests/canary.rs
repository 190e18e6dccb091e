//! Recognizes the secrets of tests, and searches output and files for them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// The mark in each secret of the fake servers and of the tests.
pub const MARK: &str = "KANARIE";

/// Secrets without the mark: defaults of the fake servers, and those in `bad-config`.
const OTHERS: [&str; 3] = ["standin-api-token", "standin-password", "hunter"];

/// The marks as plain text, and inside base64 (Basic headers, JWT claims).
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

/// Returns the base64 characters that depend on the text alone when it follows `before` bytes.
fn encoded(engine: &impl Engine, text: &str, before: usize) -> String {
    let bytes = [&vec![0; before], text.as_bytes()].concat();
    let (first, last) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    engine.encode(&bytes)[first..last].to_owned()
}

/// Returns the mark of a secret in the text, if any.
#[must_use]
pub fn secret_in(text: &str) -> Option<&'static str> {
    FORMS.iter().find(|form| text.contains(form.as_str())).map(String::as_str)
}

/// Asserts that the text contains no secret.
///
/// # Panics
/// If it contains one.
#[track_caller]
pub fn assert_no_secret(place: &str, text: &str) {
    if let Some(form) = secret_in(text) {
        panic!("a secret ({form}…) is in {place}: {text}");
    }
}

/// Returns the files with secrets that other users can read. `own` lists files that the test wrote itself.
pub(crate) fn open_files(folder: &Path, own: &[PathBuf]) -> Vec<String> {
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        // Skips links and pipes.
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            wrong.extend(open_files(&path, own));
        }
        let Some(bytes) = Some(&path).filter(|_| kind.is_file()).and_then(|path| std::fs::read(path).ok())
        else {
            continue;
        };
        // A copy of the program is large, and slow to search.
        if bytes.starts_with(b"\x7fELF") || own.contains(&path) {
            continue;
        }
        if secret_in(&String::from_utf8_lossy(&bytes)).is_none() {
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
