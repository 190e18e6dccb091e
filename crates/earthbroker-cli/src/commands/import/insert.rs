//! Inserts lines into the text of a configuration file.

use toml::{Table, Value};

use crate::commands::config_file::appended;

/// Inserts keys in a provider's table: after the table's header, or in a new table at the end. Keeps all other bytes.
/// Returns `None` for tables that this function cannot extend, such as an inline table.
pub(super) fn insert(before: &str, name: &str, lines: &[(&str, String)]) -> Option<String> {
    let lines = lines.iter().map(|(key, value)| format!("{key} = {value}\n")).collect::<Vec<_>>().concat();
    let wanted = extended(before, name, &lines)?;
    let header: Table = toml::from_str(&format!("[providers.{name}]")).ok()?;
    let is_header = |line: &str| {
        line.trim_start().starts_with('[') && toml::from_str(line).is_ok_and(|table: Table| table == header)
    };
    let mut end = 0;
    let headers = before.split_inclusive('\n').filter_map(|line| {
        end += line.len();
        is_header(line).then_some((end, line))
    });
    let after_header = headers.map(|(at, line)| {
        let (start, rest) = before.split_at(at);
        let gap = if line.ends_with('\n') { "" } else { "\n" };
        format!("{start}{gap}{lines}{rest}")
    });
    let new_table = appended(before, &format!("[providers.{name}]\n{lines}"));
    // Each possible new file text is parsed: a line in a multi-line string may look like the table's header.
    after_header.chain([new_table]).find(|new| toml::from_str(new).as_ref() == Ok(&wanted))
}

/// Returns the parsed configuration, with the lines added to the provider's table.
fn extended(before: &str, name: &str, lines: &str) -> Option<Table> {
    let mut all: Table = toml::from_str(before).ok()?;
    let mut table = &mut all;
    for key in ["providers", name] {
        let inner = table.entry(key).or_insert_with(|| Value::Table(Table::new()));
        table = inner.as_table_mut()?;
    }
    table.extend(toml::from_str::<Table>(lines).ok()?);
    Some(all)
}
