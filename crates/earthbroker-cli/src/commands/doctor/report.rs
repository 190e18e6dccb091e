//! The findings of `broker doctor`, as text and as JSON.

use broker_core::sanitize;
use earthbroker::Error;
use serde_json::{Value, json};

use crate::humanize;
use crate::report::hint;
use crate::terminal::paint;

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
pub(super) struct Report(Vec<Check>);

impl Report {
    pub(super) fn ok(&mut self, id: &'static str, provider: Option<&str>, message: impl Into<String>) {
        self.add(Outcome::Ok, id, provider, message, None);
    }

    pub(super) fn skipped(&mut self, id: &'static str, provider: Option<&str>, message: impl Into<String>) {
        self.add(Outcome::Skipped, id, provider, message, None);
    }

    /// Adds a failed check to the JSON report only: in the text report, one error covers all affected providers.
    pub(super) fn summarized(&mut self, id: &'static str, provider: &str, message: String) {
        self.add(Outcome::Summarized, id, Some(provider), message, None);
    }

    /// Adds an error of the broker. `fix` is for an error without a hint.
    pub(super) fn failed(&mut self, id: &'static str, provider: Option<&str>, error: &Error, fix: &str) {
        self.error(id, provider, error.message(), hint(error).as_deref().unwrap_or(fix));
    }

    pub(super) fn error(&mut self, id: &'static str, provider: Option<&str>, message: &str, fix: &str) {
        self.add(Outcome::Error, id, provider, message, Some(fix));
    }

    pub(super) fn warning(&mut self, id: &'static str, provider: Option<&str>, message: &str, fix: &str) {
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

    pub(super) fn is_clean(&self) -> bool {
        self.0.iter().all(|check| check.fix.is_none())
    }

    pub(super) fn json(&self) -> Value {
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
    pub(super) fn text(&self, colours: bool, width: usize) -> String {
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
