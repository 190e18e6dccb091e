//! The `broker` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    earthbroker_cli::main()
}
