//! Decodes compressed bodies (RFC 9110 section 8.4.1). Requests ask for none, but gateways compress nevertheless.

use std::io::Read;

use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZFlush, MZStatus};
use zeroize::Zeroizing;

use crate::context::HttpResponse;

/// Bodies with more layers of encoding are not decoded.
const MAX_LAYERS: usize = 4;

type Bytes = Zeroizing<Vec<u8>>;

/// Decodes `raw` as far as possible, up to [`HttpResponse::LONGEST_BODY`]. `encodings` are the codings in the order of
/// the header. Returns the problem if the body is incomplete. Ignores unknown codings.
pub(super) fn decode(raw: &[u8], encodings: &[String]) -> (Bytes, Option<String>) {
    let mut body = Zeroizing::new(raw.to_vec());
    let mut problem = None;
    let named = encodings.iter().map(String::as_str).rev().take(MAX_LAYERS);
    // Some gateways compress without a header. JSON never begins with these bytes.
    for name in named.chain(std::iter::repeat_n("", MAX_LAYERS)) {
        // Some servers name an encoding and send plain text.
        if is_plain(&body) {
            continue;
        }
        let decoded = match name {
            "" => gunzip(&body),
            // Some servers name zlib gzip.
            "gzip" | "x-gzip" => gunzip(&body).or_else(|| inflated(&body, DataFormat::ZLibIgnoreChecksum)),
            // zlib (RFC 1950), or without its header (RFC 1951) from some servers.
            "deflate" | "x-deflate" => {
                inflated(&body, DataFormat::ZLibIgnoreChecksum).or_else(|| inflated(&body, DataFormat::Raw))
            }
            "br" => pulled(brotli_decompressor::Decompressor::new(&body[..], 4096)),
            "zstd" => ruzstd::decoding::StreamingDecoder::new(&body[..]).ok().and_then(pulled),
            // Some servers name a charset, such as utf-8.
            _ => continue,
        };
        let Some((decoded, ended)) = decoded else { continue };
        if !ended {
            problem.get_or_insert_with(|| problem_of(&decoded, name));
        }
        body = decoded;
    }
    (body, problem)
}

/// Whether the body is text, as far as it goes, that begins like JSON or a web page.
fn is_plain(body: &[u8]) -> bool {
    let is_text = std::str::from_utf8(body).map_or_else(|error| error.error_len().is_none(), |_| true);
    is_text && matches!(body.trim_ascii_start().first(), Some(b'{' | b'[' | b'"' | b'<') | None)
}

fn problem_of(decoded: &[u8], name: &str) -> String {
    match name {
        _ if decoded.len() >= HttpResponse::LONGEST_BODY => "the response is longer than 1 MiB".to_owned(),
        "" => problem_of(decoded, "gzip"),
        name => format!("the response has an incomplete or invalid body of the content encoding {name}"),
    }
}

/// Decodes one or several gzip members (RFC 1952 section 2.3). `None` if the body does not begin with one.
fn gunzip(body: &[u8]) -> Option<(Bytes, bool)> {
    let mut decoded = buffer();
    let mut data = after_gzip_header(body)?;
    loop {
        let (used, ended) = inflate_into(data, DataFormat::Raw, &mut decoded);
        // CRC-32 and length follow. They are not compared: the connection protects its content.
        match data.get(used + 8..).and_then(after_gzip_header) {
            Some(next) if ended => data = next,
            _ => return Some((decoded, ended)),
        }
    }
}

/// Returns what follows the header of a gzip member. An incomplete header is followed by nothing.
fn after_gzip_header(body: &[u8]) -> Option<&[u8]> {
    let [0x1f, 0x8b, rest @ ..] = body else { return None };
    let Some((&[8, flags, ..], mut rest)) = rest.split_first_chunk::<8>() else { return Some(&[]) };
    let after_text = |text: &[u8]| text.iter().position(|byte| *byte == 0).map_or(text.len(), |end| end + 1);
    if flags & 4 != 0 {
        let [low, high, ..] = *rest else { return Some(&[]) };
        rest = rest.get(2 + usize::from(u16::from_le_bytes([low, high]))..).unwrap_or_default();
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            rest = &rest[after_text(rest)..];
        }
    }
    Some(if flags & 2 == 0 { rest } else { rest.get(2..).unwrap_or_default() })
}

fn inflated(body: &[u8], format: DataFormat) -> Option<(Bytes, bool)> {
    let mut decoded = buffer();
    let (_, ended) = inflate_into(body, format, &mut decoded);
    (!decoded.is_empty()).then_some((decoded, ended))
}

/// Appends the decoded bytes to `out`. Returns the number of bytes read, and whether the stream ended.
fn inflate_into(input: &[u8], format: DataFormat, out: &mut Bytes) -> (usize, bool) {
    let mut state = InflateState::new_boxed(format);
    let mut part = Zeroizing::new([0; 4096]);
    let mut used = 0;
    loop {
        let result = inflate(&mut state, &input[used..], &mut part[..], MZFlush::None);
        used += result.bytes_consumed;
        if !append(out, &part[..result.bytes_written]) {
            return (used, false);
        }
        match result.status {
            Ok(MZStatus::StreamEnd) => return (used, true),
            Ok(_) if result.bytes_consumed + result.bytes_written > 0 => {}
            _ => return (used, false),
        }
    }
}

