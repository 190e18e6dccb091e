//! Device codes, the responses to polls (RFC 8628 section 3.5), and the web page on which the user approves a login.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::super::http::{Reply, Seen, form_fields};
use super::super::time::Clock;
use super::super::tokens::opaque;
use super::EarthScopeOptions;

/// The user's decision about a device login. Approval takes effect after a number of polls.
#[derive(Clone, Copy)]
pub(super) enum Decision {
    ApproveAfter(usize),
    Deny,
}

struct Device {
    user_code: String,
    scope: String,
    expires: DateTime<Utc>,
    interval: TimeDelta,
    polls: usize,
    last_poll: Option<DateTime<Utc>>,
    decision: Option<Decision>,
}

impl Device {
    /// Returns whether the response to this poll is `slow_down`, which adds 5 s to the client's polling interval.
    fn too_fast(&mut self, at: DateTime<Utc>, options: &EarthScopeOptions) -> bool {
        let last = self.last_poll.replace(at);
        self.polls += 1;
        let early = options.strict_polling && last.is_some_and(|last| at < last + self.interval);
        let slow_down = early || self.polls <= options.slow_down_polls;
        if slow_down {
            self.interval += TimeDelta::seconds(5);
        }
        slow_down
    }
}

/// All device codes and the user's decisions.
pub(super) struct Codes {
    options: EarthScopeOptions,
    clock: Clock,
    /// The decision about all device logins that a test has not decided individually.
    policy: Option<Decision>,
    /// Maps device codes to device logins. A code is removed when the client gets tokens for the code.
    devices: BTreeMap<String, Device>,
    /// All user codes in the order of issue.
    pub(super) issued: Vec<String>,
}

impl Codes {
    pub(super) fn new(options: EarthScopeOptions, clock: Clock) -> Self {
        Self { options, clock, policy: None, devices: BTreeMap::new(), issued: Vec::new() }
    }

    /// Returns a new device code and its user code.
    pub(super) fn issue(&mut self, scope: String) -> (String, String) {
        let (device_code, user_code) = (opaque(""), user_code());
        let device = Device {
            user_code: user_code.clone(),
            scope,
            expires: self.clock.after(self.options.code_life),
            interval: TimeDelta::seconds(i64::try_from(self.options.interval.unwrap_or(5)).unwrap()),
            polls: 0,
            last_poll: None,
            decision: None,
        };
        self.devices.insert(device_code.clone(), device);
        self.issued.push(user_code.clone());
        (device_code, user_code)
    }

    /// Handles a poll: returns the scope of an approved device login, or the error code for the response.
    pub(super) fn poll(&mut self, device_code: &str) -> Result<String, &'static str> {
        let now = self.clock.now();
        let device = self.devices.get_mut(device_code).ok_or("invalid_grant")?;
        if device.expires <= now {
            return Err("expired_token");
        }
        if device.too_fast(now, &self.options) {
            return Err("slow_down");
        }
        match device.decision.or(self.policy) {
            Some(Decision::Deny) => Err("access_denied"),
            Some(Decision::ApproveAfter(polls)) if device.polls > polls => {
                Ok(self.devices.remove(device_code).unwrap().scope)
            }
            _ => Err("authorization_pending"),
        }
    }

    /// Sets the user's decision for a user code. Returns `false` if the code is unknown.
    pub(super) fn decide(&mut self, user_code: &str, decision: Decision) -> bool {
        let wanted = plain(user_code);
        let mut devices = self.devices.values_mut();
        let found = devices.find(|device| plain(&device.user_code) == wanted);
        found.map(|device| device.decision = Some(decision)).is_some()
    }

    /// Shows the approval page on `GET`, and approves or denies on `POST`. `user_code` is in the query or the form.
    pub(super) fn activate(&mut self, call: &Seen) -> Reply {
        let mut fields = form_fields(&call.query);
        fields.extend(call.form());
        let user_code = fields.remove("user_code").unwrap_or_default();
        if call.method == "GET" {
            return Reply::html(200, &question(&user_code));
        }
        let deny = fields.get("action").is_some_and(|action| action == "deny");
        let (decision, done) = if deny {
            (Decision::Deny, "Access denied.")
        } else {
            (Decision::ApproveAfter(0), "Device approved. You can close this page.")
        };
        if self.decide(&user_code, decision) {
            Reply::html(200, &page(done))
        } else {
            Reply::html(404, &page("Unknown code."))
        }
    }

    /// Sets the user's decision for all device logins, and overrides earlier decisions.
    pub(super) fn decide_all(&mut self, decision: Decision) {
        self.policy = Some(decision);
        for device in self.devices.values_mut() {
            device.decision = None;
        }
    }
}

fn question(user_code: &str) -> String {
    // Removes all characters that HTML would have to escape.
    let known = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    let user_code: String = user_code.chars().filter(known).collect();
    page(&format!(
        r#"<form method="post" action="/activate">
<label>Code shown by your device: <input name="user_code" value="{user_code}"></label>
<button name="action" value="approve">Approve</button>
<button name="action" value="deny">Deny</button>
</form>"#
    ))
}

fn page(content: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html><head><title>Fake server login</title></head>\n<body><h1>Fake server login</h1>\n{content}\n</body></html>\n"
    )
}

/// Creates a user code of consonants, which spell no words (RFC 8628 section 6.1).
fn user_code() -> String {
    const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
    let letter = || char::from(LETTERS[fastrand::usize(..LETTERS.len())]);
    let half = || std::iter::repeat_with(letter).take(4).collect::<String>();
    format!("{}-{}", half(), half())
}

/// Converts a user code to upper case and removes its punctuation (RFC 8628 section 6.1).
fn plain(user_code: &str) -> String {
    let letters = user_code.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|letter| letter.to_ascii_uppercase()).collect()
}
