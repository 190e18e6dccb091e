//! Runs the code of the services' own tools on generated files, to compare how the broker reads them.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Writes `count` generated files of a service's own tool to `folder`, and returns how the tool's code reads each.
/// Needs Python with the tool's package: `BROKER_TOOLS_PYTHON`, or else `python3`. `BROKER_TOOLS_SEED` selects other
/// files.
pub fn official_readings(tool: &str, folder: &Path, count: usize) -> Vec<Value> {
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/consumers/official.py");
    let mut command = Command::new(variable("BROKER_TOOLS_PYTHON", "python3"));
    command
        .args(["-B", script, tool])
        .arg(folder)
        .args([count.to_string(), variable("BROKER_TOOLS_SEED", "1")]);
    let output = command.output().expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let cases: Vec<Value> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!(cases.len(), count);
    cases
}
