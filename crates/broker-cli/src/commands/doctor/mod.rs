//! `broker doctor`: checks everything that a token depends on, without changing anything.

mod configuration;
mod files;
mod last_failure;
mod logins;
mod network;
mod report;
mod sealed;
mod state;
mod tools;

use broker::{Broker, Error, ErrorKind, Status};

use super::{CommandContext, CommandResult, answer};
use crate::args::Doctor;
use crate::humanize;
use crate::report::ExitError;
use crate::terminal::colours;
use report::Report;

pub(super) fn run(context: &CommandContext<'_>, args: &Doctor) -> CommandResult {
    let mut report = Report::default();
    let named = args.provider.as_deref();
    let config = configuration::check(context, named, &mut report)?;
    let broker = context.setup().open().ok();
    let (statuses, errors) = statuses(broker.as_ref(), named);
    state::check(context, &errors, &mut report);
    sealed::check(context, config.as_ref(), &statuses, &mut report);
    logins::check(config.as_ref(), &statuses, &mut report);
    network::check(context, broker.as_ref().filter(|_| !args.offline), &statuses, &mut report)?;
    tools::check(context, config.as_ref(), named, &statuses, &mut report);
    answer(&if args.json {
        format!("{}\n", report.json())
    } else {
        {
            let stdout = std::io::stdout();
            report.text(colours(&stdout), humanize::terminal_width(&stdout))
        }
    })?;
    // The printed report already contains every error.
    if report.is_clean() { Ok(()) } else { Err(ExitError::Errors(Vec::new())) }
}

/// Returns the status of each provider, and the errors of records that cannot be read.
fn statuses(broker: Option<&Broker>, named: Option<&str>) -> (Vec<Status>, Vec<Error>) {
    let all = broker.map(Broker::names).unwrap_or_default();
    let (mut statuses, mut errors) = (Vec::new(), Vec::new());
    for name in all.iter().filter(|name| named.is_none_or(|named| named == *name)) {
        match broker.map(|broker| broker.status(name)) {
            Some(Ok(status)) => statuses.push(status),
            // The configuration check has already reported these errors.
            Some(Err(error)) if error.kind() != ErrorKind::Configuration => errors.push(error),
            _ => {}
        }
    }
    (statuses, errors)
}
