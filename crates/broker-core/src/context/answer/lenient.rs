//! Rewrites JSON that other parsers accept and `serde_json` does not.

/// Deeper values become `null`. `serde_json` reads up to 127 levels.
const DEEPEST: usize = 100;

/// Rewrites NaN, infinite numbers and deeply nested values to `null`; control characters, unknown escapes and halves
/// of surrogate pairs in strings to valid ones. A part of a string that cannot be read becomes U+FFFD.
pub(super) fn rewritten(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    let (mut depth, mut rest) = (0_usize, text);
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let (piece, length) = match first {
            '"' => string(rest),
            _ if is_word(first) => {
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                let word = rest.get(..end).unwrap_or_default();
                let is_infinite = word.parse::<f64>().is_ok_and(|number| !number.is_finite());
                (if is_infinite { "null".to_owned() } else { word.to_owned() }, end)
            }
            _ => (first.to_string(), first.len_utf8()),
        };
        if matches!(first, '[' | '{') {
            depth += 1;
        }
        if depth <= DEEPEST {
            written += &piece;
        }
        if matches!(first, ']' | '}') {
            depth = depth.saturating_sub(1);
            if depth == DEEPEST {
                written += "null";
            }
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    written
}

/// Returns the string at the start of `text` as valid JSON, and the number of bytes read.
fn string(text: &str) -> (String, usize) {
    let mut written = "\"".to_owned();
    let mut at = 1;
    let damaged = || Some(char::REPLACEMENT_CHARACTER.to_string());
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let (length, replacement) = match (c, text.as_bytes().get(at + 1)) {
            ('\\', Some(b'u')) => match (code_unit(text, at), code_unit(text, at + 6)) {
                (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => (12, None),
                (Some(0xd800..0xe000), _) => (6, damaged()),
                (Some(_), _) => (6, None),
                (None, _) => (1, damaged()),
            },
            ('\\', Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')) => (2, None),
            ('\\', Some(b'\'')) => (2, Some("'".to_owned())),
            ('\\', _) => (1, damaged()),
            ('\0'..' ', _) => (1, Some(format!("\\u{:04x}", u32::from(c)))),
            _ => (c.len_utf8(), None),
        };
        written += replacement.as_deref().or(text.get(at..at + length)).unwrap_or_default();
        at += length;
        if c == '"' {
            break;
        }
    }
    (written, at)
}

/// Returns the UTF-16 code unit of the escape `\uXXXX` at a byte of `text`.
fn code_unit(text: &str, at: usize) -> Option<u16> {
    let hex = text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(hex, 16).ok()
}
