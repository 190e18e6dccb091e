//! The `broker` program that the tests run. As a target of this crate, it is built together with the tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    broker_cli::main()
}
