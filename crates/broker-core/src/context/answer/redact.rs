//! Withholds texts of a service that repeat a secret of the request, in any usual encoding.

use std::collections::HashSet;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::LONGEST_TEXT;
use crate::token::{Secret, sanitize};

/// What is shown instead of a text that repeats a secret.
pub const WITHHELD: &str = "[withheld: the text repeats a secret of the request]";

/// A text is withheld if it contains this many consecutive characters of a secret, or a whole shorter secret.
const RUN: usize = 8;

/// A text is withheld if it contains this many of the first and of the last characters of a secret.
const ENDS: usize = 6;

/// Encodings inside encodings are decoded this many times.
const LAYERS: usize = 4;

/// So much of a text is searched. Only [`LONGEST_TEXT`] characters are shown, and encodings make texts longer.
const SEARCHED: usize = 4096;

/// The limit of decoded forms of one text, far above what 300 shown characters can hide.
const MOST_FORMS: usize = 100;

/// Makes the text of a service or program safe for a terminal, and cuts it after 300 characters. Replaces the whole
/// text if it repeats a part of a secret: plain, or in JSON escapes, percent encoding, HTML entities, base64, base32,
/// hex or lists of numbers, in upper or lower case, reversed, or with other characters in between.
pub fn redact(text: &str, secrets: &[&Secret]) -> String {
    let text: Zeroizing<String> = Zeroizing::new(text.chars().take(SEARCHED).collect());
    if repeats_secret(&text, secrets) {
        return WITHHELD.to_owned();
    }
    shorten(sanitize(&text), LONGEST_TEXT)
}

/// Cuts a text after this many characters.
pub(super) fn shorten(text: String, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text;
    }
    text.chars().take(longest).chain(['…']).collect()
}

/// Whether a text repeats a part of one of the secrets: see [`redact`]. A text of more than 16 KiB counts as one that
/// does.
pub fn repeats_secret(text: &str, secrets: &[&Secret]) -> bool {
    let secrets: Vec<_> =
        secrets.iter().map(|secret| secret.expose()).filter(|secret| !secret.is_empty()).collect();
    if secrets.is_empty() || text.is_empty() {
        return false;
    }
    if text.len() > 4 * SEARCHED {
        return true;
    }
    let searched = |raw: Zeroizing<String>| Searched { letters: letters(&raw), packed: packed(&raw), raw };
    let texts: Vec<_> = decoded(text).into_iter().map(searched).collect();
    secrets.iter().any(|secret| texts.iter().any(|text| text.repeats(secret)))
}

/// A text in the forms in which it is compared.
struct Searched {
    raw: Zeroizing<String>,
    letters: Zeroizing<String>,
    packed: Zeroizing<String>,
}

impl Searched {
    fn repeats(&self, secret: &str) -> bool {
        let (letters, packed) = (letters(secret), packed(secret));
        if packed.chars().count() < 4 {
            return self.has_word(secret.trim());
        }
        let has_letters = letters.chars().count() >= 4 && has_run(&self.letters, &letters);
        has_letters || has_run(&self.packed, &packed)
    }

    /// Whether the text contains the very short `secret` as a word of its own.
    fn has_word(&self, secret: &str) -> bool {
        let is_edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
        let mut found = self.raw.match_indices(secret).filter(|_| !secret.is_empty());
        found.any(|(at, _)| {
            let after = self.raw.get(at + secret.len()..).and_then(|rest| rest.chars().next());
            is_edge(self.raw.get(..at).and_then(|before| before.chars().next_back())) && is_edge(after)
        })
    }
}

/// Returns the letters and digits of a text in lower case.
fn letters(text: &str) -> Zeroizing<String> {
    let kept = text.chars().map(narrow).filter(|c| c.is_alphanumeric());
    Zeroizing::new(kept.flat_map(char::to_lowercase).collect())
}

/// Returns a text in lower case without blanks, quotes and backslashes.
fn packed(text: &str) -> Zeroizing<String> {
    let is_kept = |c: &char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '\'' | '\\');
    let kept = text.chars().map(narrow).filter(is_kept);
    Zeroizing::new(kept.flat_map(char::to_lowercase).collect())
}

