//! The text of the configuration files, and the providers in it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::OnceLock;

use broker_core::{Error, ErrorCode, Hint, Result, quoted_path};
use figment::value::{Dict, Value};

use super::file;
use super::parts::Parts;

/// The configuration of the built-in providers. The file is also the commented example for users.
pub(super) const BUILT_IN: &str = include_str!("../../providers.toml");

/// The configuration files. Values of a later file replace values of an earlier file.
pub(crate) struct Files {
    pub(crate) paths: Vec<PathBuf>,
    /// Whether the user named the file. A named file must exist; default files are optional.
    pub(crate) is_named: bool,
}

#[expect(clippy::struct_field_names, reason = "the text of the file")]
pub(super) struct Text {
    pub(super) path: PathBuf,
    pub(super) text: String,
    names: OnceLock<BTreeSet<String>>,
    ranges: OnceLock<BTreeMap<String, Range<usize>>>,
}

impl Text {
    pub(super) fn new(path: PathBuf, text: String) -> Self {
        Self { path, text, names: OnceLock::new(), ranges: OnceLock::new() }
    }

    /// Returns the names of all providers in the file.
    pub(super) fn names(&self) -> &BTreeSet<String> {
        self.names.get_or_init(|| names(&self.text))
    }

    /// Returns the byte range of a provider's tables, or of the whole file if only a TOML parser can find the tables.
    pub(super) fn range_of(&self, name: &str) -> Range<usize> {
        let ranges = || Parts::of(&self.text).map(|parts| parts.ranges()).unwrap_or_default();
        self.ranges.get_or_init(ranges).get(name).cloned().unwrap_or(0..self.text.len())
    }
}

/// Reads the configuration files.
pub(super) fn read(Files { paths, is_named }: &Files) -> Result<Vec<Text>> {
    let is_absent = |kind| matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory);
    let mut texts = Vec::new();
    for path in paths {
        match file::read(path, *is_named) {
            Ok(text) => texts.push(Text::new(path.clone(), text)),
            Err(error) if !*is_named && is_absent(error.kind()) => {}
            Err(error) => {
                let why = format!("cannot read {}: {error}", path.display());
                let hint = match error.kind() {
                    ErrorKind::InvalidData => Some("save the file as UTF-8 text".into()),
                    // Every user can change the file: this error is not the operating system's.
                    ErrorKind::PermissionDenied if error.raw_os_error().is_none() => {
                        Some(format!("run: chmod o-w {}", quoted_path(path)).into())
                    }
                    _ => is_named.then_some(Hint::CorrectConfigPath),
                };
                let error = Error::new(ErrorCode::ConfigUnreadable, why).with_source(error);
                return Err(match hint {
                    Some(hint) => error.with_hint(hint),
                    None => error,
                });
            }
        }
    }
    Ok(texts)
}

/// Returns the names of all providers in the configuration files and the built-in configuration.
pub(super) fn all_names(texts: &[Text]) -> BTreeSet<String> {
    let mut all = names(BUILT_IN);
    all.extend(texts.iter().flat_map(Text::names).cloned());
    all
}

fn names(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    if let Some(parts) = Parts::of(text) {
        names.extend(parts.names().map(str::to_owned));
    }
    // Only the TOML parser finds providers without a table header, such as `providers.lab.kind = "exec"`.
    names.extend(tables(&values(text, Some(&BTreeSet::new())).unwrap_or_default()).map(str::to_owned));
    names
}

/// Parses a file. With `only`, parses just the tables of these providers.
pub(super) fn values(text: &str, only: Option<&BTreeSet<String>>) -> Result<Dict, toml::de::Error> {
    let part = only.and_then(|only| Some(Parts::of(text)?.of_providers(only)));
    let part = part.and_then(|part| toml::from_str::<toml::Table>(&part).ok());
    // If a requested table has an error, the whole file is parsed, so that the error has the right line number.
    let table = part.map_or_else(|| toml::from_str(text), Ok)?;
    // This conversion cannot fail, because figment has a value for every TOML value.
    Ok(Value::serialize(table).ok().and_then(Value::into_dict).unwrap_or_default())
}

/// Returns the names of the providers that have a table.
pub(super) fn tables(values: &Dict) -> impl Iterator<Item = &str> {
    let tables = values.get("providers").and_then(Value::as_dict);
    tables.into_iter().flat_map(|table| table.keys().map(String::as_str))
}
