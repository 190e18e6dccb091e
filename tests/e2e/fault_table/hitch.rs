//! The faults that the test `fault_table` injects, with their names in `fault-table.md`.

use std::time::Duration;

use broker_testkit::Fault;
use serde_json::Value;

use crate::partial::gzip;

/// The value of `Retry-After` in seconds. The broker fails instead of waiting this long.
pub(crate) const RETRY_AFTER: i64 = 120;

/// A fault of a service or connection ("hitch"), with its name in `fault-table.md`.
pub(crate) struct Hitch {
    pub(crate) name: &'static str,
    pub(crate) fault: Fault,
    /// Whether only the first request gets this fault, so that a retry succeeds.
    pub(crate) once: bool,
}

impl Hitch {
    /// Returns whether the service processes the request, but the response is lost.
    pub(crate) fn loses_the_response(&self) -> bool {
        matches!(self.fault, Fault::HangAfter | Fault::CutAfter | Fault::Truncated)
    }

    /// Returns whether the service processes a request in spite of the fault.
    pub(crate) fn acts(&self) -> bool {
        self.loses_the_response() || matches!(self.fault, Fault::Edit(_) | Fault::Delay(_) | Fault::Raw(..))
    }

    /// Returns the value for the broker's setting `timeout`: short for faults without a response.
    pub(crate) fn timeout(&self) -> &'static str {
        if matches!(self.fault, Fault::Hang | Fault::HangAfter) { "1s" } else { "1m" }
    }

    pub(crate) fn is_a_page(&self) -> bool {
        matches!(self.fault, Fault::Html(_))
    }

    pub(crate) fn asks_for_a_pause(&self) -> bool {
        matches!(&self.fault, Fault::Answer { headers, .. } if !headers.is_empty()) && !self.once
    }

    /// Returns whether a gateway answers with its own status, instead of the service.
    pub(crate) fn is_of_gateway(&self) -> bool {
        matches!(&self.fault, Fault::Answer { headers, .. } if headers.is_empty())
    }

    /// Returns whether the fault changes a field of the token response.
    pub(crate) fn edits(&self) -> bool {
        matches!(self.fault, Fault::Edit(_))
    }

    pub(crate) fn is_harmless(&self) -> bool {
        matches!(self.fault, Fault::Delay(_)) || [OPEN, GZIP].contains(&self.name)
    }
}

/// Returns all faults that the fake servers can inject.
pub(crate) fn hitches() -> Vec<Hitch> {
    let retry_after = vec![("Retry-After".to_owned(), RETRY_AFTER.to_string())];
    let always = [
        ("429", Fault::Status(429)),
        ("429, Retry-After: 120", Fault::Answer { status: 429, headers: retry_after, body: String::new() }),
        ("500", Fault::Status(500)),
        ("503", Fault::Status(503)),
        ("response after 0.2 s", Fault::Delay(Duration::from_millis(200))),
        ("no response, not done", Fault::Hang),
        ("no response, but done", Fault::HangAfter),
        ("connection lost, not done", Fault::CutBefore),
        ("connection lost, but done", Fault::CutAfter),
        ("incomplete, but done", Fault::Truncated),
        ("last byte missing, but done", Fault::raw_answer(false, without_last_byte)),
        (OPEN, Fault::raw_answer(true, open)),
        (GZIP, Fault::raw_answer(false, gzipped)),
        ("binary data", Fault::Garbage),
        ("web page, 200", Fault::Html(200)),
        ("web page, 401", Fault::Html(401)),
        ("empty, 200", Fault::Empty(200)),
        ("empty, 401", gateway(401, "")),
        ("JSON of a gateway, 404", gateway(404, r#"{"message":"no route"}"#)),
        ("10 MB", Fault::Huge(10_000_000)),
        ("redirect", Fault::Redirect("https://elsewhere.example/steal".to_owned())),
        ("response without its secret", Fault::edit(without_secrets)),
        ("expires_in: \"soon\"", Fault::edit(|answer| expires_in(answer, "soon".into()))),
        ("expires_in: -5", Fault::edit(|answer| expires_in(answer, (-5).into()))),
    ];
    let short = vec![("Retry-After".to_owned(), "2".to_owned())];
    let once = [
        ("503, once", Fault::Status(503)),
        ("429, Retry-After: 2, once", Fault::Answer { status: 429, headers: short, body: String::new() }),
        ("connection lost, but done, once", Fault::CutAfter),
    ];
    let hitch = |once| move |(name, fault)| Hitch { name, fault, once };
    always.into_iter().map(hitch(false)).chain(once.into_iter().map(hitch(true))).collect()
}

const OPEN: &str = "wrong length, stays open";
const GZIP: &str = "gzip, not asked for";

fn with_head(status: u16, length: usize, headers: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {status} x\r\n{headers}content-length: {length}\r\n\r\n").as_bytes(), body].concat()
}

fn without_last_byte(status: u16, body: &[u8]) -> Vec<u8> {
    with_head(status, body.len(), "", &body[..body.len().saturating_sub(1)])
}

fn open(status: u16, body: &[u8]) -> Vec<u8> {
    with_head(status, if body.is_empty() { 0 } else { body.len() + 50 }, "", body)
}

fn gzipped(status: u16, body: &[u8]) -> Vec<u8> {
    let body = if body.is_empty() { Vec::new() } else { gzip(body) };
    with_head(status, body.len(), "content-encoding: gzip\r\n", &body)
}

fn gateway(status: u16, body: &str) -> Fault {
    Fault::Answer { status, headers: Vec::new(), body: body.to_owned() }
}

/// Removes all secrets from a token response except the refresh token.
fn without_secrets(answer: &mut Value) {
    if let Some(answer) = answer.as_object_mut() {
        answer.retain(|key, _| {
            !["device_code", "access_token", "access", "token_value"].contains(&key.as_str())
        });
    }
}

fn expires_in(answer: &mut Value, lifetime: Value) {
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("expires_in".to_owned(), lifetime);
    }
}
