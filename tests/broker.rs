//! The `broker` program that the tests run. Cargo builds it with the tests, because it is a target of their crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    earthbroker_cli::main()
}