/// Returns the ASCII character of a fullwidth one.
fn narrow(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        _ => c,
    }
}

/// Whether `text` contains a run of [`RUN`] bytes of `secret`, all of a shorter secret, or both ends of a long one
/// (a secret with a masked middle), forwards or backwards.
fn has_run(text: &str, secret: &str) -> bool {
    let backwards: Zeroizing<String> = Zeroizing::new(secret.chars().rev().collect());
    if secret.len() <= RUN {
        return text.contains(secret) || text.contains(backwards.as_str());
    }
    let runs: HashSet<&[u8]> = text.as_bytes().windows(RUN).collect();
    let has_ends = |secret: &str| {
        let ends =
            secret.get(..ENDS).zip(secret.len().checked_sub(ENDS).and_then(|start| secret.get(start..)));
        secret.len() > 2 * ENDS
            && ends.is_some_and(|(first, last)| text.contains(first) && text.contains(last))
    };
    let has_any = |secret: &str| secret.as_bytes().windows(RUN).any(|run| runs.contains(run));
    [secret, &backwards].iter().any(|secret| has_any(secret) || has_ends(secret))
}

/// Returns a text and all its decoded forms.
fn decoded(text: &str) -> Vec<Zeroizing<String>> {
    let backwards = Zeroizing::new(text.chars().rev().collect());
    let mut forms = vec![Zeroizing::new(text.to_owned()), backwards];
    let mut noise = Vec::new();
    let mut newest = 0;
    for _ in 0..LAYERS {
        let end = forms.len();
        for at in newest..end {
            let Some(form) = forms.get(at).cloned() else { continue };
            // Quoted-printable is percent encoding with another sign.
            let plain = [percent(&form), percent(&form.replace('=', "%")), entities(&form), escapes(&form)];
            let listed = [2, 8, 10, 16].map(|radix| numbers(&form, radix));
            for form in plain.into_iter().chain(listed).chain(binary(&form)).map(Zeroizing::new) {
                let known = if is_text(&form) { &mut forms } else { &mut noise };
                if !known.contains(&form) && known.len() < MOST_FORMS {
                    known.push(form);
                }
            }
        }
        newest = end;
    }
    forms.extend(noise);
    forms
}

/// Decodes percent encoding. The text is no form: `&` and `=` separate nothing, and the comparison ignores them.
fn percent(text: &str) -> String {
    let pairs = form_urlencoded::parse(text.as_bytes());
    pairs.map(|(name, value)| [name, value].concat()).collect::<Vec<_>>().join("&")
}

/// Decodes HTML entities: numbers, also without semicolon, and the names of the characters that HTML escapes.
fn entities(text: &str) -> String {
    unescaped(text, '&', |piece| {
        let (name, rest) = piece.split_once(';').unwrap_or(("", piece));
        let number = piece.strip_prefix('#').and_then(|number| match number.strip_prefix(['x', 'X']) {
            Some(number) => number_before(number, 16, ';'),
            None => number_before(number, 10, ';'),
        });
        match (name, number) {
            ("amp", _) => (Some('&'), rest),
            ("lt", _) => (Some('<'), rest),
            ("gt", _) => (Some('>'), rest),
            ("quot", _) => (Some('"'), rest),
            ("apos", _) => (Some('\''), rest),
            (_, Some((c, rest))) => (Some(c), rest),
            // Other names are of punctuation, which is left out of the comparison.
            _ if !name.is_empty() && name.len() < 10 && name.chars().all(char::is_alphanumeric) => {
                (None, rest)
            }
            _ => (Some('&'), piece),
        }
    })
}

/// Replaces escapes that begin with `mark`. `read` returns the character of the escape, and the text after it.
fn unescaped(text: &str, mark: char, read: impl Fn(&str) -> (Option<char>, &str)) -> String {
    let mut pieces = text.split(mark);
    let mut decoded = pieces.next().unwrap_or_default().to_owned();
    for (c, rest) in pieces.map(read) {
        decoded.extend(c);
        decoded += rest;
    }
    decoded
}

