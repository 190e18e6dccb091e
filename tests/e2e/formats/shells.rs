//! Tests the formats for shells and for programs that read .env files.

use std::path::Path;
use std::process::Command;

use super::{HARD, Stage, need, printed, python};

#[test]
#[ignore = "needs bash, zsh and fish"]
fn shells_read_the_token_from_env_format_output() {
    let stage = Stage::with(HARD);
    let show = r#"printf %s "$EDS_TOKEN"; sh -c 'printf %s "$EDS_TOKEN"'"#;
    let twice = HARD.repeat(2);
    let lines = stage.format("env");
    for shell in ["sh", "bash", "zsh"] {
        need(&[shell, "-c", ":"]);
        let script = format!("eval \"$(cat)\"\n{show}");
        assert_eq!(printed(Command::new(shell).args(["-c", &script]), &lines), twice, "{shell}");
    }
    need(&["fish", "--version"]);
    let lines = stage.token(&["--format", "env", "--shell", "fish"]).ends(0).out;
    let script = format!("source\n{show}");
    assert_eq!(printed(Command::new("fish").args(["--no-config", "-c", &script]), &lines), twice);
}

#[test]
#[ignore = "needs fish"]
fn shells_read_the_token_from_gdal_format_output() {
    let stage = Stage::with(HARD);
    need(&["fish", "--version"]);
    let fish = stage.token(&["--format", "gdal", "--shell", "fish"]).ends(0).out;
    for (shell, flags, read, lines) in
        [("sh", &[][..], "eval \"$(cat)\"", stage.format("gdal")), ("fish", &["--no-config"], "source", fish)]
    {
        let script = format!("{read}\nprintf %s \"$GDAL_HTTP_AUTH $GDAL_HTTP_BEARER\"");
        let seen = printed(Command::new(shell).args(flags).args(["-c", &script]), &lines);
        assert_eq!(seen, format!("BEARER {HARD}"), "{shell}");
    }
}

/// PowerShell (`about_Quoting_Rules`) doubles a quote inside single quotes. Typographic quotes count too.
#[test]
fn powershell_format_doubles_quotes() {
    let stage = Stage::with("KANARIE it's $HOME `n \"x\" \\ ‘a’ ‚b‛");
    let lines = stage.token(&["--format", "gdal", "--shell", "pwsh"]).ends(0).out;
    let bearer = "'KANARIE it''s $HOME `n \"x\" \\ ‘‘a’’ ‚‚b‛‛'";
    assert_eq!(lines, format!("$env:GDAL_HTTP_AUTH = 'BEARER'\n$env:GDAL_HTTP_BEARER = {bearer}\n"));
}

/// The name of a program, and a function that reads a variable from a .env file with that program.
type Reader = (&'static str, fn(&Path) -> String);

fn readers() -> Vec<Reader> {
    let mut readers: Vec<Reader> = vec![("sh", |file| {
        let script = "set -a; . \"$1\"; exec sh -c 'printf %s \"$EDS_TOKEN\"'";
        printed(Command::new("sh").args(["-c", script, "sh"]).arg(file), "")
    })];
    need(&["python3", "-c", "import dotenv"]);
    readers.push(("python-dotenv", |file| {
        let script = "import dotenv, sys; print(end=dotenv.dotenv_values(sys.argv[1])['EDS_TOKEN'])";
        python(script, &[file.to_str().expect("a path")])
    }));
    need(&["direnv", "version"]);
    readers.push(("direnv", |file| {
        let lines = printed(Command::new("direnv").args(["dotenv", "bash"]).arg(file), "");
        printed(Command::new("bash").args(["-c", "eval \"$(cat)\"\nprintf %s \"$EDS_TOKEN\""]), &lines)
    }));
    readers
}

#[test]
#[ignore = "needs python3 with dotenv, and direnv"]
fn programs_read_the_same_token_from_dotenv_format() {
    let readers = readers();
    for (token, line) in [
        ("KANARIE.a-b_c/d+e=:@,%25", "KANARIE.a-b_c/d+e=:@,%25"),
        ("~KANARIE", "'~KANARIE'"),
        ("KANARIE $HOME `id` #é \"x\" $(id)!", "'KANARIE $HOME `id` #é \"x\" $(id)!'"),
        (r"KANARIE\n\$", r"'KANARIE\n\$'"),
        ("KANARIE it's \"it\" #!", "\"KANARIE it's \\\"it\\\" #!\""),
    ] {
        let stage = Stage::with(token);
        let run = stage.token(&["--format", "dotenv"]).ends(0);
        assert_eq!(run.out, format!("EDS_TOKEN={line}\n"));
        assert_eq!(run.err.contains("docker run --env-file"), token != line, "{}", run.err);
        let file = stage.file("dotenv");
        for (name, read) in &readers {
            assert_eq!(read(&file), token, "{name}");
        }
    }
}

#[test]
fn token_that_dotenv_parsers_read_differently_is_refused() {
    for token in
        [r"KANARIE\\", r"KANARIE\", r"KANARIE\\x", "KANARIE${HOME}", "KANARIE'$", "KANARIE'`", r"'KANARIE\"]
    {
        let stage = Stage::with(token);
        let _ = stage.token(&["--format", "dotenv"]).ends(1).fails_with("format_unsuitable");
    }
}
