//! Faults that tests inject between a client and a fake server.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::Value;

use super::http::Reply;

/// A fault that the server injects into one request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// An error with this status and a plain-text body. The service does not process the request.
    Status(u16),
    /// The server sends a response with these fields. The service does not process the request.
    Answer {
        /// The response's status.
        status: u16,
        /// The response's headers.
        headers: Vec<(String, String)>,
        /// The response's body.
        body: String,
    },
    /// The service processes the request after a delay, even if the client has disconnected.
    Delay(Duration),
    /// The server sends no response until it stops. The service does not process the request.
    Hang,
    /// The server sends no response until it stops, although the service processes the request.
    HangAfter,
    /// The server closes the connection without a response. The service does not process the request.
    CutBefore,
    /// The server closes the connection without a response after the service has processed the request.
    CutAfter,
    /// The server closes the connection after half of the body. The service processes the request.
    Truncated,
    /// Status 200 with binary data as the body. The service does not process the request.
    Garbage,
    /// An HTML page with this status, as from a captive portal. The service does not process the request.
    Html(u16),
    /// This status with an empty body. The service does not process the request.
    Empty(u16),
    /// Status 200 with a body of this size that begins like JSON. The service does not process the request.
    Huge(usize),
    /// A redirect (302) to this URL. The service does not process the request.
    Redirect(String),
    /// The closure returns another body after the service has processed the request.
    Edit(Closure),
    /// The closure returns the bytes of a whole response. With `true`, the connection then stays open.
    Raw(Closure, bool),
}

/// A test's closure, to which the server passes status and body of the service's response. `Debug` cannot show closures.
#[derive(Clone)]
pub struct Closure(pub(super) Arc<Write>);

type Write = dyn Fn(u16, &[u8]) -> Vec<u8> + Send + Sync;

impl fmt::Debug for Closure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closure")
    }
}

impl Fault {
    /// Creates a [`Fault::Edit`] from a closure that changes the response's body if the body is JSON.
    pub fn edit(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        Self::Edit(Closure(Arc::new(move |_, body| {
            let Ok(mut value) = serde_json::from_slice(body) else { return body.to_vec() };
            change(&mut value);
            value.to_string().into_bytes()
        })))
    }

    /// Creates a [`Fault::Raw`]: the server writes the closure's bytes, and closes the connection.
    pub fn raw(write: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::raw_answer(false, move |_, body| write(body))
    }

    /// Like [`Fault::raw`], with a closure that also takes the status of the service's response. With `stays_open`, the
    /// connection stays open.
    pub fn raw_answer(
        stays_open: bool,
        write: impl Fn(u16, &[u8]) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self::Raw(Closure(Arc::new(write)), stays_open)
    }

    /// Returns the response that the server sends instead of the service's. `None` if the service processes the request.
    pub(super) fn answer(&self) -> Option<Reply> {
        Some(match self {
            Self::Status(status) => Reply::text(*status, status_name(*status)),
            Self::Answer { status, headers, body } => {
                Reply { status: *status, headers: headers.clone(), body: body.clone().into_bytes() }
            }
            Self::Garbage => {
                let binary: Vec<u8> = (0..=255).rev().cycle().take(600).collect();
                Reply::new(200, "application/json", binary)
            }
            Self::Html(status) => Reply::html(*status, &page(*status)),
            Self::Empty(status) => Reply::empty(*status),
            Self::Huge(len) => Reply::new(200, "application/json", huge(*len)),
            Self::Redirect(to) => Reply::empty(302).with_header("location", to),
            // The client does not get this response, because the server hangs or closes the connection.
            Self::Hang | Self::CutBefore => Reply::empty(200),
            Self::Delay(_)
            | Self::HangAfter
            | Self::CutAfter
            | Self::Truncated
            | Self::Edit(_)
            | Self::Raw(..) => return None,
        })
    }
}

fn status_name(status: u16) -> &'static str {
    let status = StatusCode::from_u16(status).expect("a status is 100 to 999");
    status.canonical_reason().unwrap_or("Unknown")
}

fn page(status: u16) -> String {
    let name = status_name(status);
    format!(
        "<!DOCTYPE html><html><head><title>{status} {name}</title></head><body><h1>{name}</h1></body></html>"
    )
}

fn huge(len: usize) -> Vec<u8> {
    let mut body = br#"{"access_token":""#.to_vec();
    body.resize(len, b'a');
    body
}

/// The faults to inject into later requests.
#[derive(Default)]
pub(super) struct Faults {
    /// Maps the name of a route to its queued faults. Each fault applies to one request.
    pub(super) once: BTreeMap<String, VecDeque<Fault>>,
    /// Maps the name of a route to the fault that applies to all its requests.
    pub(super) always: BTreeMap<String, Fault>,
}

impl Faults {
    /// Returns the fault for the next request to the route. Queued faults precede permanent faults, and faults of the
    /// route precede faults of `*`.
    pub(super) fn next(&mut self, route: &str) -> Option<Fault> {
        let queue = |name: &str| self.once.get_mut(name)?.pop_front();
        let queued = [route, "*"].into_iter().find_map(queue);
        let permanent = || [route, "*"].into_iter().find_map(|name| self.always.get(name));
        queued.or_else(|| permanent().cloned())
    }
}