/// Reads a decoder to its end or to the first error. `None` if it decodes nothing.
fn pulled(mut source: impl Read) -> Option<(Bytes, bool)> {
    let mut decoded = buffer();
    // Small parts, because a decoder may drop the part in which its input ends.
    let mut part = Zeroizing::new([0; 64]);
    let ended = loop {
        match source.read(&mut part[..]) {
            Ok(0) => break true,
            Ok(read) if append(&mut decoded, &part[..read]) => {}
            _ => break false,
        }
    };
    (!decoded.is_empty()).then_some((decoded, ended))
}

/// Appends bytes up to the longest body. Returns whether all fit.
pub(super) fn append(out: &mut Bytes, part: &[u8]) -> bool {
    let free = HttpResponse::LONGEST_BODY - out.len();
    out.extend_from_slice(&part[..part.len().min(free)]);
    part.len() <= free
}

pub(super) fn buffer() -> Bytes {
    // Large, because a buffer that grows leaves copies of secrets in memory.
    Zeroizing::new(Vec::with_capacity(64 * 1024))
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "tests")]
mod tests {
    use super::*;

    const PLAIN: &[u8] = br#"{"access_token":"tok"}"#;
    const GZIP: &str = "1f8b0800000000000203ab564a4c4e4e2d2e8e2fc9cf4ecd53b25202d24ab5004ec0318716000000";
    const ZLIB: &str = "789cab564a4c4e4e2d2e8e2fc9cf4ecd53b25202d24ab5005e1e07fb";
    const DEFLATE: &str = "ab564a4c4e4e2d2e8e2fc9cf4ecd53b25202d24ab500";
    const BROTLI: &str = "8b0a807b226163636573735f746f6b656e223a22746f6b227d03";
    const ZSTD: &str = "28b52ffd0458b100007b226163636573735f746f6b656e223a22746f6b227d823cf6fd";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<_> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
        digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap_or_default()).collect()
    }

    fn gzip(body: &[u8], flags: u8, fields: &[u8]) -> Vec<u8> {
        let data = miniz_oxide::deflate::compress_to_vec(body, 6);
        [&[0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3], fields, &data, &[0; 8]].concat()
    }

    fn names(header: &str) -> Vec<String> {
        header.split(", ").map(str::to_owned).collect()
    }

    #[test]
    fn encoded_bodies_are_decoded() {
        let twice = gzip(&bytes(GZIP), 0, &[]);
        let members = [gzip(&PLAIN[..9], 0, &[]), gzip(&PLAIN[9..], 0, &[])].concat();
        let fields = gzip(PLAIN, 4 | 8 | 16 | 2, b"\x02\0abname\0comment\0cc");
        let mixed = gzip(&bytes(ZLIB), 0, &[]);
        for (header, body) in [
            ("gzip", bytes(GZIP)),
            ("x-gzip", bytes(GZIP)),
            ("deflate", bytes(ZLIB)),
            ("deflate", bytes(DEFLATE)),
            ("br", bytes(BROTLI)),
            ("zstd", bytes(ZSTD)),
            ("identity", PLAIN.to_vec()),
            ("utf-8", PLAIN.to_vec()),
            ("gzip, utf-8", bytes(GZIP)),
            ("utf-8, br", bytes(BROTLI)),
            ("", PLAIN.to_vec()),
            ("gzip", members),
            ("gzip", fields),
            ("deflate, gzip", mixed),
            ("gzip, gzip", twice.clone()),
            // The header is wrong or missing.
            ("gzip", PLAIN.to_vec()),
            ("gzip", bytes(ZLIB)),
            ("deflate", PLAIN.to_vec()),
            ("br", PLAIN.to_vec()),
            ("zstd", PLAIN.to_vec()),
            ("gzip", twice.clone()),
            ("", bytes(GZIP)),
            ("", twice),
            ("identity, identity", bytes(GZIP)),
        ] {
            let (decoded, problem) = decode(&body, &names(header));
            assert_eq!((&**decoded, problem), (PLAIN, None), "{header}");
        }
    }

    #[test]
    fn cut_body_is_decoded_as_far_as_it_goes() {
        let stored = [&bytes(GZIP)[..10], &[0, 22, 0, 0xe9, 0xff], PLAIN].concat();
        for length in 16..stored.len() {
            let (decoded, problem) = decode(&stored[..length], &names("gzip"));
            assert_eq!(&**decoded, &PLAIN[..length - 15], "{length}");
            assert!(problem.is_some(), "{length}");
        }
        for (header, body, least) in [("gzip", GZIP, 14), ("deflate", ZLIB, 14), ("br", BROTLI, 0)] {
            let body = bytes(body);
            for length in 0..body.len() {
                let (decoded, _) = decode(&body[..length], &names(header));
                let is_start = PLAIN.starts_with(&decoded) || **decoded == body[..length];
                assert!(is_start, "{header} {length}");
                assert!(length + 9 < body.len() || decoded.len() >= least, "{header} {length}");
            }
        }
    }

    #[test]
    fn decoded_body_is_bounded() {
        let bomb = gzip(&vec![b'x'; 4 * HttpResponse::LONGEST_BODY], 0, &[]);
        let (decoded, problem) = decode(&bomb, &names("gzip"));
        assert_eq!(decoded.len(), HttpResponse::LONGEST_BODY);
        assert!(problem.is_some_and(|problem| problem.contains("1 MiB")));
        assert_eq!((&**decode(b"abc", &names("utf-8")).0), b"abc");
        let many = names(&["gzip"; 9].join(", "));
        assert_eq!(&**decode(PLAIN, &many).0, PLAIN);
    }
}
