//! `broker doctor`: finds problems that prevent getting a token, and changes nothing.

mod configuration;
mod logins;
mod network;
mod probe;
mod report;
mod state;

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use broker_core::platform::is_own;
use broker_core::tools::Finding;
use earthbroker::{Broker, Error, ErrorKind, Status};

use super::{CommandContext, CommandResult, answer, answer_json, separate};
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
    let records = config.as_ref().and_then(|config| Some((context.setup().records(config).ok()?, config)));
    if let Some((records, config)) = &records {
        state::sealed(records, config, &statuses, &mut report);
    }
    logins::check(config.as_ref(), &statuses, &mut report);
    network::check(broker.as_ref().filter(|_| !args.offline), &statuses, &mut report)?;
    tools(context.setup().check_tools(config.as_ref(), named), &statuses, &mut report);
    if context.global.env_file.is_some() {
        let what = "environment variables of other tools are ignored, because --env-file replaces them";
        report.skipped("tools.variables", None, what);
    }
    let stdout = std::io::stdout();
    if args.json {
        answer_json(&report.json())?;
    } else {
        let text = report.text(colours(&stdout), humanize::terminal_width(&stdout));
        answer(&humanize::displayable(&text, &stdout))?;
    }
    // The printed report already contains every error.
    if report.is_clean() { Ok(()) } else { Err(ExitError::Errors(Vec::new())) }
}

/// Reports conflicts with the services' own tools, in their files and environment variables.
fn tools(findings: Vec<Finding>, statuses: &[Status], report: &mut Report) {
    for found in findings {
        // The login check has already reported an invalid file from which a provider reads its login.
        let is_reported = statuses.iter().any(|status| status.invalid_login_file == found.invalid_file);
        match (found.fix, found.invalid_file) {
            (None, _) => report.ok(found.id, None, found.message),
            (Some(fix), None) => report.warning(found.id, None, &found.message, &fix),
            (Some(_), Some(_)) if is_reported => {}
            (Some(fix), Some(_)) => report.error(found.id, None, &found.message, &fix),
        }
    }
}

/// Returns the status of each provider, and the errors of records that cannot be read.
fn statuses(broker: Option<&Broker>, named: Option<&str>) -> (Vec<Status>, Vec<Error>) {
    let Some(broker) = broker else { return (Vec::new(), Vec::new()) };
    let (statuses, mut errors) = separate(checked(broker.names(), named).map(|name| broker.status(&name)));
    // The configuration check has already reported errors in the configuration.
    errors.retain(|error| error.kind() != ErrorKind::Configuration);
    (statuses, errors)
}

/// Returns the names of the providers to check: all, or only the provider that the user named.
fn checked(all: Vec<String>, named: Option<&str>) -> impl Iterator<Item = String> {
    all.into_iter().filter(move |name| named.is_none_or(|named| named == name))
}

/// Whether users besides root and the current user own a file or may write to it.
fn others_can_write(meta: &Metadata) -> bool {
    // In a folder with the sticky bit, other users cannot replace our files.
    let sticky = meta.is_dir() && meta.mode() & 0o1000 != 0;
    (meta.mode() & 0o022 != 0 && !sticky) || !(is_own(meta) || meta.uid() == 0)
}

/// Returns the permissions of a file as four octal digits.
fn mode(meta: &Metadata) -> String {
    format!("{:04o}", meta.mode() & 0o7777)
}