/// Returns the character with the number at the start of a text, and the text after it and after `end`, if present.
fn number_before(text: &str, radix: u32, end: char) -> Option<(char, &str)> {
    let (number, rest) = text.split_at(text.find(|c: char| !c.is_digit(radix)).unwrap_or(text.len()));
    let c = char::from_u32(u32::from_str_radix(number, radix).ok()?)?;
    Some((c, rest.strip_prefix(end).unwrap_or(rest)))
}

/// Decodes a list of the numbers of characters, such as `[115, 51]`, `0x73 0x33`, `U+0073` or `01110011 00110011`.
fn numbers(text: &str, radix: u32) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let digits = words.map(|word| word.trim_start_matches(['0', 'x', 'X', 'u', 'U']));
    digits.filter_map(|digits| char::from_u32(u32::from_str_radix(digits, radix).ok()?)).collect()
}

/// Decodes the escapes of JSON, Python, C and JavaScript: `\u0026`, `\x26`, `\/`, `\n`, `\046`, `%u0026`,
/// `\u{26}`.
fn escapes(text: &str) -> String {
    unescaped(&text.replace("%u", "\\u"), '\\', |piece| {
        let code = |skip: usize, digits: usize, radix| {
            let number = u32::from_str_radix(piece.get(skip..skip + digits)?, radix).ok()?;
            Some((char::from_u32(number)?, piece.get(skip + digits..)?))
        };
        let found = match piece.as_bytes().first() {
            Some(b'u' | b'x') if piece.get(1..2) == Some("{") => {
                piece.get(2..).and_then(|number| number_before(number, 16, '}'))
            }
            Some(b'u' | b'U') => code(1, 4, 16).or_else(|| code(1, 8, 16)),
            Some(b'x') => code(1, 2, 16),
            Some(b'0'..=b'3') => code(0, 3, 8),
            Some(b'n' | b'r' | b't' | b'b' | b'f') => piece.get(1..).map(|rest| (' ', rest)),
            _ => None,
        };
        found.map_or((None, piece), |(c, rest)| (Some(c), rest))
    })
}

/// Decodes the parts of a text that are base64 (both alphabets), hex or base32, from each possible first character.
fn binary(text: &str) -> Vec<String> {
    let is_digit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_');
    let packed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let bare: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    let mut found: Vec<Vec<u8>> = Vec::new();
    for text in [text, &packed, &bare] {
        for part in text.split(|c| !is_digit(c)).filter(|part| part.len() >= RUN) {
            found.extend((0..4).filter_map(|start| from_base64(part.get(start..)?)));
            found.extend((0..8).filter_map(|start| from_base32(part.get(start..)?)));
        }
        for part in text.split(|c: char| !c.is_ascii_hexdigit()).filter(|part| part.len() >= RUN) {
            found.extend((0..2).filter_map(|start| Some(from_hex(part.get(start..)?))));
        }
    }
    found.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
}

pub(super) fn from_base64(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.replace('-', "+").replace('_', "/");
    // One digit alone has too few bits for a byte.
    let end = digits.len() - usize::from(digits.len() % 4 == 1);
    BASE64.decode(digits.get(..end)?).ok()
}

/// Decodes base32 (RFC 4648) in either case. Returns only text, because ordinary words decode to noise.
fn from_base32(digits: &str) -> Option<Vec<u8>> {
    let mut bits = 0_u64;
    let (mut count, mut bytes) = (0, Vec::new());
    for digit in digits.bytes() {
        let value = match digit.to_ascii_lowercase() {
            letter @ b'a'..=b'z' => letter - b'a',
            number @ b'2'..=b'7' => number - b'2' + 26,
            _ => break,
        };
        (bits, count) = (bits << 5 | u64::from(value), count + 5);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    is_text(&String::from_utf8_lossy(&bytes)).then_some(bytes)
}

fn from_hex(digits: &str) -> Vec<u8> {
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.as_bytes().as_chunks().0.iter().filter_map(byte).collect()
}

/// Whether decoded bytes are mostly text. Ordinary words decode to noise, which is not decoded again.
fn is_text(text: &str) -> bool {
    let noise = text.chars().filter(|c| c.is_control() || *c == char::REPLACEMENT_CHARACTER).count();
    noise * 4 < text.chars().count()
}

/// Accepts parts of base64 texts: without padding, and with any bits in the last character.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
