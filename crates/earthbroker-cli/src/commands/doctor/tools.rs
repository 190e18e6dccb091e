//! Checks for conflicts with the services' own tools, in their files and environment variables.

use earthbroker::tools::Severity;
use earthbroker::{Config, Status};

use super::report::Report;
use crate::commands::CommandContext;

pub(super) fn check(
    context: &CommandContext<'_>,
    config: Option<&Config>,
    named: Option<&str>,
    statuses: &[Status],
    report: &mut Report,
) {
    for found in context.setup().check_tools(config, named) {
        // The login check has already reported an invalid file from which a provider reads its login.
        let is_reported =
            |status: &Status| status.invalid_login_file.is_some() && status.invalid_login_file == found.file;
        match found.severity {
            _ if statuses.iter().any(is_reported) => {}
            Severity::Error => report.error(found.id, None, &found.message, &found.fix),
            Severity::Warning => report.warning(found.id, None, &found.message, &found.fix),
            _ => report.ok(found.id, None, found.message),
        }
    }
    if context.global.env_file.is_some() {
        let what = "environment variables of other tools are ignored, because --env-file replaces them";
        report.skipped("tools.variables", None, what);
    }
}
