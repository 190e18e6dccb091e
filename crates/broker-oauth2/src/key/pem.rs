//! Reads a private key from PEM text, as files, environment variables and secret managers contain it.

use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig};
use broker_core::{Error, ErrorCode, Result, Secret};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use zeroize::Zeroizing;

use super::Pair;

const NEW_KEY: &str = "create a key, and register its public key at the service: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out KEY.pem";

const CONVERT: &str = "convert the key: openssl pkcs8 -topk8 -nocrypt -in KEY -out KEY.pem";

const COPY: &str = "copy the whole key, with its first and last line";

/// Base64 with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

const BEGIN: &str = "-----BEGIN ";

/// Parses a private key: PEM with any or escaped line ends, in quotes or in base64; or base64 of DER. The key has the
/// format PKCS#8 (RFC 5208), PKCS#1 (RFC 8017) or SEC1 (RFC 5915).
pub(super) fn parse(text: &Secret) -> Result<Pair> {
    let text = text.expose();
    if text.contains(BEGIN) {
        return parse_pem(text);
    }
    let bytes = decode(text).ok_or_else(|| not_pem(text))?;
    match (std::str::from_utf8(&bytes), &bytes[..]) {
        (Ok(text), _) if text.contains(BEGIN) => parse_pem(text),
        // The version of PKCS#12 is 3 (RFC 7292 section 4).
        (_, [0x30, 0x82, _, _, 2, 1, 3, ..]) => Err(wrong("the text is PKCS#12 in base64")
            .with_hint("convert it to PEM: base64 -d FILE | openssl pkcs12 -nocerts -nodes -out KEY.pem")),
        (_, [0x30, ..]) => pair(&bytes),
        _ => Err(not_pem(text)),
    }
}

/// Parses the first private key in PEM text. A file may also contain certificates or parameters.
fn parse_pem(text: &str) -> Result<Pair> {
    let mut other = None;
    for section in text.split(BEGIN).skip(1) {
        let Some((label, rest)) = section.split_once("-----") else { continue };
        let label = label.trim();
        let Some((body, _)) = rest.split_once("-----END") else {
            return Err(
                wrong(&format!("the text ends before the line `-----END {label}-----`")).with_hint(COPY)
            );
        };
        match label {
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" if !body.contains("ENCRYPTED") => {
                return pair(&decode(body).ok_or_else(|| wrong("the key is not in base64").with_hint(COPY))?);
            }
            _ => other = other.or(Some(label)),
        }
    }
    Err(explain(other.unwrap_or_default()))
}

/// Returns the error for PEM text without a private key that can be used.
fn explain(label: &str) -> Error {
    match label {
        "CERTIFICATE" | "TRUSTED CERTIFICATE" | "X509 CERTIFICATE" => {
            wrong("the text is a certificate, but a private key is needed")
                .with_hint("set `private_key` to the private key of this certificate")
        }
        "OPENSSH PRIVATE KEY" => wrong("the key has the format of OpenSSH"),
        label if label.ends_with("PUBLIC KEY") => {
            wrong("the key is a public key, but a private key is needed")
        }
        label if label.ends_with("PRIVATE KEY") && !label.starts_with("DSA") => {
            wrong("the key is encrypted with a passphrase").with_hint(CONVERT)
        }
        label => wrong(&format!("the text is `{label}`, not a private key")),
    }
}

/// Decodes base64 text. Ignores blanks, quotes, and line ends, also those escaped as `\n`.
fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut plain = Zeroizing::new(String::with_capacity(text.len()));
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => drop(chars.next_if(|c| matches!(c, 'n' | 'r'))),
            '"' | '\'' | '\u{feff}' => {}
            c if c.is_whitespace() => {}
            '-' => plain.push('+'),
            '_' => plain.push('/'),
            c => plain.push(c),
        }
    }
    let mut bytes = Zeroizing::new(vec![0; plain.len()]);
    let length = BASE64.decode_slice(plain.as_bytes(), &mut bytes).ok().filter(|length| *length > 0)?;
    bytes.truncate(length);
    Some(bytes)
}

/// Returns the error for text that is neither PEM nor base64 of a key.
fn not_pem(text: &str) -> Error {
    let text = text.trim();
    if text.starts_with("ssh-") || text.starts_with("ecdsa-") {
        return wrong("the key is a public key of SSH, but a private key is needed");
    }
    if text.starts_with('{') {
        return wrong("the text is JSON, such as a JWK, but PEM is needed").with_hint(
            "export the key as PEM; if the JSON has a field with PEM text, set `private_key` to that text",
        );
    }
    let is_path =
        text.starts_with(['/', '~', '.']) || [".pem", ".key", ".p8"].iter().any(|end| text.ends_with(end));
    if is_path && text.len() < 300 {
        return wrong("the text is not a key, and looks like the path of a file")
            .with_hint("write the path of a key file as: private_key = { file = \"PATH\" }");
    }
    wrong("the text is not a PEM private key (`BEGIN PRIVATE KEY`)").with_hint(
        "export the key as PEM (PKCS#8) with the program that created it, and copy the whole text, with its first and last line",
    )
}

/// Reads a key in DER.
fn pair(der: &[u8]) -> Result<Pair> {
    let ecdsa = |pkcs8: &[u8]| {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &SystemRandom::new()).ok()
    };
    let rsa = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der));
    // OpenSSL writes Ed25519 keys without the public key, so the key file need not contain one.
    let ed25519 = || Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok();
    None.or_else(|| rsa.ok().map(|pair| Pair::Rsa(Box::new(pair))))
        .or_else(|| ecdsa(der).or_else(|| ecdsa(&sec1_as_pkcs8(der))).map(|pair| Pair::Ecdsa(Box::new(pair))))
        .or_else(|| ed25519().map(|pair| Pair::Ed25519(Box::new(pair))))
        .ok_or_else(|| wrong("the key is neither RSA of 2048 to 4096 bits, nor P-256, nor Ed25519"))
}

/// Wraps a SEC1 key in the PKCS#8 structure of a P-256 key (RFC 5958 section 2, RFC 5480 section 2.1.1).
fn sec1_as_pkcs8(sec1: &[u8]) -> Zeroizing<Vec<u8>> {
    const HEAD: &[u8] =
        b"\x02\x01\0\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
    // DER requires the shortest form of a length.
    let length = |length: usize| match (u8::try_from(length), length.to_be_bytes()) {
        (Ok(short), _) if short < 0x80 => vec![short],
        (Ok(long), _) => vec![0x81, long],
        (Err(_), [.., high, low]) => vec![0x82, high, low],
    };
    let inner = Zeroizing::new([&[0x04], &length(sec1.len())[..], sec1].concat());
    Zeroizing::new([&[0x30], &length(HEAD.len() + inner.len())[..], HEAD, &inner].concat())
}

fn wrong(problem: &str) -> Error {
    Error::new(ErrorCode::ConfigInvalidValue, format!("invalid `private_key`: {problem}")).with_hint(NEW_KEY)
}
