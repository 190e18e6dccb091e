//! Reads response bodies: texts in several encodings, JSON, form-encoded answers, and damaged answers.

use std::borrow::Cow;

use serde_json::{Map, Value};
use url::form_urlencoded;

use crate::context::HttpResponse;

/// The characters of the bytes 0x80 to 0x9F in Windows-1252, which web servers also send as ISO-8859-1.
const WINDOWS_1252: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";

/// Deeper values of rewritten JSON become `null`. `serde_json` reads up to 127 levels.
const DEEPEST: usize = 100;

/// Decodes a response body. JSON is UTF-8 (RFC 8259 section 8.1), but servers also send UTF-16, UTF-32 and Latin-1, byte
/// order marks, and zeros at the end. Other bytes become U+FFFD.
pub(crate) fn text(response: &HttpResponse) -> Cow<'_, str> {
    let is_padding = |c: char| c == '\u{feff}' || c == '\0';
    match characters(response) {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_matches(is_padding)),
        Cow::Owned(text) => Cow::Owned(text.trim_matches(is_padding).to_owned()),
    }
}

fn characters(response: &HttpResponse) -> Cow<'_, str> {
    let body: &[u8] = &response.body;
    match body {
        [0xff, 0xfe, 0, 0, ..] | [1..=255, 0, 0, 0, ..] => Cow::Owned(utf32(body, u32::from_le_bytes)),
        [0, 0, 0xfe, 0xff, ..] | [0, 0, 0, 1..=255, ..] => Cow::Owned(utf32(body, u32::from_be_bytes)),
        // Without a byte order mark: the first character is ASCII.
        [0xff, 0xfe, ..] | [1..=255, 0, ..] => Cow::Owned(utf16(body, u16::from_le_bytes)),
        [0xfe, 0xff, ..] | [0, 1..=255, ..] => Cow::Owned(utf16(body, u16::from_be_bytes)),
        _ if std::str::from_utf8(body).is_ok() => String::from_utf8_lossy(body),
        _ if declares(response, &["iso-8859-1", "latin1", "latin-1", "windows-1252", "cp1252"]) => {
            Cow::Owned(body.iter().copied().map(windows_1252).collect())
        }
        _ if declares(response, &["shift_jis", "sjis", "windows-31j", "cp932"]) => {
            double_byte(body, |byte| matches!(byte, 0x81..=0x9f | 0xe0..=0xfc))
        }
        _ if declares(response, &["gbk", "gb2312", "gb18030", "big5"]) => {
            double_byte(body, |byte| byte > 0x80)
        }
        _ => String::from_utf8_lossy(body),
    }
}

fn utf32(body: &[u8], unit: fn([u8; 4]) -> u32) -> String {
    let units = body.as_chunks().0.iter().copied().map(unit);
    units.map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// Reads only the ASCII characters. A second byte that looks like a backslash or a brace belongs to the first.
fn double_byte(body: &[u8], is_first: fn(u8) -> bool) -> Cow<'static, str> {
    let mut bytes = body.iter().copied();
    let next = std::iter::from_fn(|| {
        let byte = bytes.next()?;
        if is_first(byte) {
            bytes.next();
        }
        Some(if byte.is_ascii() { char::from(byte) } else { char::REPLACEMENT_CHARACTER })
    });
    Cow::Owned(next.collect())
}

fn utf16(body: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = body.as_chunks().0.iter().copied().map(unit);
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

fn declares(response: &HttpResponse, charsets: &[&str]) -> bool {
    let kind = response.header("content-type").unwrap_or_default().to_ascii_lowercase();
    charsets.iter().any(|name| kind.contains(name))
}

fn windows_1252(byte: u8) -> char {
    match byte {
        0x80..0xa0 => WINDOWS_1252.chars().nth(usize::from(byte - 0x80)).unwrap_or_default(),
        _ => char::from(byte),
    }
}

/// Returns the JSON value of a response.
pub(crate) fn json(response: &HttpResponse) -> Option<Value> {
    let text = text(response);
    serde_json::from_str(&text).or_else(|_| serde_json::from_str(&rewritten(&text))).ok()
}

/// Returns the response as an object. Reads a JSON object, also inside a JSON string, and the form fields that some token
/// endpoints send instead. Of a list of errors, returns the first object, or the texts as the field `errors`.
pub(crate) fn object(response: &HttpResponse) -> Option<Map<String, Value>> {
    match json(response) {
        Some(Value::Object(object)) => Some(object),
        Some(Value::String(inner)) => serde_json::from_str(&inner).ok(),
        Some(Value::Array(errors)) if response.status >= 400 => match errors.first()? {
            Value::Object(error) => Some(error.clone()),
            Value::String(_) => Some(Map::from_iter([("errors".to_owned(), Value::Array(errors))])),
            _ => None,
        },
        // The last value of an incomplete form is damaged.
        None if response.cut.is_none() => form(&text(response)),
        _ => None,
    }
}

/// Reads a form-encoded answer: `access_token=…&token_type=bearer` or `error=…`.
fn form(text: &str) -> Option<Map<String, Value>> {
    let text = text.trim();
    if text.contains(|c: char| c.is_whitespace() || matches!(c, '<' | '{' | '"')) {
        return None;
    }
    let fields = form_urlencoded::parse(text.as_bytes());
    let object: Map<_, _> = fields.map(|(key, value)| (key.into_owned(), Value::from(value))).collect();
    let has = |key| object.get(key).and_then(Value::as_str).is_some_and(|value| !value.is_empty());
    (has("access_token") || has("error")).then_some(object)
}

/// Rewrites JSON that other parsers accept and `serde_json` does not. NaN, infinite numbers and deeply nested values
/// become `null`. In strings, control characters are escaped, and unknown escapes and halves of surrogate pairs become
/// U+FFFD.
fn rewritten(text: &str) -> String {
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
