//! The `broker` program that the tests run, built in the same pass as the tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    broker_cli::main()
}
