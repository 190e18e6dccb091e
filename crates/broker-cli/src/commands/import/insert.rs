//! Inserts lines into the text of a configuration file.

use toml::{Table, Value};

/// Inserts lines in a provider's table: after its header, or in a new table at the end. Keeps all other bytes.
/// Returns `None` if that is impossible, as for an inline table.
pub(super) fn insert(before: &str, name: &str, lines: &[(&str, String)]) -> Option<String> {
    let wanted = extended(before, name, lines)?;
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
        format!("{start}{gap}{}{rest}", text(lines))
    });
    // The result is parsed, because a line inside a multi-line string may look like a header.
    after_header.chain([appended(before, name, lines)]).find(|new| parse(new).as_ref() == Some(&wanted))
}

fn appended(before: &str, name: &str, lines: &[(&str, String)]) -> String {
    let gap = match before.as_bytes() {
        [] => "",
        [.., b'\n'] => "\n",
        _ => "\n\n",
    };
    format!("{before}{gap}[providers.{name}]\n{}", text(lines))
}

fn text(lines: &[(&str, String)]) -> String {
    let lines: Vec<_> = lines.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    lines.concat()
}

fn parse(text: &str) -> Option<Table> {
    toml::from_str(text).ok()
}

/// Returns the parsed configuration with the lines added.
fn extended(before: &str, name: &str, lines: &[(&str, String)]) -> Option<Table> {
    let mut all = parse(before)?;
    let mut table = &mut all;
    for key in ["providers", name] {
        let inner = table.entry(key).or_insert_with(|| Value::Table(Table::new()));
        table = inner.as_table_mut()?;
    }
    table.extend(parse(&text(lines))?);
    Some(all)
}
