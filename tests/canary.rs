//! Secrets that tests use, and the places where none of them may be seen.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// What every secret that a fake server makes has in it, and every secret that a test makes up.
pub const MARK: &str = "KANARIE";

/// The secrets without the mark: those that the fake servers take by default, and those of `bad-config`.
const OTHERS: [&str; 3] = ["standin-api-token", "standin-password", "hunter"];

/// Marked secrets as they are, and as they look inside of base64 (a Basic header, the claims of a JWT).
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

/// The characters of base64 that the text alone decides when so many bytes stand before it.
fn encoded(engine: &impl Engine, text: &str, before: usize) -> String {
    let bytes = [&vec![0; before], text.as_bytes()].concat();
    let (first, last) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    engine.encode(&bytes)[first..last].to_owned()
}

/// The marked secret that is in a text, if there is one.
#[must_use]
pub fn secret_in(text: &str) -> Option<&'static str> {
    FORMS.iter().find(|form| text.contains(form.as_str())).map(String::as_str)
}

/// Checks that a text has no secret in it.
///
/// # Panics
/// If it has one.
#[track_caller]
pub fn assert_no_secret(place: &str, text: &str) {
    if let Some(form) = secret_in(text) {
        panic!("a secret ({form}…) is in {place}: {text}");
    }
}

/// What is wrong with the files in `folder` that hold a secret; `own` are those that the test itself wrote.
pub(crate) fn open_files(folder: &Path, own: &[PathBuf]) -> Vec<String> {
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        // Neither links nor pipes are followed or read.
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            wrong.extend(open_files(&path, own));
        }
        let Some(bytes) = Some(&path).filter(|_| kind.is_file()).and_then(|path| std::fs::read(path).ok())
        else {
            continue;
        };
        if own.contains(&path) || secret_in(&String::from_utf8_lossy(&bytes)).is_none() {
            continue;
        }
        let (file, around) = (mode(&path), mode(folder));
        if file & 0o077 != 0 {
            wrong.push(format!("{} holds a secret and has mode {file:o}", path.display()));
        }
        if around & 0o002 != 0 {
            wrong.push(format!("{} holds a secret, its folder has mode {around:o}", path.display()));
        }
    }
    wrong
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).map_or(0, |meta| meta.permissions().mode() & 0o777)
}
