//! Measures how long the `broker` crate takes to return a stored token, compared with the token caches of other crates.
//!
//! `stored [--json FILE] [--quick] [--check]` prints a table. `--json` also writes the table to a file. `--check` exits
//! with 1 if a stored token needs a heap allocation, or a thousand tasks cause more than one exchange.

mod cold;
mod contenders;
mod rounds;
mod service;

use std::process::ExitCode;

use serde_json::{Value, json};

/// The `Cargo.lock` of this crate, which names the versions of the other crates for the result table.
const LOCK: &str = include_str!("../Cargo.lock");

const PEERS: [&str; 5] =
    ["aws-smithy-runtime", "azure_core", "azure_identity", "google-cloud-auth", "broker"];

#[derive(Default)]
struct Options {
    json: Option<String>,
    quick: bool,
    check: bool,
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("usage: stored [--json FILE] [--quick] [--check]");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if options.check {
        return if rounds::allocates_nothing(&runtime) && cold::exchanges_once(&runtime) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    let rows = rounds::measure(&runtime, options.quick);
    if let Some(file) = options.json {
        let kept = json!({ "rows": rows, "versions": versions() });
        std::fs::write(file, format!("{kept:#}\n")).expect("the file can be written");
    }
    ExitCode::SUCCESS
}

fn options() -> Option<Options> {
    let mut options = Options::default();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--json" => options.json = Some(args.next()?),
            "--quick" => options.quick = true,
            "--check" => options.check = true,
            _ => return None,
        }
    }
    Some(options)
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
