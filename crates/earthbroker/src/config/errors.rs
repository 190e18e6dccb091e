//! Configuration errors, with the key and its position in the file, and a caret under it. A line is shown without values
//! that may be secrets.

use std::ops::Range;

use broker_core::{Error, ErrorCode, Kind, SettingsError, SettingsProblem};
use toml::de::{DeTable, DeValue};

use super::Config;
use super::file::ConfigFile;
use super::layers::BUILT_IN;
use super::secrets::{FORMS, SENT};

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

impl ConfigFile {
    /// Returns the path of the file for display.
    pub(super) fn origin(&self) -> String {
        self.path.as_ref().map_or_else(|| BUILT_IN.to_owned(), |path| path.display().to_string())
    }

    /// Returns the position of a key (`["providers", "NAME", "KEY"]`), or of its nearest parent in the file. A file may
    /// use the old name of a key. Figment remembers only the file of each value.
    pub(super) fn span_of(&self, keys: &[&str], mark: Mark, kinds: &[Kind]) -> Option<Range<usize>> {
        let part = self.part(keys.get(1).copied().filter(|_| keys[0] == "providers"))?;
        let offset = part.start;
        let root = DeTable::parse(&self.text[part]).ok()?;
        let old_name = |key| kinds.iter().flat_map(|kind| kind.renamed).find(|(_, new)| *new == key);
        let (mut table, mut found) = (root.get_ref(), None);
        for key in keys {
            let current = table.get_key_value(*key);
            let old = || table.get_key_value(old_name(*key)?.0);
            let Some((name, value)) = current.or_else(old) else { break };
            found = Some(if mark == Mark::Key { name.span() } else { value.span() });
            let DeValue::Table(inner) = value.get_ref() else { break };
            table = inner;
        }
        found.map(|span| offset + span.start..offset + span.end)
    }

