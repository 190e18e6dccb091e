//! Tests that responses are read as far as they arrive, and that no part that arrived is lost.

use broker_e2e::Sandbox;
use broker_testkit::{CarbonMapper, CarbonMapperOptions, Fault, Rotation, Server};

use crate::login_kind::methane;
use crate::stage::expired_with;

const EMAIL: &str = "ada@example.org";

const JSON: &str = "content-type: application/json\r\n";

type Body = fn(&[u8]) -> Vec<u8>;

fn with_head(headers: &str, body: &[u8]) -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\n", headers.as_bytes(), b"\r\n", body].concat()
}

fn with_length(length: usize, body: &[u8]) -> Vec<u8> {
    with_head(&format!("{JSON}content-length: {length}\r\n"), body)
}

/// Returns the part of a JSON object before the value that follows its refresh token.
fn through_refresh_token(body: &[u8]) -> &[u8] {
    let text = std::str::from_utf8(body).expect("JSON");
    let start = text.find("\"refresh").expect("a refresh token");
    let end = text[start..].find(['}', ',']).map_or(text.len(), |length| start + length);
    &body[..end]
}

/// Returns the gzip encoding of a body, uncompressed (RFC 1951 section 3.2.4).
pub(crate) fn gzip(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("a short body").to_le_bytes();
    let inverse = length.map(|byte| !byte);
    [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1], &length[..], &inverse, body, &[0; 8]].concat()
}

/// Returns the ways in which a response ends after its refresh token, and whether its connection stays open.
fn endings() -> Vec<(&'static str, bool, Body)> {
    vec![
        ("cut", false, |body| with_length(body.len(), through_refresh_token(body))),
        ("cut before the last byte", false, |body| with_length(body.len(), &body[..body.len() - 1])),
        ("stall", true, |body| with_length(body.len(), through_refresh_token(body))),
        ("whole, wrong length, open", true, |body| with_length(body.len() + 50, body)),
        ("whole, no length, open", true, |body| with_head(JSON, body)),
        ("too long", false, |body| {
            let padded = [&body[..body.len() - 1], b",\"pad\":\"", &[b'x'; 1 << 20], b"\"}"].concat();
            with_length(padded.len(), &padded)
        }),
        ("endless chunks", true, |body| {
            let chunk = [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat();
            with_head(&format!("{JSON}transfer-encoding: chunked\r\n"), &chunk)
        }),
        ("broken chunk", false, |body| {
            let chunk = [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\nzzz\r\n"].concat();
            with_head(&format!("{JSON}transfer-encoding: chunked\r\n"), &chunk)
        }),
        ("gzip", false, |body| {
            let body = gzip(body);
            with_head(&format!("{JSON}content-encoding: gzip\r\ncontent-length: {}\r\n", body.len()), &body)
        }),
        ("gzip without its header", false, |body| with_length(gzip(body).len(), &gzip(body))),
        ("gzip, cut", false, |body| {
            let part = gzip(through_refresh_token(body));
            let headers = format!("{JSON}content-encoding: gzip\r\ncontent-length: {}\r\n", part.len() + 9);
            with_head(&headers, &part[..part.len() - 8])
        }),
    ]
}

/// Renews twice for each ending: the first response has the ending, the second request uses what the first returned.
fn renew(
    endings: &[(&'static str, bool, Body)],
    service: &Server,
    route: &str,
    sandbox: &Sandbox,
    provider: &str,
) {
    for &(ending, is_open, body) in endings {
        service.fault(route, Fault::raw_answer(is_open, move |_, answer| body(answer)));
        let first = sandbox.broker(&["token", provider, "--force"]);
        assert!(matches!(first.code, 0 | 4), "{ending}: {first:?}");
        let second = sandbox.broker(&["token", provider, "--force"]);
        assert_eq!(second.code, 0, "{ending}: {first:?} {second:?}");
    }
}

#[test]
fn refresh_token_that_arrived_is_kept() {
    let (service, sandbox) = expired_with(Rotation::RotateDetectReuse, 0, "timeout = \"1s\"\n");
    renew(&endings(), &service, "token", &sandbox, "earthscope");
    assert_eq!(service.reuse_events(), 0, "a replaced refresh token is never sent again");
}

#[test]
fn each_provider_keeps_a_refresh_token_that_arrived() {
    let options = CarbonMapperOptions { rotate_refresh: true, ..CarbonMapperOptions::default() };
    let service = CarbonMapper::start(options);
    let base = service.base_url();
    let own = format!("[providers.carbonmapper]\nbase_url = \"{base}\"\nemail = \"{EMAIL}\"\n");
    let sandbox = Sandbox::new().with_config(&format!("{own}{}", methane(&base)));
    let endings: Vec<_> = endings().into_iter().filter(|(name, ..)| name.contains("cut")).collect();
    for provider in ["carbonmapper", "methane"] {
        let login = ["login", provider, "--password-stdin"];
        let _ = sandbox.broker_reading(&login, "standin-password\n").ends(0);
        renew(&endings, &service, "refresh", &sandbox, provider);
    }
}
