//! Tests one request with one fault, and then the same request without the fault.

use std::os::unix::fs::PermissionsExt;

use broker_e2e::{Run, Sandbox, join_shared};
use chrono::TimeDelta;
use serde_json::Value;

use super::hitch::{Hitch, RETRY_AFTER};
use super::request::{Request, Service, Stage};
use super::table;

/// The results of one request with one fault, as listed in `fault-table.md`.
pub(crate) struct Cell {
    pub(crate) exit: i32,
    /// The code in the message `error[CODE]`, or an empty string.
    pub(crate) code: String,
    pub(crate) stderr: String,
    pub(crate) disk: String,
    pub(crate) next: String,
    /// Results that fail the test even if `fault-table.md` lists them, such as a lost login.
    pub(crate) broken: Vec<String>,
}

/// The record of a provider, and the problems found in the files of the state folder.
struct Disk {
    record: Option<Value>,
    broken: Vec<String>,
}

/// Runs the request's command with the fault, and once more without the fault.
pub(crate) fn run(request: &Request, stage: &Stage, hitch: &Hitch) -> Cell {
    let (home, service) = (stage.copy(hitch.timeout()), &stage.service);
    let before = look(&home, request.kind).record;
    if request.once || hitch.once {
        service.fault(request.route, hitch.fault.clone());
    } else {
        service.fault_always(request.route, hitch.fault.clone());
    }
    let first = home.broker(request.words);
    service.clear_faults();
    let Disk { record, mut broken } = look(&home, request.kind);
    broken.extend(broken_by(&first, request, hitch, service));
    let logged_out = request.words[0] == "logout" && first.code == 0;
    let unavoidably_lost = is_unavoidable(request, hitch) && first.code == 3;
    if !logged_out && !unavoidably_lost {
        broken.extend(lost_login(before.as_ref(), record.as_ref(), service));
    }
    if hitch.asks_for_a_pause() && record.is_some() {
        home.age(request.kind, TimeDelta::seconds(RETRY_AFTER + 1));
    }
    // If the login succeeded, `broker token` tests the stored login.
    let words =
        if request.words[0] == "login" && first.code == 0 { &["token", request.kind] } else { request.words };
    let next = home.broker(words);
    let disk = describe(before.as_ref(), record.as_ref());
    broken.extend(broken_after(&next, words[0], before.as_ref(), request, hitch, service, &home));
    let next = match next.code {
        0 => "works".to_owned(),
        exit => format!("exit {exit}: {}", table::code(&next.err)),
    };
    Cell { exit: first.code, code: table::code(&first.err), stderr: first.err, disk, next, broken }
}

/// Returns whether the fault ends the login whatever the broker does.
fn is_unavoidable(request: &Request, hitch: &Hitch) -> bool {
    request.unrepeatable && hitch.loses_the_response()
}

/// Returns descriptions of results that no fault may cause, such as a leaked or invalid token.
fn broken_by(run: &Run, request: &Request, hitch: &Hitch, service: &Service) -> Vec<String> {
    let is_token = request.words[0] == "token";
    let err = run.err.to_lowercase();
    let unavoidable = is_unavoidable(request, hitch);
    let mut broken = Vec::new();
    let mut never = |is: bool, what: &str| {
        if is {
            broken.push(format!("{what} (exit {})", run.code));
        }
    };
    let fine = matches!(run.code, 0 | 4) || unavoidable && run.code == 3;
    never(!fine, "neither success nor exit 4");
    never(hitch.is_harmless() && run.code != 0, "a slow response fails");
    never(run.code != 0 && !err.contains(request.kind), "the provider is not named");
    never(run.code != 0 && !run.out.is_empty(), "stdout is not empty");
    never(is_token && run.code == 4 && err.contains("login"), "the error mentions the login");
    never(is_token && run.code == 0 && !service.is_live(run.out.trim_end()), "the token is not valid");
    let claims_logout = request.words[0] == "logout" && run.code == 0;
    never(claims_logout && hitch.is_a_page() && !hitch.once, "a web page counts as success");
    broken
}

