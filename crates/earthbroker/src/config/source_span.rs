//! A position in a configuration file, shown with a caret in error messages, without values that may be secrets.

use std::ops::Range;
use std::path::{Path, PathBuf};

use broker_core::{Error, ErrorCode};
use toml::de::{DeTable, DeValue};

use super::text::Text;

/// The wrong part of a line, which decides how much of the line an error shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// A configuration key is wrong. The error hides its value, which may be a mistyped secret.
    Key,
    /// A configured value is wrong. Such a value is not secret, so the error shows the whole line.
    Value,
    /// A configured secret is wrong. The error hides its value.
    Secret,
    /// TOML parsing failed at this position.
    Syntax,
}

pub(super) struct SourceSpan {
    path: PathBuf,
    line: usize,
    column: usize,
    width: usize,
    shown: String,
}

/// Whether `key` is a plain TOML key outside a multi-line string. `before` is the text before the line.
fn is_key(key: &str, before: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let open = ["\"\"\"", "'''"].iter().any(|quotes| before.matches(quotes).count() % 2 == 1);
    !open && !key.trim().is_empty() && key.trim().chars().all(plain)
}

/// Whether a line may contain a URL, also a mistyped one, with a password (before `@`) or with a key in its query.
fn may_have_url_secret(line: &str) -> bool {
    line.contains(['@', '?']) || line.contains('/') && line.contains('#')
}

impl SourceSpan {
    /// Returns the line and column of a byte range.
    pub(super) fn at(path: &Path, text: &str, span: Range<usize>, mark: Mark) -> Self {
        let start = text.floor_char_boundary(span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = text[line_start..].lines().next().unwrap_or_default();
        let shown = match mark {
            Mark::Value if !may_have_url_secret(line) => line.to_owned(),
            _ => match line.split_once('=') {
                // After a syntax error, text before `=` may be part of a secret, so only a plain key is shown.
                Some((key, _)) if mark != Mark::Syntax || is_key(key, &text[..line_start]) => {
                    format!("{key}= …")
                }
                None if line.trim_start().starts_with('[') => line.to_owned(),
                _ => "…".to_owned(),
            },
        };
        let column = text[line_start..start].chars().count();
        let last = shown.chars().count().saturating_sub(1);
        let width = text.get(span).map_or(1, |part| part.lines().next().unwrap_or_default().chars().count());
        let column_shown = column.min(last);
        Self {
            path: path.to_owned(),
            line: text[..start].matches('\n').count() + 1,
            column: column + 1,
            width: width.clamp(1, (last + 1).saturating_sub(column_shown).max(1)),
            shown,
        }
    }

    /// Returns the position of a key (`["providers", "NAME", "KEY"]`), or of its nearest parent in the file.
    pub(super) fn of_key(text: &Text, keys: &[&str], mark: Mark) -> Option<Self> {
        // Parsing the whole file for each of many errors would take minutes.
        let range = keys.get(1).map_or(0..text.text.len(), |name| text.range_of(name));
        let offset = range.start;
        let root = DeTable::parse(text.text.get(range)?).ok()?;
        let mut table = root.get_ref();
        let mut found = None;
        for key in keys {
            let Some((name, value)) = table.iter().find(|(name, _)| name.get_ref() == key) else { break };
            found = Some(if mark == Mark::Key { name.span() } else { value.span() });
            match value.get_ref() {
                DeValue::Table(inner) => table = inner,
                _ => break,
            }
        }
        let span = found?;
        Some(Self::at(&text.path, &text.text, span.start + offset..span.end + offset, mark))
    }

    /// Returns an error with the position in the file, and the line with carets under the wrong part.
    pub(super) fn error(&self, code: ErrorCode, why: &str) -> Error {
        let Self { path, line, column, width, shown } = self;
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        let before = " ".repeat((column - 1).min(shown.chars().count().saturating_sub(1)));
        let carets = "^".repeat(*width);
        let error = Error::new(code, format!("{}:{line}:{column}: {why}", path.display()));
        error.with_lines([
            format!("{margin} |"),
            format!("{number} | {shown}"),
            format!("{margin} | {before}{carets}"),
        ])
    }
}
