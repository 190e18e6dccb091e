//! What the doctor found, for people and for programs.

use broker::sanitize;
use serde_json::{Value, json};

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// Something does not work.
    Error,
    /// It works, and should be mended all the same.
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

enum Came {
    Fine,
    Skipped,
    /// Wrong, and told by a finding for several.
    Told,
    Wrong {
        severity: Severity,
        fix: String,
    },
}

/// Something that was looked at. What stands before the dot of its id is its group.
struct Check {
    id: &'static str,
    provider: Option<String>,
    message: String,
    came: Came,
}

/// All that was looked at.
#[derive(Default)]
pub(super) struct Report {
    checks: Vec<Check>,
}

impl Report {
    pub(super) fn fine(&mut self, id: &'static str, provider: Option<&str>, message: impl Into<String>) {
        self.add(id, provider, message.into(), Came::Fine);
    }

    pub(super) fn skipped(&mut self, id: &'static str, provider: Option<&str>, message: impl Into<String>) {
        self.add(id, provider, message.into(), Came::Skipped);
    }

    /// Something that does not work, which another finding tells.
    pub(super) fn told(&mut self, id: &'static str, provider: Option<&str>, message: impl Into<String>) {
        self.add(id, provider, message.into(), Came::Told);
    }

    /// Something that does not work, and what mends it.
    pub(super) fn error(
        &mut self,
        id: &'static str,
        provider: Option<&str>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(id, provider, message.into(), Came::Wrong { severity: Severity::Error, fix: fix.into() });
    }

    /// Something that should be mended, and how.
    pub(super) fn warning(
        &mut self,
        id: &'static str,
        provider: Option<&str>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(id, provider, message.into(), Came::Wrong { severity: Severity::Warning, fix: fix.into() });
    }

    fn add(&mut self, id: &'static str, provider: Option<&str>, message: String, came: Came) {
        self.checks.push(Check { id, provider: provider.map(str::to_owned), message, came });
    }

    fn count(&self, of: Severity) -> usize {
        let is = |check: &&Check| matches!(check.came, Came::Wrong { severity, .. } if severity == of);
        self.checks.iter().filter(is).count()
    }

    pub(super) fn is_well(&self) -> bool {
        self.count(Severity::Error) + self.count(Severity::Warning) == 0
    }

    pub(super) fn json(&self) -> Value {
        let finding = |check: &Check| match &check.came {
            Came::Wrong { severity, fix } => Some(json!({
                "id": check.id,
                "severity": severity.word(),
                "provider": check.provider,
                "message": check.message,
                "fix": fix,
            })),
            Came::Fine | Came::Skipped | Came::Told => None,
        };
        let looked_at = |check: &Check| {
            let ok = match check.came {
                Came::Fine => Some(true),
                Came::Skipped => None,
                Came::Told | Came::Wrong { .. } => Some(false),
            };
            json!({ "id": check.id, "provider": check.provider, "ok": ok, "message": check.message })
        };
        json!({
            "version": 1,
            "findings": self.checks.iter().filter_map(finding).collect::<Vec<_>>(),
            "checks": self.checks.iter().map(looked_at).collect::<Vec<_>>(),
        })
    }

    /// A line for each check below the name of its group, and what mends a finding below that.
    pub(super) fn text(&self, colours: bool) -> String {
        let mut lines = Vec::new();
        let mut last = "";
        for check in self.checks.iter().filter(|check| !matches!(check.came, Came::Told)) {
            let group = check.id.split('.').next().unwrap_or_default();
            if group != last {
                let apart = if last.is_empty() { "" } else { "\n" };
                lines.push(format!("{apart}{}", painted(colours, 1, group)));
                last = group;
            }
            lines.push(line(check, colours));
        }
        format!("{}\n\n{}\n", lines.join("\n"), self.sum())
    }

    fn sum(&self) -> String {
        let counted =
            |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        match (self.count(Severity::Error), self.count(Severity::Warning)) {
            (0, 0) => "nothing is wrong".to_owned(),
            (errors, 0) => counted(errors, "error"),
            (0, warnings) => counted(warnings, "warning"),
            (errors, warnings) => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
        }
    }
}

/// As wide as the widest of the words at the beginning of a line.
const WIDTH: usize = "warning".len();

fn line(check: &Check, colours: bool) -> String {
    let (word, colour, fix) = match &check.came {
        Came::Fine => ("ok", 32, None),
        Came::Skipped | Came::Told => ("skipped", 2, None),
        Came::Wrong { severity: Severity::Error, fix } => ("error", 31, Some(fix)),
        Came::Wrong { severity: Severity::Warning, fix } => ("warning", 33, Some(fix)),
    };
    let margin = " ".repeat(WIDTH + 4);
    let whose = check.provider.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    // Names of files and variables are anybody's text.
    let indented = |text: &str| text.lines().map(sanitize).collect::<Vec<_>>().join(&format!("\n{margin}"));
    let message = indented(&check.message);
    let padding = " ".repeat(WIDTH - word.len());
    let fix = fix.map(|fix| format!("\n{margin}fix: {}", indented(fix)));
    format!("  {}{padding}  {whose}{message}{}", painted(colours, colour, word), fix.unwrap_or_default())
}

fn painted(colours: bool, colour: u8, text: &str) -> String {
    if colours { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
}
