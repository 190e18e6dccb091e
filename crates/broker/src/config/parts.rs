//! The part of a configuration file that some providers need: to read all of a file with a thousand tables takes longer
//! than all else that is done for a held token.

use std::collections::BTreeSet;

/// What a table of a provider begins with, in the one spelling that is understood here.
const HEADER: &str = "[providers.";

/// A file, cut at its tables of providers.
pub(super) struct Parts<'a> {
    /// What stands before the first table.
    pub(super) head: &'a str,
    /// The name of a provider, and a table of it with its header.
    tables: Vec<(&'a str, &'a str)>,
}

impl<'a> Parts<'a> {
    /// Cuts a file; `None` if it is written so that only a whole parser can tell where its tables begin: text over
    /// several lines, headers with blanks or quotes, other tables.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let several_lines = |quote: char, quotes| {
            text.match_indices(quote).any(|(index, _)| text[index..].starts_with(quotes))
        };
        if several_lines('"', "\"\"\"") || several_lines('\'', "'''") {
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

    /// The names of all providers that have a table.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.tables.iter().map(|(name, _)| *name)
    }

    /// The file with the tables of these providers alone, and without the lines that are comments.
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

/// The provider of a header, `[providers.NAME]` or `[providers.NAME.KEY]`.
fn name_of(line: &str) -> Option<&str> {
    let (path, rest) = line.strip_prefix(HEADER)?.split_once(']')?;
    let plain = |key: &str| {
        !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let rest = rest.trim_start();
    let is_header = path.split('.').all(plain) && (rest.is_empty() || rest.starts_with('#'));
    path.split('.').next().filter(|_| is_header)
}
