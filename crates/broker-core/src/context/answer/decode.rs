//! Reads response bodies: texts in several encodings, JSON, form-encoded answers, and damaged answers.

use std::borrow::Cow;

use serde_json::{Map, Value};
use url::form_urlencoded;

use super::lenient;
use crate::context::HttpResponse;

/// The characters of the bytes 0x80 to 0x9F in Windows-1252, which web servers also send as ISO-8859-1.
const WINDOWS_1252: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";

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
    serde_json::from_str(&text).or_else(|_| serde_json::from_str(&lenient::rewritten(&text))).ok()
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
