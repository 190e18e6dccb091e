//! Quotes words of the commands that messages show.

use std::path::Path;

/// Quotes a word of a command for a POSIX shell, if the word needs quotes.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Returns a path as a word of a command for a POSIX shell.
pub fn quoted_path(path: &Path) -> String {
    shell_word(&path.display().to_string())
}
