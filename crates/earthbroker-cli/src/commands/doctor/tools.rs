//! Checks for conflicts with the services' own tools, in their files and environment variables.

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
        let is_reported = statuses.iter().any(|status| status.invalid_login_file == found.invalid_file);
        match (found.fix, found.invalid_file) {
            (None, _) => report.ok(found.id, None, found.message),
            (Some(fix), None) => report.warning(found.id, None, &found.message, &fix),
            (Some(_), Some(_)) if is_reported => {}
            (Some(fix), Some(_)) => report.error(found.id, None, &found.message, &fix),
        }
    }
    if context.global.env_file.is_some() {
        let what = "environment variables of other tools are ignored, because --env-file replaces them";
        report.skipped("tools.variables", None, what);
    }
}
