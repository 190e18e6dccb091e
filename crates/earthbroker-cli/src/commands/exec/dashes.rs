//! Explains the missing `--` in `broker exec PROVIDER COMMAND`.

use clap::error::ErrorKind;
use earthbroker::{Error, Hint};

use crate::format::word;

/// The flags of `broker exec` that take a value.
const WITH_VALUE: [&str; 5] = ["--scope", "--min-ttl", "--config", "--env-file", "--state-dir"];

/// Returns the error for `broker exec` without `--` before the command to run.
pub(super) fn no_command() -> Error {
    let hint = match corrected(std::env::args_os().skip(1).map(|word| word.into_string().ok())) {
        Some(corrected) => Hint::Command("put `--` before the command:".to_owned(), corrected),
        None => "put the command after `--`: broker exec PROVIDER -- COMMAND".into(),
    };
    Error::usage("no command after `--`").with_hint(hint)
}

/// Replaces clap's error about an unknown flag if the flag belongs to the command to run, but `--` is missing.
pub(crate) fn missing_dashes(error: &clap::Error) -> Option<Error> {
    let about_flag = matches!(error.kind(), ErrorKind::UnknownArgument | ErrorKind::DisplayVersion);
    let words = std::env::args_os().skip(1).map(|word| word.into_string().ok());
    (about_flag && corrected(words).is_some()).then(no_command)
}

/// Returns the command line with `--` before the command, quoted for a shell. Returns `None` if there is no command,
/// if `--` is present, or if a word cannot be pasted into a shell.
fn corrected(words: impl Iterator<Item = Option<String>>) -> Option<String> {
    let words: Vec<String> = words.collect::<Option<_>>()?;
    if words.iter().flat_map(|word| word.chars()).any(char::is_control) {
        return None;
    }
    let mut positionals = Vec::new();
    let mut at = 0;
    while positionals.len() < 3 {
        let word = words.get(at)?.as_str();
        let is_verbose = word.len() > 1 && word[1..].chars().all(|c| c == 'v');
        match word {
            _ if WITH_VALUE.contains(&word) => at += 1,
            "--file" | "--verbose" | "--quiet" | "-q" => {}
            _ if is_verbose && word.starts_with('-') => {}
            _ if word.split_once('=').is_some_and(|(flag, _)| WITH_VALUE.contains(&flag)) => {}
            _ if word.starts_with('-') => return None,
            _ => positionals.push(at),
        }
        at += 1;
    }
    let (subcommand, command) = (positionals[0], positionals[2]);
    let quoted = |words: &[String]| words.iter().map(|text| word(text)).collect::<Vec<_>>().join(" ");
    let (before, after) = words.split_at(command);
    (words[subcommand] == "exec").then(|| format!("broker {} -- {}", quoted(before), quoted(after)))
}

#[cfg(test)]
mod tests {
    use super::corrected;

    #[test]
    fn exec_error_suggests_command_line_with_double_dash() {
        for (typed, advice) in [
            (&["exec", "lab", "make", "all"][..], Some("broker exec lab -- make all")),
            (&["exec", "lab", "--min-ttl", "1m", "make"], Some("broker exec lab --min-ttl 1m -- make")),
            (
                &["-vv", "--config=x", "exec", "--file", "a,b", "sh", "-c", "echo it's $X; ls"],
                Some(r"broker -vv --config=x exec --file a,b -- sh -c 'echo it'\''s $X; ls'"),
            ),
            (&["exec", "a", "-x"], None),
            (&["exec", "a", "--", "make"], None),
            (&["exec", "a"], None),
            (&["token", "a", "b"], None),
            (&["exec", "a", "sh", "-c", "\u{1b}[2J"], None),
        ] {
            let words = typed.iter().map(|word| Some((*word).to_owned()));
            assert_eq!(corrected(words).as_deref(), advice, "{typed:?}");
        }
    }
}
