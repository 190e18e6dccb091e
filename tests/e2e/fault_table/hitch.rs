//! The faults, under names that people read.

use std::time::Duration;

use broker_testkit::Fault;
use serde_json::Value;

/// How long a service asks to be left alone, in seconds: longer than the broker waits for.
pub(crate) const LEFT_ALONE: i64 = 120;

/// A fault of the table.
pub(crate) struct Hitch {
    pub(crate) name: &'static str,
    pub(crate) fault: Fault,
    /// It meets the first request only, not every one.
    pub(crate) once: bool,
}

impl Hitch {
    /// The service has acted, and its answer never comes: what it gave is lost.
    pub(crate) fn loses_the_answer(&self) -> bool {
        matches!(self.fault, Fault::HangAfter | Fault::CutAfter | Fault::Truncated)
    }

    /// The service has acted.
    pub(crate) fn acts(&self) -> bool {
        self.loses_the_answer() || matches!(self.fault, Fault::Edit(_) | Fault::Delay(_))
    }

    /// What came is a page for people, which says nothing about the request.
    pub(crate) fn is_a_page(&self) -> bool {
        matches!(self.fault, Fault::Html(_))
    }

    pub(crate) fn asks_to_be_left_alone(&self) -> bool {
        matches!(self.fault, Fault::Answer { .. }) && !self.once
    }

    /// It changes a field of a token's answer.
    pub(crate) fn edits(&self) -> bool {
        matches!(self.fault, Fault::Edit(_))
    }

    pub(crate) fn is_no_fault(&self) -> bool {
        matches!(self.fault, Fault::Delay(_))
    }
}

/// Every fault of the testkit.
pub(crate) fn hitches() -> Vec<Hitch> {
    let left_alone = vec![("Retry-After".to_owned(), LEFT_ALONE.to_string())];
    let always = [
        ("429", Fault::Status(429)),
        ("429, Retry-After: 120", Fault::Answer { status: 429, headers: left_alone, body: String::new() }),
        ("500", Fault::Status(500)),
        ("503", Fault::Status(503)),
        ("answer after 0.2 s", Fault::Delay(Duration::from_millis(200))),
        ("no answer, nothing done", Fault::Hang),
        ("no answer, but done", Fault::HangAfter),
        ("cut, nothing done", Fault::CutBefore),
        ("cut, but done", Fault::CutAfter),
        ("cut in half, but done", Fault::Truncated),
        ("bytes that are no text", Fault::Garbage),
        ("web page, 200", Fault::Html(200)),
        ("web page, 401", Fault::Html(401)),
        ("empty, 200", Fault::Empty(200)),
        ("10 MB", Fault::Huge(10_000_000)),
        ("redirect", Fault::Redirect("https://elsewhere.example/steal".to_owned())),
        ("answer without its secret", Fault::edit(without_secrets)),
        ("expires_in: \"soon\"", Fault::edit(|answer| expires_in(answer, "soon".into()))),
        ("expires_in: -5", Fault::edit(|answer| expires_in(answer, (-5).into()))),
    ];
    let a_moment = vec![("Retry-After".to_owned(), "2".to_owned())];
    let once = [
        ("503, once", Fault::Status(503)),
        ("429, Retry-After: 2, once", Fault::Answer { status: 429, headers: a_moment, body: String::new() }),
        ("cut, but done, once", Fault::CutAfter),
    ];
    let hitch = |once| move |(name, fault)| Hitch { name, fault, once };
    always.into_iter().map(hitch(false)).chain(once.into_iter().map(hitch(true))).collect()
}

/// Whatever the answer was asked for is not in it; a refresh token is.
fn without_secrets(answer: &mut Value) {
    if let Some(answer) = answer.as_object_mut() {
        for key in ["device_code", "access_token", "access", "token_value"] {
            answer.remove(key);
        }
    }
}

fn expires_in(answer: &mut Value, life: Value) {
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("expires_in".to_owned(), life);
    }
}
