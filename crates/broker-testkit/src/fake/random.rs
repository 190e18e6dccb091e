//! Text that looks random: opaque tokens, and JWTs with a signature nobody can verify.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Bytes that differ at every call; std's hash seeds are all the randomness a test needs.
pub(super) fn bytes(len: usize) -> Vec<u8> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let words = std::iter::repeat_with(|| RandomState::new().hash_one(COUNT.fetch_add(1, Ordering::Relaxed)));
    words.flat_map(u64::to_ne_bytes).take(len).collect()
}

/// What every secret of a fake server has in it, so that a test can search for it where none may be.
const MARK: &str = "KANARIE";

/// Random text that begins with the mark, of the length that `len` bytes have in base64.
fn marked(len: usize) -> String {
    let text = URL_SAFE_NO_PAD.encode(bytes(len));
    format!("{MARK}{}", &text[MARK.len()..])
}

/// An opaque token: `prefix`, the mark, 25 random characters.
pub(super) fn opaque(prefix: &str) -> String {
    format!("{prefix}{}", marked(24))
}

/// A JWT (RFC 7519) of `claims` and a `jti`, unique at every call; `jti` and signature have the mark.
pub(super) fn jwt(mut claims: Value) -> String {
    claims["jti"] = Value::String(opaque(""));
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": "standin"});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(&header), part(&claims), marked(256))
}
