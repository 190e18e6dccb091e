//! One cell: a request meets a fault, and then none.

use std::os::unix::fs::PermissionsExt;

use broker_e2e::{Run, Sandbox, join_shared};
use chrono::TimeDelta;
use serde_json::Value;

use super::hitch::{Hitch, LEFT_ALONE};
use super::request::{Request, Service, Stage};
use super::table;

/// What came of a fault.
pub(crate) struct Cell {
    pub(crate) exit: i32,
    pub(crate) words: String,
    pub(crate) disk: String,
    pub(crate) next: String,
    /// What must never be, and was.
    pub(crate) broken: Vec<String>,
}

/// What is on disk for a provider.
struct Disk {
    record: Option<Value>,
    broken: Vec<String>,
}

/// Has the request sent while its route is at fault, and once more when it is well again.
pub(crate) fn run(request: &Request, stage: &Stage, hitch: &Hitch) -> Cell {
    let (home, service) = (stage.copy(), &stage.service);
    let before = look(&home, request.kind).record;
    if request.once || hitch.once {
        service.fault(request.route, hitch.fault.clone());
    } else {
        service.fault_always(request.route, hitch.fault.clone());
    }
    let first = home.broker(request.words);
    service.clear_faults();
    let after = look(&home, request.kind);
    let mut broken = after.broken;
    let record = after.record;
    let read = table::words(&first.err, request.kind, service.url());
    broken.extend(broken_by(&first, request, hitch, service));
    let given_up = request.words[0] == "logout" && first.code == 0;
    let honestly_lost = is_honest(request, hitch) && first.code == 3;
    if !given_up && !honestly_lost {
        broken.extend(lost_login(before.as_ref(), record.as_ref(), service));
    }
    if hitch.asks_to_be_left_alone() && record.is_some() {
        home.age(request.kind, TimeDelta::seconds(LEFT_ALONE + 1));
    }
    // After a login that went well nobody logs in again.
    let words =
        if request.words[0] == "login" && first.code == 0 { &["token", request.kind] } else { request.words };
    let next = home.broker(words);
    let disk = told(before.as_ref(), record.as_ref());
    broken.extend(broken_after(&next, words[0], before.as_ref(), request, hitch, service, &home));
    let next = match next.code {
        0 => "works".to_owned(),
        code => format!("exit {code}: {}", table::words(&next.err, request.kind, service.url())),
    };
    Cell { exit: first.code, words: read, disk, next, broken }
}

/// Whether what is lost here could not have been kept by any client.
fn is_honest(request: &Request, hitch: &Hitch) -> bool {
    request.unrepeatable && hitch.loses_the_answer()
}

/// What must never come of a fault.
fn broken_by(run: &Run, request: &Request, hitch: &Hitch, service: &Service) -> Vec<String> {
    let asks = request.words[0] == "token";
    let err = run.err.to_lowercase();
    let honest = is_honest(request, hitch);
    let mut broken = Vec::new();
    let mut never = |is: bool, what: &str| {
        if is {
            broken.push(format!("{what} (exit {})", run.code));
        }
    };
    let fine = matches!(run.code, 0 | 4) || honest && run.code == 3;
    never(!fine, "a fault is neither waited out nor exit 4");
    never(hitch.is_no_fault() && run.code != 0, "an answer that takes a moment is a fault");
    never(run.code != 0 && !err.contains(request.kind), "the provider is not named");
    never(run.code != 0 && !run.out.is_empty(), "stdout is not empty");
    never(asks && run.code == 4 && err.contains("login"), "a fault is called a matter of the login");
    never(asks && run.code == 0 && !service.is_live(run.out.trim_end()), "the token is not good");
    let claims = request.words[0] == "logout" && run.code == 0;
    never(claims && hitch.is_a_page() && !hitch.once, "a web page is taken for a success");
    broken
}

/// What must never be after the next call.
fn broken_after(
    run: &Run,
    command: &str,
    before: Option<&Value>,
    request: &Request,
    hitch: &Hitch,
    service: &Service,
    home: &Sandbox,
) -> Vec<String> {
    let disk = look(home, request.kind);
    let mut broken = disk.broken;
    let lost = is_honest(request, hitch) && run.code == 3 && run.err.contains("broker login");
    if run.code != 0 && !lost {
        broken.push(format!("the next call ends with {}: {}", run.code, run.err));
    }
    if run.code != 0 {
        return broken;
    }
    let token = match command {
        "login" => home.broker(&["token", request.kind]).out,
        _ => run.out.clone(),
    };
    let gone = command == "logout";
    if !gone {
        broken.extend(lost_login(before, disk.record.as_ref(), service));
    }
    if gone && disk.record.is_some() {
        broken.push("a logout leaves a record".to_owned());
    }
    if !gone && !service.is_live(token.trim_end()) {
        broken.push("the next call's token is not good".to_owned());
    }
    broken
}

/// Whether a login that was held before the fault is held no more.
fn lost_login(before: Option<&Value>, after: Option<&Value>, service: &Service) -> Option<String> {
    let held = secret(before)?;
    let Some(kept) = secret(after) else { return Some("the refresh token is gone".to_owned()) };
    let refused = after.is_some_and(|record| !record["grant"]["refused_at"].is_null());
    let new_and_bad =
        kept != held && matches!(service, Service::EarthScope(service) if !service.is_live(kept));
    (refused || new_and_bad).then(|| "the refresh token is marked as refused, or is no good".to_owned())
}

fn secret(record: Option<&Value>) -> Option<&str> {
    record?["grant"]["secret"].as_str()
}

/// Reads what is on disk: a whole record that only its owner can read, and nothing half done.
fn look(home: &Sandbox, kind: &str) -> Disk {
    let mut broken = Vec::new();
    for file in std::fs::read_dir(home.state()).into_iter().flatten().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        let mode = file.metadata().expect("a file").permissions().mode() & 0o777;
        if ![format!("{kind}.json"), format!("{kind}.lock")].contains(&name) || mode != 0o600 {
            broken.push(format!("there is {name} with mode {mode:o}"));
        }
    }
    let record = std::fs::read(home.record_path(kind)).ok().and_then(|bytes| {
        let mut read = serde_json::from_slice::<Value>(&bytes).ok().filter(|record| record["version"] == 1);
        read.as_mut().into_iter().for_each(join_shared);
        if read.is_none() {
            broken.push("the record is not whole".to_owned());
        }
        read
    });
    Disk { record, broken }
}

/// What is on disk, in words.
fn told(before: Option<&Value>, after: Option<&Value>) -> String {
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
    let had = before.map(tokens).unwrap_or_default();
    if tokens(record).iter().any(|token| !had.contains(token)) {
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
