//! Makes text from services, files and programs safe to show.

use serde::{Deserialize, Deserializer};

/// Makes text safe for a terminal, as one line: replaces control characters, text-direction characters and invisible
/// characters with spaces.
pub fn sanitize(text: &str) -> String {
    // Most texts are plain, and each call sanitizes some.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    text.chars().map(|c| if is_unsafe(c) { ' ' } else { c }).collect()
}

/// Whether a character controls a terminal, changes the direction of text, or is invisible (the Unicode property
/// `Default_Ignorable_Code_Point`). An invisible character makes two different names look the same.
#[rustfmt::skip]
pub fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Returns a URL without its query and fragment, which may contain a secret: `https://example.org/token?…`.
pub fn without_query(url: &str) -> String {
    match url.find(['?', '#']) {
        Some(end) => sanitize(&url[..=end]) + "…",
        None => sanitize(url),
    }
}

/// Deserializes a text of a record that is only shown. A record may come from another machine or from a backup.
pub(crate) fn shown<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(sanitize(&String::deserialize(deserializer)?))
}

/// Deserializes an optional text of a record that is only shown.
pub(crate) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(|text| sanitize(&text)))
}
