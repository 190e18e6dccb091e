//! Durations as people say them, and tables as terminals show them.

use std::time::Duration;

/// The two largest units of a duration: `6 d 23 h`, `59 min 12 s`, `12 s`.
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

/// What a held token was asked for with, as people say it: scopes, or what a derived credential is.
pub(crate) fn asked(key: &str) -> String {
    match (key, key.strip_prefix("aws:")) {
        ("", _) => "(no scope)".to_owned(),
        ("cookie:", _) => "the asset cookie".to_owned(),
        (_, Some(role)) => format!("keys of {}", role.split('?').next().unwrap_or(role)),
        (scopes, None) => scopes.to_owned(),
    }
}

/// What to do where a lock does not reach all hosts.
pub(crate) const FOLDER_EACH: &str = "give each host a state folder of its own: BROKER_STATE_DIR (EarthScope's login is in \
                                      ~/.earthscope all the same, unless it has `share = false`)";

/// The width people can count on.
const WIDTH: usize = 80;

/// A table of at most 80 columns, its first row the heads: as wide as its cells need, the last columns cut if that
/// is too wide. `paint` colours a cell by its row and column.
pub(crate) fn table(rows: &[Vec<String>], paint: impl Fn(usize, usize, String) -> String) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let length = |text: &String| text.chars().count();
    let mut widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(length).max().unwrap_or(0))
        .collect();
    let gaps = 2 * columns.saturating_sub(1);
    // The widest column gives way first.
    while widths.iter().sum::<usize>() + gaps > WIDTH {
        let Some(widest) = widths.iter_mut().max() else { break };
        *widest -= 1;
    }
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let shown = cut(cell, *width);
            let padding = " ".repeat(width - length(&shown) + 2);
            line.push_str(&paint(number, column, shown));
            line.push_str(&padding);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Returns the text with line breaks at word boundaries, where it is longer than `width`. Further lines are indented. A
/// word that is longer than the width stays whole, for copying. Only the first line is wrapped: the others are excerpts
/// of files.
pub(crate) fn wrap(text: &str, width: usize, indent: usize) -> String {
    let (first, rest) = text.split_once('\n').map_or((text, None), |(first, rest)| (first, Some(rest)));
    let mut wrapped = String::new();
    let mut used = 0;
    for word in first.split(' ') {
        if used > 0 && used + 1 + length(word) > width {
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(indent));
            used = indent;
        } else if !wrapped.is_empty() {
            wrapped.push(' ');
            used += 1;
        }
        wrapped.push_str(word);
        used += length(word);
    }
    rest.map_or(wrapped.clone(), |rest| format!("{wrapped}\n{rest}"))
}

fn length(text: &str) -> usize {
    text.chars().count()
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::asked;

    #[test]
    fn derived_credentials_have_words() {
        let keys = ["", "stac", "cookie:", "aws:s3-miniseed-v2", "aws:lab?site=a%26b"];
        let words = ["(no scope)", "stac", "the asset cookie", "keys of s3-miniseed-v2", "keys of lab"];
        assert_eq!(keys.map(asked), words);
    }
}
