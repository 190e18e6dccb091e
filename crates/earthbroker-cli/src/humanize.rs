//! Durations, times, tables and wrapped text for users.

use std::borrow::Cow;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::time::Duration;

use broker_core::sanitize;
use chrono::{DateTime, Local, Utc};
use rustix::termios::tcgetwinsize;

/// Returns the two largest units of a duration: `6 d 23 h`, `59 min 12 s`, `12 s`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Returns a time in the local time zone, with the zone: `2027-01-31 14:05 +01:00`.
pub(crate) fn local(time: DateTime<Utc>) -> String {
    time.with_timezone(&Local).format("%F %H:%M %:z").to_string()
}

/// Describes in words what a stored token is for: scopes, AWS keys of a role, or a cookie.
pub(crate) fn asked(key: &str) -> String {
    match (key, key.strip_prefix("aws:")) {
        ("", _) => "(no scope)".to_owned(),
        ("cookie:", _) => "the cookie".to_owned(),
        (_, Some(role)) => format!("keys of {}", role.split('?').next().unwrap_or(role)),
        (scopes, None) => scopes.to_owned(),
    }
}

/// Whether the locale can display all Unicode characters.
pub(crate) fn is_utf8() -> bool {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
    let locale = locale.to_ascii_uppercase();
    locale.contains("UTF-8") || locale.contains("UTF8")
}

/// Returns the text as `stream` can display it: in ASCII, if `stream` is a terminal whose locale is not UTF-8.
pub(crate) fn displayable<'a>(text: &'a str, stream: &impl IsTerminal) -> Cow<'a, str> {
    if text.is_ascii() || is_utf8() || !stream.is_terminal() { text.into() } else { ascii(text).into() }
}

/// Replaces the characters that ASCII lacks by similar ones, or by `?`.
fn ascii(text: &str) -> String {
    text.replace('…', "...")
        .replace(['–', '—'], "-")
        .replace(['‘', '’'], "'")
        .replace(['“', '”'], "\"")
        .replace('é', "e")
        .replace(|c: char| !c.is_ascii(), "?")
}

/// Returns a dash that the locale can display.
pub(crate) fn dash() -> char {
    if is_utf8() { '–' } else { '-' }
}

/// The width of a [`bar`] in characters.
const CELLS: usize = 6;

/// Returns a bar that shows the remaining share of a token's lifetime.
pub(crate) fn bar(left: Duration, lifetime: Duration) -> String {
    let full = (left.as_millis() * 6).div_ceil(lifetime.as_millis().max(1000));
    let full = usize::try_from(full).unwrap_or(CELLS).min(CELLS);
    "▰".repeat(full) + &"▱".repeat(CELLS - full)
}

/// The maximum width of a table in characters.
const WIDTH: usize = 80;

/// The smallest width, in characters, to which a column of a table is cut.
const MIN_WIDTH: usize = 8;

