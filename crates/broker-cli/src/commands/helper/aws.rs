//! `credential_process` of Amazon's tools.

use broker::Error;
use clap::Parser;

use crate::args::{Args, Command};
use crate::commands::{Desk, Outcome, token};

/// What `broker token PROVIDER --format aws --role ROLE` does.
pub(super) fn run(desk: &Desk<'_>, provider: &str, role: &str, params: &[(String, String)]) -> Outcome {
    let mut words = vec!["broker".to_owned(), "token".to_owned(), "--format=aws".to_owned()];
    words.push(format!("--role={role}"));
    words.extend(params.iter().map(|(name, value)| format!("--param={name}={value}")));
    words.extend(["--".to_owned(), provider.to_owned()]);
    match Args::try_parse_from(words) {
        Ok(Args { command: Command::Token(args), .. }) => token::run(desk, &args),
        _ => Err(Error::usage("this role or parameter cannot be asked for").into()),
    }
}
