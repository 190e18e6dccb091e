//! What can go wrong between a caller and a service, and which request it happens to.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::Value;

use super::http::Reply;

/// One thing that goes wrong with one request.
#[derive(Clone)]
pub enum Fault {
    /// That status and its name as plain text; the service did not act.
    Status(u16),
    /// That answer, literally; the service did not act.
    Answer {
        /// Its status.
        status: u16,
        /// Its headers.
        headers: Vec<(String, String)>,
        /// Its body.
        body: String,
    },
    /// The service waits that long, then acts and answers as always, also when the caller has hung up meanwhile.
    Delay(Duration),
    /// No answer before the server stops; the service did not act.
    Hang,
    /// The service acted; no answer before the server stops.
    HangAfter,
    /// The connection is closed without a byte; the service did not act.
    CutBefore,
    /// The service acted, then the connection is closed without a byte.
    CutAfter,
    /// The service acted; the head promises the whole body, half of it comes, then the connection is closed.
    Truncated,
    /// 200 and bytes that are neither JSON nor text; the service did not act.
    Garbage,
    /// An HTML page with that status, as a proxy or a captive portal sends it; the service did not act.
    Html(u16),
    /// That status and no body; the service did not act.
    Empty(u16),
    /// 200 and that many bytes that begin like JSON; the service did not act.
    Huge(usize),
    /// 302 to that address; the service did not act.
    Redirect(String),
    /// The service acted; its JSON answer is changed.
    Edit(Arc<dyn Fn(&mut Value) + Send + Sync>),
}

impl Fault {
    /// [`Fault::Edit`] of a closure.
    pub fn edit(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        Self::Edit(Arc::new(change))
    }

    /// The answer given in place of the service's, for the faults that are one.
    pub(super) fn answer(&self) -> Option<Reply> {
        Some(match self {
            Self::Status(status) => Reply::text(*status, status_name(*status)),
            Self::Answer { status, headers, body } => {
                Reply { status: *status, headers: headers.clone(), body: body.clone().into_bytes() }
            }
            Self::Garbage => Reply::new(200, "application/json", garbage()),
            Self::Html(status) => Reply::html(*status, &page(*status)),
            Self::Empty(status) => Reply::empty(*status),
            Self::Huge(len) => Reply::new(200, "application/json", huge(*len)),
            Self::Redirect(to) => Reply::empty(302).with_header("location", to),
            _ => return None,
        })
    }

    /// Whether the service acts though the caller does not get its answer as it was.
    pub(super) fn acts(&self) -> bool {
        matches!(self, Self::HangAfter | Self::CutAfter | Self::Truncated | Self::Edit(_))
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delay(time) => write!(f, "Delay({time:?})"),
            Self::Hang => f.write_str("Hang"),
            Self::HangAfter => f.write_str("HangAfter"),
            Self::CutBefore => f.write_str("CutBefore"),
            Self::CutAfter => f.write_str("CutAfter"),
            Self::Truncated => f.write_str("Truncated"),
            Self::Garbage => f.write_str("Garbage"),
            Self::Edit(_) => f.write_str("Edit"),
            Self::Status(status) => write!(f, "Status({status})"),
            Self::Answer { status, .. } => write!(f, "Answer({status})"),
            Self::Html(status) => write!(f, "Html({status})"),
            Self::Empty(status) => write!(f, "Empty({status})"),
            Self::Huge(len) => write!(f, "Huge({len})"),
            Self::Redirect(to) => write!(f, "Redirect({to:?})"),
        }
    }
}

fn status_name(status: u16) -> &'static str {
    let status = StatusCode::from_u16(status).expect("a status is 100 to 999");
    status.canonical_reason().unwrap_or("Unknown")
}

fn garbage() -> Vec<u8> {
    (0_u8..=255).rev().cycle().take(600).collect()
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

/// The faults that wait for requests.
#[derive(Default)]
pub(super) struct Faults {
    once: BTreeMap<String, VecDeque<Fault>>,
    always: BTreeMap<String, Fault>,
}

impl Faults {
    pub(super) fn once(&mut self, route: &str, fault: Fault) {
        self.once.entry(route.to_owned()).or_default().push_back(fault);
    }

    pub(super) fn always(&mut self, route: &str, fault: Fault) {
        self.always.insert(route.to_owned(), fault);
    }

    /// The fault of this request: what is queued comes before what is lasting, a route's own before that of all.
    pub(super) fn next(&mut self, route: &str) -> Option<Fault> {
        let queue = |name: &str| self.once.get_mut(name)?.pop_front();
        let queued = [route, "*"].into_iter().find_map(queue);
        let lasting = || [route, "*"].into_iter().find_map(|name| self.always.get(name));
        queued.or_else(|| lasting().cloned())
    }
}
