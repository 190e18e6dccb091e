//! `broker doctor`: finds problems that prevent getting a token, and changes nothing.

mod configuration;
mod logins;
mod network;
mod state;

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use broker_core::platform::is_own;
use broker_core::sanitize;
use broker_core::tools::Finding;
use earthbroker::{Broker, Error, ErrorKind, Status};
use serde_json::{Value, json};

use super::{CommandContext, CommandResult, answer, answer_json, separate};
use crate::args::Doctor;
use crate::humanize;
use crate::report::ExitError;
use crate::report::hint;
use crate::terminal::{colours, paint};

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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ok,
    Skipped,
    /// A failed check that only the JSON report lists: one error in the text report covers several providers.
    Summarized,
    /// A problem that should be fixed, although tokens still work.
    Warning,
    /// A problem that prevents getting a token.
    Error,
}

impl Outcome {
    /// Returns the word that the report shows for the outcome, and the word's colour.
    fn word(self) -> (&'static str, u8) {
        match self {
            Self::Ok => ("ok", 32),
            Self::Skipped | Self::Summarized => ("skipped", 2),
            Self::Warning => ("warning", 33),
            Self::Error => ("error", 31),
        }
    }
}

/// A check and its outcome. The part of `id` before the dot is the check's group.
struct Check {
    id: &'static str,
    provider: Option<String>,
    message: String,
    outcome: Outcome,
    /// How the user fixes a warning or an error.
    fix: Option<String>,
}

#[derive(Default)]
struct Report(Vec<Check>);

impl Report {
    fn ok(&mut self, id: &'static str, provider: Option<&str>, message: impl Into<String>) {
        self.add(Outcome::Ok, id, provider, message, None);
    }

    fn skipped(&mut self, id: &'static str, provider: Option<&str>, message: impl Into<String>) {
        self.add(Outcome::Skipped, id, provider, message, None);
    }

    /// Adds an error of the broker. `fix` is for an error without a hint.
    fn failed(&mut self, id: &'static str, provider: Option<&str>, error: &Error, fix: &str) {
        self.error(id, provider, error.message(), hint(error).as_deref().unwrap_or(fix));
    }

    fn error(&mut self, id: &'static str, provider: Option<&str>, message: &str, fix: &str) {
        self.add(Outcome::Error, id, provider, message, Some(fix));
    }

    fn warning(&mut self, id: &'static str, provider: Option<&str>, message: &str, fix: &str) {
        self.add(Outcome::Warning, id, provider, message, Some(fix));
    }

    fn add(
        &mut self,
        outcome: Outcome,
        id: &'static str,
        provider: Option<&str>,
        message: impl Into<String>,
        fix: Option<&str>,
    ) {
        let (provider, fix) = (provider.map(str::to_owned), fix.map(str::to_owned));
        self.0.push(Check { id, provider, message: message.into(), outcome, fix });
    }

    fn count(&self, of: Outcome) -> usize {
        self.0.iter().filter(|check| check.outcome == of).count()
    }

    fn is_clean(&self) -> bool {
        self.0.iter().all(|check| check.fix.is_none())
    }

    fn json(&self) -> Value {
        let finding = |check: &Check| {
            json!({
                "id": check.id,
                "severity": check.outcome.word().0,
                "provider": check.provider,
                "message": check.message,
                "fix": check.fix,
            })
        };
        let problems = self.0.iter().filter(|check| check.fix.is_some());
        let check_object = |check: &Check| {
            let ok = Some(check.outcome == Outcome::Ok).filter(|_| check.outcome != Outcome::Skipped);
            json!({ "id": check.id, "provider": check.provider, "ok": ok, "message": check.message })
        };
        json!({
            "version": 1,
            "findings": problems.map(finding).collect::<Vec<_>>(),
            "checks": self.0.iter().map(check_object).collect::<Vec<_>>(),
        })
    }

    /// Returns the report as text: a line for each check, below the name of its group, and the fix of each problem.
    fn text(&self, colours: bool, width: usize) -> String {
        let name = |check: &Check| check.id.split('.').next().unwrap_or_default();
        let listed: Vec<_> = self.0.iter().filter(|check| check.outcome != Outcome::Summarized).collect();
        let groups = listed.chunk_by(|check, next| name(check) == name(next)).map(|group| {
            let lines = group.iter().map(|check| line(check, colours, width));
            [paint(colours, 1, name(group[0]))].into_iter().chain(lines).collect::<Vec<_>>().join("\n")
        });
        format!("{}\n\n{}\n", groups.collect::<Vec<_>>().join("\n\n"), self.sum())
    }

    fn sum(&self) -> String {
        let counted = |number, what| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        match (self.count(Outcome::Error), self.count(Outcome::Warning)) {
            (0, 0) => "no problems found".to_owned(),
            (errors, 0) => counted(errors, "error"),
            (0, warnings) => counted(warnings, "warning"),
            (errors, warnings) => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
        }
    }
}

/// The width of the column that shows `ok`, `skipped`, `warning` or `error`.
const WIDTH: usize = "warning".len();

fn line(check: &Check, colours: bool, width: usize) -> String {
    let (word, colour) = check.outcome.word();
    let margin = " ".repeat(WIDTH + 4);
    let whose = check.provider.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    // Text is sanitized, because names of files and environment variables may contain control characters.
    let indented = |text: &str| {
        let text = text.lines().map(sanitize).collect::<Vec<_>>().join("\n");
        humanize::wrap(&text, width.saturating_sub(margin.len()), 0).replace('\n', &format!("\n{margin}"))
    };
    let message = indented(&format!("{whose}{}", check.message));
    let padding = " ".repeat(WIDTH - word.len());
    let fix = check.fix.as_ref().map(|fix| format!("\n{margin}{}", indented(&format!("fix: {fix}"))));
    format!("  {}{padding}  {message}{}", paint(colours, colour, word), fix.unwrap_or_default())
}
