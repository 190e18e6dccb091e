//! Creates random opaque tokens, and JWTs with a random signature.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A text in every secret of the fake servers. Tests search outputs for this text to find leaked secrets.
const CANARY: &str = "KANARIE";

/// Returns the leak marker [`CANARY`] and random text, together as long as `len` bytes in base64.
fn with_canary(len: usize) -> String {
    let bytes: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(len).collect();
    let text = URL_SAFE_NO_PAD.encode(bytes);
    format!("{CANARY}{}", &text[CANARY.len()..])
}

/// Returns an opaque token: `prefix`, the leak marker [`CANARY`] and random text.
pub(super) fn opaque(prefix: &str) -> String {
    format!("{prefix}{}", with_canary(24))
}

/// Returns a JWT (RFC 7519) of `claims` and a unique `jti`. `jti` and signature contain the leak marker [`CANARY`].
pub(super) fn jwt(mut claims: Value) -> String {
    claims["jti"] = Value::String(opaque(""));
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": "standin"});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(&header), part(&claims), with_canary(256))
}
