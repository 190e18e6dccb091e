//! What a held token costs through the crate, beside the caches of other people's crates and a bare map, with one
//! thread and with two; and what a thousand tasks that ask at once for a token that is not there cost beside one.
//!
//! `held [--json FILE] [--quick] [--check]`: prints a table, keeps it as JSON. With `--check` nothing is timed: it ends
//! with 1 if a held token allocates or a thousand tasks make more than one exchange.

mod cold;
mod contenders;
mod rounds;
mod service;

use std::process::ExitCode;

use serde_json::{Value, json};

/// The lock file of this crate: which versions of the peers were measured.
const LOCK: &str = include_str!("../Cargo.lock");

const PEERS: [&str; 5] =
    ["aws-smithy-runtime", "azure_core", "azure_identity", "google-cloud-auth", "broker"];

#[derive(Default)]
struct Wanted {
    json: Option<String>,
    quick: bool,
    check: bool,
}

fn main() -> ExitCode {
    let Some(wanted) = wanted() else {
        eprintln!("usage: held [--json FILE] [--quick] [--check]");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if wanted.check {
        return if rounds::allocates_nothing(&runtime) && cold::exchanges_once(&runtime) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    let mut rows = rounds::measure(&runtime, wanted.quick);
    rows.extend(cold::measure(&runtime, wanted.quick));
    if let Some(file) = wanted.json {
        let kept = json!({ "rows": rows, "versions": versions() });
        std::fs::write(file, format!("{kept:#}\n")).expect("the file can be written");
    }
    ExitCode::SUCCESS
}

fn wanted() -> Option<Wanted> {
    let mut wanted = Wanted::default();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--json" => wanted.json = Some(args.next()?),
            "--quick" => wanted.quick = true,
            "--check" => wanted.check = true,
            _ => return None,
        }
    }
    Some(wanted)
}

fn versions() -> Value {
    let mut versions = serde_json::Map::new();
    for package in LOCK.split("[[package]]") {
        let field = |key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.trim_start_matches(" = ").trim_matches('"').to_owned())
        };
        if let (Some(name), Some(version)) = (field("name"), field("version"))
            && PEERS.contains(&name.as_str())
        {
            versions.insert(name, Value::from(version));
        }
    }
    Value::Object(versions)
}