/// Formats a table; the first row contains the headings. If the table is wider than [`WIDTH`], cuts its widest columns
/// at whole words, except the columns in `fixed`. Never cuts the last cell of a row that has fewer cells than
/// headings. Control characters become spaces. `paint` colours a cell by its row and column.
pub(crate) fn table(
    rows: &[Vec<String>],
    fixed: &[usize],
    paint: impl Fn(usize, usize, String) -> String,
) -> String {
    let clean = |row: &Vec<String>| row.iter().map(|cell| sanitize(cell)).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(clean).collect();
    let columns = rows.first().map_or(0, Vec::len);
    // The number of cells that are as wide as their column. The last cell of a short row is as wide as its text.
    let aligned = |row: &[String]| if row.len() < columns { row.len() - 1 } else { columns };
    let widest = |column: usize| {
        let cells = rows.iter().filter(|row| column < aligned(row)).map(|row| length(&row[column]));
        cells.max().unwrap_or(0)
    };
    let mut widths: Vec<_> = (0..columns).map(widest).collect();
    let needed = |widths: &[usize], row: &Vec<String>| {
        let (cells, last) = row.split_at(aligned(row));
        let last = last.iter().map(|cell| length(cell));
        widths[..cells.len()].iter().copied().chain(last).map(|width| width + 2).sum::<usize>() - 2
    };
    loop {
        let too_wide = rows.iter().filter(|row| needed(&widths, row) > WIDTH);
        let end = too_wide.map(|row| aligned(row)).max().unwrap_or(0);
        let flexible = widths.iter_mut().take(end).enumerate().filter(|(column, _)| !fixed.contains(column));
        let widest = flexible.max_by_key(|(_, width)| **width).filter(|(_, width)| **width > MIN_WIDTH);
        let Some((_, widest)) = widest else { break };
        *widest -= 1;
    }
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let padded = |(column, (cell, width)): (usize, (&String, &usize))| {
            let shown = if column < aligned(row) { cut(cell, *width) } else { cell.clone() };
            let padding = " ".repeat(width.saturating_sub(length(&shown)) + 2);
            paint(number, column, shown) + &padding
        };
        let line: String = row.iter().zip(&widths).enumerate().map(padded).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Returns the width of a terminal, or `usize::MAX` for other streams and if the terminal does not know its width.
pub(crate) fn terminal_width(stream: &(impl IsTerminal + AsFd)) -> usize {
    let size = tcgetwinsize(stream).ok().filter(|size| stream.is_terminal() && size.ws_col > 0);
    size.map_or(usize::MAX, |size| size.ws_col.into())
}

/// Wraps the first line of a text between words, and indents the new lines. A word longer than `width` stays whole,
/// because users may copy the word. Later lines are excerpts of files or commands to copy, and are not wrapped.
pub(crate) fn wrap(text: &str, width: usize, indent: usize) -> String {
    let (first, rest) = text.split_at(text.find('\n').unwrap_or(text.len()));
    let mut lines: Vec<String> = Vec::new();
    for word in first.split(' ') {
        match lines.last_mut() {
            Some(line) if length(line) + 1 + length(word) <= width => line.extend([" ", word]),
            Some(_) => lines.push(" ".repeat(indent) + word),
            None => lines.push(word.to_owned()),
        }
    }
    lines.join("\n") + rest
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// Cuts a text after the last whole word that fits, and adds an ellipsis. A single long word is cut inside the word.
fn cut(text: &str, width: usize) -> String {
    if length(text) <= width {
        return text.to_owned();
    }
    let start: String = text.chars().take(width.saturating_sub(1)).collect();
    let whole = match start.rsplit_once(' ') {
        Some((words, _)) if !text[start.len()..].starts_with(' ') => words,
        _ => &start,
    };
    format!("{}…", whole.trim_end_matches([' ', ',']))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{asked, bar, cut, table, wrap};

    #[test]
    fn stored_aws_keys_and_cookies_are_described_in_words() {
        let keys = ["", "stac", "cookie:", "aws:s3-miniseed-v2", "aws:lab?site=a%26b"];
        let words = ["(no scope)", "stac", "the cookie", "keys of s3-miniseed-v2", "keys of lab"];
        assert_eq!(keys.map(asked), words);
    }

    #[test]
    fn long_line_is_wrapped_between_words() {
        assert_eq!(wrap("hint: one two three", 10, 6), "hint: one\n      two\n      three");
        assert_eq!(wrap("short", 10, 6), "short");
        assert_eq!(wrap("/home/ada/providers.toml exists", 10, 2), "/home/ada/providers.toml\n  exists");
        assert_eq!(wrap("a b\n  | as it is in the file", 10, 2), "a b\n  | as it is in the file");
    }

    #[test]
    fn long_table_cell_is_cut_after_a_whole_word() {
        assert_eq!(cut("one two three", 13), "one two three");
        assert_eq!(cut("one two three", 12), "one two…");
        assert_eq!(cut("one two three", 8), "one two…");
        assert_eq!(cut("one, two", 6), "one…");
        assert_eq!(cut("abcdefgh", 4), "abc…");
    }

    #[test]
    fn wide_table_keeps_fixed_columns_and_cuts_others() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
        let rows = [
            row(&["A", "B", "C"]),
            row(&["a", &"x".repeat(60), &"word ".repeat(10)]),
            row(&["b", &"y".repeat(99)]),
        ];
        let text = table(&rows, &[0, 1], |_, _, cell| cell);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1], format!("a  {}  word word word…", "x".repeat(60)));
        assert_eq!(lines[2], format!("b  {}", "y".repeat(99)));
    }

    #[test]
    fn bar_shows_the_remaining_share_of_a_lifetime() {
        let hour = Duration::from_hours(1);
        assert_eq!(bar(hour, hour), "▰▰▰▰▰▰");
        assert_eq!(bar(hour / 2, hour), "▰▰▰▱▱▱");
        assert_eq!(bar(Duration::from_secs(1), hour), "▰▱▱▱▱▱");
        assert_eq!(bar(Duration::ZERO, hour), "▱▱▱▱▱▱");
    }
}
