//! Splits a configuration file into the tables of its providers. Parsing a thousand tables takes longer than returning
//! a stored token.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The start of the TOML table header of a provider. A file with any other table header is parsed whole.
const HEADER: &str = "[providers.";

/// A configuration file, split at the headers of its providers' tables.
pub(super) struct Parts<'a> {
    /// The text before the first table.
    pub(super) head: &'a str,
    /// The provider's name and the text, including the header, of each table.
    tables: Vec<(&'a str, &'a str)>,
}

impl<'a> Parts<'a> {
    /// Splits a file into its providers' tables. Returns `None` if the file contains multi-line strings, tables
    /// besides providers, or spaces or quotes in table headers, because only a TOML parser can split such a file.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let has_multiline = |quote: char, quotes| {
            text.match_indices(quote).any(|(index, _)| text[index..].starts_with(quotes))
        };
        if has_multiline('"', "\"\"\"") || has_multiline('\'', "'''") {
            return None;
        }
        let mut starts = Vec::new();
        for (index, _) in text.match_indices('[') {
            let before = text[..index].trim_end_matches([' ', '\t']);
            if before.is_empty() || before.ends_with('\n') {
                starts.push((name_of(text[index..].lines().next()?)?, index));
            }
        }
        let ends = starts.iter().skip(1).map(|(_, start)| *start).chain([text.len()]);
        let head = &text[..starts.first().map_or(text.len(), |(_, start)| *start)];
        let tables =
            starts.iter().zip(ends).map(|((name, start), end)| (*name, &text[*start..end])).collect();
        Some(Self { head, tables })
    }

    /// Returns the names of the providers that have a table.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.tables.iter().map(|(name, _)| *name)
    }

    /// Returns the byte range from each provider's first table to its last one. Returns no range if the text before the
    /// first table may configure providers too.
    pub(super) fn ranges(&self) -> BTreeMap<String, Range<usize>> {
        let mut ranges: BTreeMap<String, Range<usize>> = BTreeMap::new();
        let mut start = self.head.len();
        for (name, table) in &self.tables {
            let end = start + table.len();
            ranges.entry((*name).to_owned()).or_insert(start..end).end = end;
            start = end;
        }
        if self.head.contains("providers") { BTreeMap::new() } else { ranges }
    }

    /// Returns the file's text with only the tables of these providers, and without comment lines.
    pub(super) fn of_providers(&self, names: &BTreeSet<String>) -> String {
        let wanted = self.tables.iter().filter(|(name, _)| names.contains(*name)).map(|(_, table)| *table);
        let lines = [self.head].into_iter().chain(wanted).flat_map(str::lines);
        let mut part = String::new();
        for line in lines.filter(|line| !line.trim_start().starts_with('#')) {
            part.push_str(line);
            part.push('\n');
        }
        part
    }
}

/// Returns NAME of a TOML table header `[providers.NAME]` or `[providers.NAME.KEY]`.
fn name_of(line: &str) -> Option<&str> {
    let (path, rest) = line.strip_prefix(HEADER)?.split_once(']')?;
    let plain = |key: &str| {
        !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let rest = rest.trim_start();
    let is_header = path.split('.').all(plain) && (rest.is_empty() || rest.starts_with('#'));
    path.split('.').next().filter(|_| is_header)
}
