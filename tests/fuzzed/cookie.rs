//! Fuzzes the parser of `Set-Cookie` headers, from which cookie files are written.

use broker_core::Token;
use serde_json::Value;

use super::exchange::exchange;
use super::world::PART;

/// Requests an asset cookie of EarthDaily. Each line of the input is a `Set-Cookie` header of the response.
pub fn cookie(data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let headers = lines.flat_map(|line| [b"\nset-cookie: ", line].concat());
    let separator = [PART];
    let mut input =
        [b"earthdaily cookie", &separator[..], b"200\n\n{\"access_token\":\"at\",\"expires_in\":3600}"]
            .concat();
    input.extend(separator);
    input.extend(b"204");
    input.extend(headers.filter(|byte| *byte != PART));
    input.extend(b"\n\n");
    exchange(&input);
}

/// Checks that a cookie can be written to a cookie file: one line, with tabs between the fields.
pub(super) fn check_cookie(token: &Token) {
    let cookie: Value = serde_json::from_str(token.secret().expose()).expect("a JSON object");
    for key in ["name", "value", "domain", "path"] {
        let text = cookie[key].as_str().expect("a text");
        assert!(!text.is_empty() && text.chars().all(|c| c.is_ascii_graphic()), "{key}: {text:?}");
    }
    let domain = cookie["domain"].as_str().unwrap().trim_start_matches('.');
    assert!("api.earthdaily.com".ends_with(domain) && domain.contains('.'), "the cookie is for {domain}");
    assert!(cookie["path"].as_str().unwrap().starts_with('/'));
}
