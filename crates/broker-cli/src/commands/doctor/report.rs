//! The report of all checks, as text and as JSON.

use broker::sanitize;
use serde_json::{Value, json};

use crate::humanize::wrap;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// A problem that prevents getting a token.
    Error,
    /// A problem that should be fixed, although tokens still work.
    Warning,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

enum Outcome {
    Ok,
    Skipped,
    /// A failed check without its own finding. Another finding reports the common cause of several checks.
    Summarized,
    Finding {
        severity: Severity,
        fix: String,
    },
}

/// A check and its outcome. Its group is the part of the id before the dot.
struct Check {
    id: &'static str,
    provider: Option<String>,
    message: String,
    outcome: Outcome,
}

#[derive(Default)]
pub(super) struct Report {
    checks: Vec<Check>,
}

impl Report {
    pub(super) fn ok(&mut self, id: &'static str, provider: Option<&str>, message: impl Into<String>) {
        self.add(id, provider, message.into(), Outcome::Ok);
    }

    pub(super) fn skipped(&mut self, id: &'static str, provider: Option<&str>, message: impl Into<String>) {
        self.add(id, provider, message.into(), Outcome::Skipped);
    }

    /// Adds a failed check whose cause another finding reports for several checks.
    pub(super) fn summarized(
        &mut self,
        id: &'static str,
        provider: Option<&str>,
        message: impl Into<String>,
    ) {
        self.add(id, provider, message.into(), Outcome::Summarized);
    }

    pub(super) fn error(
        &mut self,
        id: &'static str,
        provider: Option<&str>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(
            id,
            provider,
            message.into(),
            Outcome::Finding { severity: Severity::Error, fix: fix.into() },
        );
    }

    pub(super) fn warning(
        &mut self,
        id: &'static str,
        provider: Option<&str>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(
            id,
            provider,
            message.into(),
            Outcome::Finding { severity: Severity::Warning, fix: fix.into() },
        );
    }

    fn add(&mut self, id: &'static str, provider: Option<&str>, message: String, outcome: Outcome) {
        self.checks.push(Check { id, provider: provider.map(str::to_owned), message, outcome });
    }

    fn count(&self, of: Severity) -> usize {
        let is =
            |check: &&Check| matches!(check.outcome, Outcome::Finding { severity, .. } if severity == of);
        self.checks.iter().filter(is).count()
    }

    pub(super) fn is_clean(&self) -> bool {
        self.count(Severity::Error) + self.count(Severity::Warning) == 0
    }

    pub(super) fn json(&self) -> Value {
        let finding = |check: &Check| match &check.outcome {
            Outcome::Finding { severity, fix } => Some(json!({
                "id": check.id,
                "severity": severity.word(),
                "provider": check.provider,
                "message": check.message,
                "fix": fix,
            })),
            Outcome::Ok | Outcome::Skipped | Outcome::Summarized => None,
        };
        let check_object = |check: &Check| {
            let ok = match check.outcome {
                Outcome::Ok => Some(true),
                Outcome::Skipped => None,
                Outcome::Summarized | Outcome::Finding { .. } => Some(false),
            };
            json!({ "id": check.id, "provider": check.provider, "ok": ok, "message": check.message })
        };
        json!({
            "version": 1,
            "findings": self.checks.iter().filter_map(finding).collect::<Vec<_>>(),
            "checks": self.checks.iter().map(check_object).collect::<Vec<_>>(),
        })
    }

    /// Returns the checks in their groups, one line each, with the fix of each finding.
    pub(super) fn text(&self, colours: bool, width: Option<usize>) -> String {
        let mut lines = Vec::new();
        let mut last = "";
        for check in self.checks.iter().filter(|check| !matches!(check.outcome, Outcome::Summarized)) {
            let group = check.id.split('.').next().unwrap_or_default();
            if group != last {
                let apart = if last.is_empty() { "" } else { "\n" };
                lines.push(format!("{apart}{}", painted(colours, 1, group)));
                last = group;
            }
            lines.push(line(check, colours, width));
        }
        format!("{}\n\n{}\n", lines.join("\n"), self.sum())
    }

    fn sum(&self) -> String {
        let counted =
            |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        match (self.count(Severity::Error), self.count(Severity::Warning)) {
            (0, 0) => "no problems found".to_owned(),
            (errors, 0) => counted(errors, "error"),
            (0, warnings) => counted(warnings, "warning"),
            (errors, warnings) => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
        }
    }
}

/// The width of the column with `ok`, `skipped`, `warning` or `error`.
const WIDTH: usize = "warning".len();

fn line(check: &Check, colours: bool, width: Option<usize>) -> String {
    let (word, colour, fix) = match &check.outcome {
        Outcome::Ok => ("ok", 32, None),
        Outcome::Skipped | Outcome::Summarized => ("skipped", 2, None),
        Outcome::Finding { severity: Severity::Error, fix } => ("error", 31, Some(fix)),
        Outcome::Finding { severity: Severity::Warning, fix } => ("warning", 33, Some(fix)),
    };
    let margin = " ".repeat(WIDTH + 4);
    let whose = check.provider.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    // Names of files and environment variables may contain control characters.
    let indented = |text: &str| {
        let text = text.lines().map(sanitize).collect::<Vec<_>>().join("\n");
        let text = width.map_or(text.clone(), |width| wrap(&text, width.saturating_sub(margin.len()), 0));
        text.replace('\n', &format!("\n{margin}"))
    };
    let message = indented(&format!("{whose}{}", check.message));
    let padding = " ".repeat(WIDTH - word.len());
    let fix = fix.map(|fix| format!("\n{margin}{}", indented(&format!("fix: {fix}"))));
    format!("  {}{padding}  {message}{}", painted(colours, colour, word), fix.unwrap_or_default())
}

fn painted(colours: bool, colour: u8, text: &str) -> String {
    if colours { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
}
