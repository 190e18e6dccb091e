//! Reads response bodies: texts in several encodings, JSON, form-encoded answers, and damaged answers.

use std::borrow::Cow;

use serde_json::{Map, Value};
use url::form_urlencoded;

use crate::{HttpResponse, Secret, value_at};

/// The characters of the bytes 0x80 to 0x9F in Windows-1252, which web servers also send as ISO-8859-1.
const WINDOWS_1252: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";

/// Decodes a response body. JSON is UTF-8 (RFC 8259 section 8.1), but servers also send UTF-16 and Latin-1. Bytes that
/// are no text become U+FFFD.
pub(crate) fn text(response: &HttpResponse) -> Cow<'_, str> {
    let body: &[u8] = &response.body;
    match body {
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest),
        [0xff, 0xfe, rest @ ..] => Cow::Owned(utf16(rest, u16::from_le_bytes)),
        [0xfe, 0xff, rest @ ..] => Cow::Owned(utf16(rest, u16::from_be_bytes)),
        // Without a byte order mark: the first character is ASCII.
        [1..=255, 0, ..] => Cow::Owned(utf16(body, u16::from_le_bytes)),
        [0, 1..=255, ..] => Cow::Owned(utf16(body, u16::from_be_bytes)),
        _ if std::str::from_utf8(body).is_err() && is_latin_1(response) => {
            Cow::Owned(body.iter().copied().map(windows_1252).collect())
        }
        _ => String::from_utf8_lossy(body),
    }
}

fn utf16(body: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = body.as_chunks().0.iter().copied().map(unit);
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

fn is_latin_1(response: &HttpResponse) -> bool {
    let kind = response.header("content-type").unwrap_or_default().to_ascii_lowercase();
    ["iso-8859-1", "latin1", "latin-1", "windows-1252", "cp1252"].iter().any(|name| kind.contains(name))
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
    serde_json::from_str(&text).ok().or_else(|| serde_json::from_str(&without_lone_surrogates(&text)?).ok())
}

/// Returns the response as an object: JSON, the first object in a list of errors, or the form fields that some token
/// endpoints send instead.
pub(crate) fn object(response: &HttpResponse) -> Option<Map<String, Value>> {
    match json(response) {
        Some(Value::Object(object)) => Some(object),
        Some(Value::Array(errors)) if response.status >= 400 => match errors.into_iter().next() {
            Some(Value::Object(error)) => Some(error),
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

/// Replaces `\uD800` to `\uDFFF` without their partners, which other JSON parsers accept. Returns `None` if there are
/// none.
fn without_lone_surrogates(text: &str) -> Option<String> {
    let unit = |at: usize| {
        let hex = text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(hex, 16).ok()
    };
    let (mut fixed, mut done, mut at) = (String::new(), 0, 0);
    while let Some(found) = text.get(at..)?.find('\\') {
        at += found;
        at += match (unit(at), unit(at + 6)) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => 12,
            (Some(0xd800..0xe000), _) => {
                fixed += text.get(done..at)?;
                fixed.push(char::REPLACEMENT_CHARACTER);
                done = at + 6;
                6
            }
            _ => 1 + text.get(at + 1..)?.chars().next()?.len_utf8(),
        };
    }
    fixed += text.get(done..)?;
    (done > 0).then_some(fixed)
}

/// Reads a text field of a 2xx response, even if other parts of the response are malformed or missing. The service may
/// have replaced the refresh token, and the new one must not be lost. `path` is the path of the field in a complete
/// response. Elsewhere in it, the path's last name counts beside an access token; in a malformed one, it counts anywhere.
#[must_use]
pub fn salvage(response: &HttpResponse, path: &str) -> Option<Secret> {
    if !(200..300).contains(&response.status) {
        return None;
    }
    let key = path.rsplit('.').next()?;
    let whole = json(response).filter(|value| value.is_object() || value.is_array());
    let found = match whole.or_else(|| object(response).map(Value::Object)) {
        // A JSON body is read even if its content type is HTML.
        Some(whole) => {
            let own = value_at(&whole, path).or_else(|| whole.get(path)).and_then(Value::as_str);
            own.or_else(|| elsewhere(&whole, key))?.to_owned()
        }
        None => in_malformed(&text(response), key, response.is_html())?,
    };
    is_secret(&found).then(|| Secret::new(found))
}

/// Whether a text can be a secret. U+FFFD replaces bytes that could not be read, so the text is damaged.
pub(crate) fn is_secret(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c == char::REPLACEMENT_CHARACTER || c.is_control())
}

fn in_malformed(text: &str, key: &str, is_html: bool) -> Option<String> {
    // Plain JSON; JSON in a JSON string, in a web page, or as a Python dict.
    let spellings: [&[(&str, &str)]; 5] = [
        &[],
        &[("\\\"", "\""), ("\\\\", "\\")],
        &[("&quot;", "\""), ("&#34;", "\""), ("&#x22;", "\""), ("&amp;", "&")],
        &[("\\u0022", "\"")],
        &[("'", "\"")],
    ];
    let read = |spelling: &&[(&str, &str)]| {
        let text = spelling.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        if is_html { in_web_page(&text, key) } else { in_json(&text, key) }
    };
    // In plain JSON, the other spellings of a quotation mark are part of a value, which may be cut after it.
    let is_plain = !is_html && text.contains(&format!("\"{key}\""));
    let mut usable = spellings.iter().take(if is_plain { 1 } else { spellings.len() });
    usable.find_map(read).or_else(|| in_form(text, key).filter(|_| !is_html))
}

/// Returns the first complete string value of `key` in malformed JSON.
fn in_json(text: &str, key: &str) -> Option<String> {
    let key = format!("\"{key}\"");
    text.split(&key).skip(1).find_map(|after| {
        let value = after.trim_start().strip_prefix(':')?.trim_start();
        let found = serde_json::Deserializer::from_str(value).into_iter::<String>().next()?.ok()?;
        is_secret(&found).then_some(found)
    })
}

/// Returns `key` of a JSON object inside a web page, if the object also has an access token. Sign-in pages of networks
/// have scripts with all kinds of names.
fn in_web_page(text: &str, key: &str) -> Option<String> {
    text.match_indices('{').take(100).find_map(|(at, _)| {
        let objects = serde_json::Deserializer::from_str(text.get(at..)?).into_iter::<Map<String, Value>>();
        let object = objects.take(1).next()?.ok()?;
        beside_access_token(&object, key).map(str::to_owned)
    })
}

/// Returns the text `key` of an object inside a JSON value, if the object also has an access token.
fn elsewhere<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    match value {
        Value::Array(items) => items.iter().find_map(|item| elsewhere(item, key)),
        Value::Object(object) => beside_access_token(object, key)
            .or_else(|| object.values().find_map(|value| elsewhere(value, key))),
        _ => None,
    }
}

fn beside_access_token<'v>(object: &'v Map<String, Value>, key: &str) -> Option<&'v str> {
    let has_access_token = object.keys().any(|key| key.starts_with("access"));
    object.get(key)?.as_str().filter(|_| has_access_token)
}

/// Returns the field `key` of form data. The value ends at `&`, because the end of the text may be cut off.
fn in_form(text: &str, key: &str) -> Option<String> {
    let text = text.trim();
    if !text.contains("access_token=") || text.contains(char::is_whitespace) {
        return None;
    }
    let (whole, _) = text.rsplit_once('&')?;
    let mut fields = form_urlencoded::parse(whole.as_bytes());
    fields.find_map(|(name, value)| (name == key).then(|| value.into_owned()))
}