    /// Returns an error with the position in the file, and the line with carets under the wrong part.
    pub(super) fn error(&self, span: Range<usize>, mark: Mark, code: ErrorCode, why: &str) -> Error {
        let start = self.text.floor_char_boundary(span.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = self.text[line_start..].lines().next().unwrap_or_default();
        let shown = match mark {
            Mark::Value if !may_have_url_secret(line) => line.to_owned(),
            _ => match line.split_once('=') {
                // After a syntax error, text before `=` may be part of a secret, so only a plain key is shown.
                Some((key, _)) if mark != Mark::Syntax || is_key(key, &self.text[..line_start]) => {
                    format!("{key}= …")
                }
                None if line.trim_start().starts_with('[') => line.to_owned(),
                _ => "…".to_owned(),
            },
        };
        let column = self.text[line_start..start].chars().count();
        let last = shown.chars().count().saturating_sub(1);
        let indent = column.min(last);
        let marked = self.text.get(span).and_then(|marked| marked.lines().next());
        let width = marked.map_or(1, |marked| marked.chars().count()).clamp(1, last + 1 - indent);
        let number = (self.text[..start].matches('\n').count() + 1).to_string();
        let margin = " ".repeat(number.len());
        let error = Error::new(code, format!("{}:{number}:{}: {why}", self.origin(), column + 1));
        error.with_lines([
            format!("{margin} |"),
            format!("{number} | {shown}"),
            format!("{margin} | {}{}", " ".repeat(indent), "^".repeat(width)),
        ])
    }
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

impl Config {
    /// Adds the position in the file to an error from a provider kind.
    pub(super) fn settings_error(&self, name: &str, kind: &Kind, error: &SettingsError) -> Error {
        if let SettingsProblem::MixedSources(hint) = &error.problem {
            let code = ErrorCode::ConfigMixedSources;
            return Error::new(code, error.message.clone()).with_hint(hint.as_str());
        }
        // An error that names no configuration key has its cause outside the configuration.
        if error.key.is_empty() {
            return Error::configuration(error.message.clone());
        }
        // The key may be `fields.NAME` or `list[0]`. An error in a list points at the whole list.
        let path = error.key.split('[').next().unwrap_or_default().split('.').filter(|key| !key.is_empty());
        let mut keys: Vec<&str> = ["providers", name].into_iter().chain(path).collect();
        let mut key = keys[2..].join(".");
        let is_secret = keys.get(2).is_some_and(|key| kind.secrets.contains(key));
        let mark = match () {
            () if is_secret => Mark::Secret,
            () if keys[2..].iter().any(|key| SENT.contains(key)) => Mark::Key,
            () => Mark::Value,
        };
        let (code, mark, why) = match &error.problem {
            SettingsProblem::MissingKey(form) => {
                let form = if form.is_empty() { String::new() } else { format!(": {form}") };
                (ErrorCode::ConfigMissingKey, mark, format!("`{key}` is missing{form}"))
            }
            SettingsProblem::Expected(_) | SettingsProblem::UnknownKey { .. } if is_secret => {
                // An inner key may be a secret typed in the wrong place, so the error does not name it.
                keys.truncate(if keys[2] == "secrets" { 4 } else { 3 });
                key = keys[2..].join(".");
                (ErrorCode::ConfigInvalidValue, Mark::Secret, format!("`{key}` must be {FORMS}"))
            }
            SettingsProblem::UnknownKey { key: unknown, known } => {
                keys.retain(|key| key != unknown);
                let table = format!("`{}`", keys[2..].join("."));
                keys.push(unknown);
                (ErrorCode::ConfigUnknownKey, Mark::Key, unknown_key(&table, unknown, known))
            }
            SettingsProblem::Expected(form) => {
                (ErrorCode::ConfigInvalidValue, mark, format!("`{key}` must be {}", plain_form(form)))
            }
            _ => (ErrorCode::ConfigInvalid, mark, format!("`{key}`: {}", error.message)),
        };
        self.wrong(code, &keys, mark, &why)
    }

    /// Returns an error about a configuration key, with the position in the last file that sets the key, if any.
    pub(super) fn wrong(&self, code: ErrorCode, keys: &[&str], mark: Mark, why: &str) -> Error {
        let metadata = self.merged.metadata(keys);
        let path = metadata.and_then(|metadata| metadata.source.as_ref()?.file_path());
        let is_variable = metadata.is_some_and(|metadata| metadata.name.starts_with("environment"));
        // Figment names no file for a table that is merged from several files, so all files are searched.
        let is_origin = |file: &&ConfigFile| {
            !is_variable && file.path.as_deref().is_some_and(|own| path.is_none_or(|path| own == path))
        };
        let mut files = self.files.iter().rev().filter(is_origin);
        match files.find_map(|file| Some((file, file.span_of(keys, mark, &self.kinds)?))) {
            Some((file, span)) => file.error(span, mark, code, why),
            None => Error::new(code, format!("{}: {why}", self.origin(keys))),
        }
    }
}

/// Returns the name that is most similar to a mistyped one, or `None` if no name is similar.
pub fn suggestion<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&typed.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= (name.len().max(typed.len()) / 3).max(1))
        .min()
        .map(|(_, name)| name)
}

/// Returns a suggestion for a mistyped name.
pub(super) fn did_you_mean<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    suggestion(typed, names).map(|near| format!("did you mean `{near}`?"))
}

/// Returns the message for an unknown key, with a similar key or the list of known keys.
pub(super) fn unknown_key(table: &str, key: &str, known: &[&str]) -> String {
    // `environment` begins with `env`, but is not similar to it.
    let start = known.iter().copied().find(|known| key.starts_with(known));
    let help = did_you_mean(key, known.iter().copied()).or_else(|| did_you_mean(start?, start));
    let help = help.unwrap_or_else(|| format!("its keys are `{}`", known.join("`, `")));
    format!("{table} has no key `{key}`: {help}")
}

/// Rewords serde's description of the expected type for users who do not know Rust.
fn plain_form(form: &str) -> &str {
    match form {
        _ if form.starts_with("struct ") || form == "a map" || form == "map with a single key" => {
            "a table: { name = \"value\" }"
        }
        "a sequence" => "a list: [\"one\", \"two\"]",
        "a string" | "string or map" => "text",
        "a boolean" => "true or false",
        other => other,
    }
}
