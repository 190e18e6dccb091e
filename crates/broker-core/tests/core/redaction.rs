//! Tests that no text shows a secret of the request, however the service spells it.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use broker_core::{Secret, WITHHELD, redact};
use url::form_urlencoded::byte_serialize;

const SECRET: &str = "s3cr+t/with:odd%41chars&=Kanarie";

fn each(text: &str, write: impl Fn(&mut String, char)) -> String {
    text.chars().fold(String::new(), |mut all, c| {
        write(&mut all, c);
        all
    })
}

fn percent(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

fn base32(text: &str) -> String {
    let bits = each(text, |all, c| write!(all, "{:08b}", u32::from(c)).expect("bits"));
    let digit = |bits: &[u8]| {
        let bits = std::str::from_utf8(bits).expect("ASCII");
        let value = usize::from_str_radix(&format!("{bits:0<5}"), 2).expect("bits");
        char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[value])
    };
    bits.as_bytes().chunks(5).map(digit).collect()
}

fn spellings(text: &str) -> Vec<(&'static str, String)> {
    let json = serde_json::to_string(text).expect("JSON");
    let hex = each(text, |all, c| write!(all, "{:02x}", u32::from(c)).expect("hex"));
    vec![
        ("plain", text.to_owned()),
        ("JSON", json.clone()),
        ("JSON in JSON", serde_json::to_string(&json).expect("JSON")),
        ("PHP's JSON", json.replace('/', "\\/")),
        ("Unicode escapes", each(text, |all, c| write!(all, "\\u{:04X}", u32::from(c)).expect("hex"))),
        ("JavaScript's escape()", each(text, |all, c| write!(all, "%u{:04x}", u32::from(c)).expect("hex"))),
        ("Python's bytes", each(text, |all, c| write!(all, "\\x{:02x}", u32::from(c)).expect("hex"))),
        ("octal", each(text, |all, c| write!(all, "\\{:03o}", u32::from(c)).expect("octal"))),
        ("percent", percent(text)),
        ("percent, lower case", percent(text).to_lowercase()),
        ("percent, all", each(text, |all, c| write!(all, "%{:02X}", u32::from(c)).expect("hex"))),
        ("percent twice", percent(&percent(text))),
        ("quoted-printable", each(text, |all, c| write!(all, "={:02X}", u32::from(c)).expect("hex"))),
        ("entities", text.replace('&', "&amp;").replace('/', "&sol;")),
        ("numeric entities", each(text, |all, c| write!(all, "&#{};", u32::from(c)).expect("a number"))),
        ("hex entities", each(text, |all, c| write!(all, "&#x{:x};", u32::from(c)).expect("hex"))),
        ("base64", STANDARD.encode(text)),
        ("base64url", URL_SAFE_NO_PAD.encode(text)),
        ("base64 of id:secret", STANDARD_NO_PAD.encode(format!("some-id:{text}"))),
        ("base64 of form-encoded", STANDARD.encode(format!("id:{}", percent(text)))),
        ("base64, percent", percent(&STANDARD.encode(text))),
        ("base64 twice", STANDARD.encode(STANDARD.encode(text))),
        ("base64 without its first characters", STANDARD.encode(text)[3..].to_owned()),
        ("base64 with line breaks", STANDARD.encode(text).replace('a', "a\n")),
        ("hex", hex.clone()),
        ("hex, upper case", hex.to_uppercase()),
        (
            "hex with colons",
            hex.chars()
                .collect::<Vec<_>>()
                .chunks(2)
                .map(|pair| pair.iter().collect::<String>())
                .collect::<Vec<_>>()
                .join(":"),
        ),
        ("hex of C", each(text, |all, c| write!(all, "0x{:02x}, ", u32::from(c)).expect("hex"))),
        ("code points", each(text, |all, c| write!(all, "U+{:04X} ", u32::from(c)).expect("hex"))),
        ("bits", each(text, |all, c| write!(all, "{:08b} ", u32::from(c)).expect("bits"))),
        ("list of numbers", format!("{:?}", text.as_bytes())),
        ("Rust's escapes", each(text, |all, c| write!(all, "\\u{{{:x}}}", u32::from(c)).expect("hex"))),
        ("Rust's escapes of symbols", text[..11].replace('+', "\\u{2b}").replace('/', "\\u{2f}")),
        ("open entities", each(text, |all, c| write!(all, "&#{} ", u32::from(c)).expect("a number"))),
        ("open entities of symbols", text[..11].replace('+', "&#43").replace('/', "&#47")),
        ("base32", base32(text)),
        ("base32, lower case", base32(text).to_lowercase()),
        ("base64, reversed", STANDARD.encode(text).chars().rev().collect()),
        ("fullwidth", each(text, |all, c| all.extend(char::from_u32(u32::from(c) + 0xfee0)))),
        ("masked", format!("{}****{}", &text[..7], &text[text.len() - 7..])),
        ("start with symbols", text[..9].to_owned()),
        ("upper case", text.to_uppercase()),
        ("line break inside", format!("{}\n{}", &text[..10], &text[10..])),
        ("blanks between", each(text, |all, c| write!(all, "{c} ").expect("text"))),
        ("dashes between", each(text, |all, c| write!(all, "{c}-").expect("text"))),
        ("reversed", text.chars().rev().collect()),
        ("first half", text[..16].to_owned()),
        ("last half", text[16..].to_owned()),
        ("middle", text[10..22].to_owned()),
    ]
}

#[test]
fn text_that_repeats_a_secret_in_any_spelling_is_withheld() {
    let secret = Secret::new(SECRET);
    for (what, spelling) in spellings(SECRET) {
        for text in [spelling.clone(), format!("bad value: {spelling} (of the request)")] {
            assert_eq!(redact(&text, &[&secret]), WITHHELD, "{what}: {text}");
        }
    }
}

#[test]
fn short_secret_is_withheld_only_as_a_whole() {
    let withheld = |secret: &str, text: &str| redact(text, &[&Secret::new(secret)]) == WITHHELD;
    assert!(withheld("hunter2", "wrong: hunter2") && withheld("hunter2", "wrong: HUNTER2!"));
    assert!(!withheld("hunter2", "wrong: hunter"));
    assert!(withheld("x1", "password x1 is wrong") && !withheld("x1", "box1 is closed"));
    assert!(withheld("!!??//", "wrong: !!??//") && withheld("!!??//", "wrong: %21%21%3F%3F%2F%2F"));
    assert!(!withheld("!!??//", "what? why!") && !withheld("", "anything"));
}

#[test]
fn ordinary_text_is_shown() {
    let secrets =
        ["eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl", "8xLOxBtZp8", SECRET].map(Secret::new);
    let secrets: Vec<_> = secrets.iter().collect();
    for text in [
        "Invalid refresh token (expired): the session of ada has ended (invalid_grant) [HTTP 400]",
        "AADSTS700082: The refresh token has expired due to inactivity. Trace ID: 6f5e2a80-6f6c-4c0b-9d2e-0c1b5a7d3e00",
        "Client authentication failed due to unknown client, no client authentication included",
        "No active account found with the given credentials",
    ] {
        assert_eq!(redact(text, &secrets), text);
    }
    assert_eq!(redact("a\u{1b}[31mb\u{202e}", &secrets), "a [31mb ");
    assert_eq!(redact(&"long ".repeat(100), &secrets).chars().count(), 301);
}