/// Returns descriptions of failures of the next command, which runs without the fault.
fn broken_after(
    run: &Run,
    command: &str,
    before: Option<&Value>,
    request: &Request,
    hitch: &Hitch,
    service: &Service,
    home: &Sandbox,
) -> Vec<String> {
    let Disk { record, mut broken } = look(home, request.kind);
    let lost = is_unavoidable(request, hitch) && run.code == 3 && run.err.contains("broker login");
    if run.code != 0 && !lost {
        broken.push(format!("the next call exits with {}: {}", run.code, run.err));
    }
    if run.code != 0 {
        return broken;
    }
    if command == "logout" {
        broken.extend(record.map(|_| "a logout leaves a record".to_owned()));
        return broken;
    }
    broken.extend(lost_login(before, record.as_ref(), service));
    let token = match command {
        "login" => home.broker(&["token", request.kind]).out,
        _ => run.out.clone(),
    };
    if !service.is_live(token.trim_end()) {
        broken.push("the next token is not valid".to_owned());
    }
    broken
}

/// Returns an error text if the login from before the fault is no longer stored.
fn lost_login(before: Option<&Value>, after: Option<&Value>, service: &Service) -> Option<String> {
    let old = secret(before)?;
    let Some(new) = secret(after) else { return Some("the refresh token is lost".to_owned()) };
    let refused = after.is_some_and(|record| !record["grant"]["refused_at"].is_null());
    let new_and_invalid =
        new != old && matches!(service, Service::EarthScope(service) if !service.is_live(new));
    (refused || new_and_invalid).then(|| "the refresh token is marked as refused, or invalid".to_owned())
}

fn secret(record: Option<&Value>) -> Option<&str> {
    record?["grant"]["secret"].as_str()
}

/// Reads the record. Checks that its file is complete and private, and that the state folder has no stray files.
fn look(home: &Sandbox, kind: &str) -> Disk {
    let mut broken = Vec::new();
    for file in std::fs::read_dir(home.state()).into_iter().flatten().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        let mode = file.metadata().expect("a file").permissions().mode() & 0o777;
        if ![format!("{kind}.json"), format!("{kind}.lock")].contains(&name) || mode != 0o600 {
            broken.push(format!("{name} with mode {mode:o}"));
        }
    }
    let record = std::fs::read(home.record_path(kind)).ok().and_then(|bytes| {
        let mut read = serde_json::from_slice::<Value>(&bytes).ok().filter(|record| record["version"] == 1);
        read.as_mut().into_iter().for_each(join_shared);
        if read.is_none() {
            broken.push("the record is incomplete".to_owned());
        }
        read
    });
    Disk { record, broken }
}

/// Returns the text for column `stored` of `fault-table.md`: how the fault changed the record.
fn describe(before: Option<&Value>, after: Option<&Value>) -> String {
    let Some(record) = after else { return "nothing".to_owned() };
    let mut parts = Vec::new();
    match (secret(before), secret(after)) {
        (_, Some(_)) if !record["grant"]["refused_at"].is_null() => parts.push("login marked as refused"),
        (Some(old), Some(new)) if old == new => parts.push("login as before"),
        (Some(_), Some(_)) => parts.push("login with a new refresh token"),
        (None, Some(_)) => parts.push("login"),
        (Some(_), None) => parts.push("NO LOGIN"),
        (None, None) => {}
    }
    if !record["grant"]["sent_at"].is_null() {
        parts.push("renewal noted as sent");
    }
    let old_tokens = before.map(tokens).unwrap_or_default();
    if tokens(record).iter().any(|token| !old_tokens.contains(token)) {
        parts.push("new token");
    }
    if record["failures"].as_object().is_some_and(|failures| !failures.is_empty()) {
        parts.push("failure noted");
    }
    parts.join(", ")
}

fn tokens(record: &Value) -> Vec<&str> {
    let all = record["tokens"].as_object().into_iter().flat_map(serde_json::Map::values);
    all.filter_map(|token| token["secret"].as_str()).collect()
}
