//! Tests `broker exec`, which runs a command with tokens in its environment.

mod file;

use std::io::Read;
use std::os::unix::process::ExitStatusExt;

use broker_e2e::{Sandbox, Started, finish, spawn};
use broker_testkit::{CarbonMapper, EarthDaily, Fault};

use crate::stage::{carbonmapper, earthdaily, program, with_path};

/// Starts two fake servers, and a sandbox with the secrets of both servers.
fn two() -> (EarthDaily, CarbonMapper, Sandbox) {
    let (methane, sandbox) = carbonmapper("email = \"ada@example.org\"\npassword = { env = \"SECRET\" }\n");
    let (imagery, sandbox) = earthdaily(&sandbox.config());
    (imagery, methane, sandbox.with_env("SECRET", "standin-password"))
}

fn first_line(child: &mut Started) -> String {
    let (mut line, mut byte) = (Vec::new(), [0]);
    let stdout = child.stdout.as_mut().expect("the stdout of the broker");
    while stdout.read(&mut byte).expect("the stdout of the broker") == 1 && byte != *b"\n" {
        line.push(byte[0]);
    }
    String::from_utf8(line).expect("UTF-8")
}

/// Returns the content of a file that the command wrote.
fn written(sandbox: &Sandbox, name: &str) -> String {
    std::fs::read_to_string(sandbox.home().join(name)).expect("a file")
}

#[test]
fn exec_passes_tokens_only_in_environment_variables() {
    let (imagery, _methane, sandbox) = two();
    // The sandbox searches stdout for secrets, so the script prints the command line there and the tokens to a file.
    let script = "umask 077; printf '%s %s' $EDS_TOKEN $CARBONMAPPER_TOKEN > seen; tr '\\0' ' ' < /proc/$$/cmdline; \
                  echo \"$1\"; test -n \"$EDS_SECRET\"";
    let words = ["exec", "earthdaily,carbonmapper", "--", "sh", "-c", script, "sh", "--scope"];
    let run = sandbox.broker(&words).ends(0);
    assert!(run.out.ends_with(" sh --scope --scope\n"), "arguments are unchanged: {}", run.out);
    let tokens = ["earthdaily", "carbonmapper"].map(|name| sandbox.broker(&["token", name]).token());
    assert_eq!(written(&sandbox, "seen"), tokens.join(" "));
    assert_eq!(imagery.exchanges(), 1, "stored tokens are used");
}

/// A script that prints process id, signal masks and open files. The masks omit real-time signals, because the C library
/// uses some of them.
const INHERITED: &str = "echo $$; sed -n 's/^Sig\\(Ign\\|Blk\\):.*\\(........\\)$/\\1 \\2/p' /proc/self/status; \
                         ls /proc/self/fd; exit 7";

#[test]
fn exec_command_inherits_process_id_signals_and_open_files() {
    let (_imagery, _methane, sandbox) = two();
    let inherited = |child: Started| {
        let number = format!("{}\n", child.id());
        let run = finish(child).ends(7);
        run.out.strip_prefix(&number).expect("the same process").replace("Ign 8", "Ign 0")
    };
    let without = inherited(spawn(program(&sandbox, "sh", &["-c", INHERITED]), &[]));
    assert!(without.starts_with("Blk 00000000\nIgn 00000000\n0\n1\n"), "{without}");
    // The first run requests a token. The second run uses the stored token.
    for _ in 0..2 {
        assert_eq!(inherited(sandbox.start(&["exec", "earthdaily", "--", "sh", "-c", INHERITED])), without);
    }
    let mut child = sandbox.start(&["exec", "earthdaily", "--", "sh", "-c", "kill -TERM $$"]);
    assert_eq!(child.wait().expect("the command exits").signal(), Some(15));
}

#[test]
fn exec_keeps_ignored_signals_ignored() {
    let (_imagery, _methane, sandbox) = two();
    for words in [&["exec", "earthdaily"][..], &["exec", "earthdaily"], &["exec", "--file", "earthdaily"]] {
        let words = [words, &["--", "sh", "-c", INHERITED]].concat();
        let child = spawn(sandbox.command_under(&["nohup"], &words), &words);
        let out = finish(child).ends(7).out.replace("Ign 8", "Ign 0");
        assert!(out.contains("Ign 00000001\n"), "the hangup: {out}");
    }
}

#[test]
fn exec_exits_with_126_or_127_if_the_command_cannot_run() {
    let (_imagery, _methane, sandbox) = two();
    let exec = |words: &[&str]| sandbox.broker(&[&["exec", "earthdaily"], words].concat());
    let _ = exec(&["--", "no-such-command"]).ends(127).fails_with("program_failed").says("`no-such-command`");
    let _ = exec(&["--", "ls -l"]).ends(127).says("sh -c");
    let _ = exec(&["--", "/dev/null"]).ends(126).says("Permission denied");
    let run = exec(&["--file", "--", "no-such-command"]).ends(127);
    let _ = run.fails_with("program_failed").says("`no-such-command`");
    let _ = exec(&["--file", "--", "/dev/null"]).ends(126);
    let _ = exec(&[]).ends(2).says("COMMAND");
    let _ = exec(&["--"]).ends(2);
}

#[test]
fn exec_without_dashes_suggests_the_corrected_command() {
    let (_imagery, _methane, sandbox) = two();
    let bin = sandbox.home().join("bin");
    std::fs::create_dir(&bin).expect("a folder");
    std::os::unix::fs::symlink(broker_e2e::broker_binary(), bin.join("broker")).expect("a link");
    let sandbox = with_path(sandbox, &bin);
    let script = "test -n \"$EDS_TOKEN\" && echo \"it's $1\"";
    for words in [
        &["exec", "earthdaily", "sh", "-c", script, "sh", "$HOME; a b"][..],
        &["exec", "earthdaily", "--min-ttl", "1m", "sh", "-ec", script, "sh", "$HOME; a b"],
    ] {
        let run = sandbox.broker(words).ends(2).fails_with("usage_invalid");
        let hint = run.err.lines().last().expect("a hint");
        let pasted = program(&sandbox, "sh", &["-c", hint]).output().expect("a shell");
        assert_eq!(String::from_utf8_lossy(&pasted.stdout), "it's $HOME; a b\n", "{hint}");
    }
    for [program, argument] in [["make", "all"], ["python3", "--version"]] {
        let run = sandbox.broker(&["exec", "earthdaily", program, argument]).ends(2);
        let hint = format!("  broker exec earthdaily -- {program} {argument}");
        assert_eq!(run.err.lines().last(), Some(hint.as_str()));
    }
}

#[test]
fn exec_does_not_start_the_command_without_a_token() {
    let (_imagery, methane, sandbox) = two();
    let start = |providers: &str| sandbox.broker(&["exec", providers, "--", "touch", "started"]);
    let _ = start("earthdaily,earthscope").ends(3).says("broker login earthscope");
    let _ = start("nothing").ends(2).fails_with("provider_unknown").says("nothing");
    let _ = start("earthdaily,earthdaily").ends(2).fails_with("usage_invalid").says("`earthdaily`");
    let _ = start("earthdaily,").ends(2);
    methane.fault_always("pair", Fault::Status(503));
    let _ = start("earthdaily,carbonmapper").ends(4).says("carbonmapper: ");
    let words = ["exec", "--scope", "x", "earthdaily", "--", "touch", "started"];
    let _ = sandbox.broker(&words).ends(2).says("--scope");
    assert!(!sandbox.home().join("started").exists());
}

#[test]
fn exec_refuses_two_providers_with_the_same_variable() {
    let (imagery, _methane, sandbox) = two();
    let second = "[providers.second]\nkind = \"earthdaily\"\nclient_secret = { env = \"EDS_SECRET\" }\n";
    let config = format!("{}{second}auth_url = \"{}\"\n", sandbox.config(), imagery.auth_url());
    sandbox.write_config(&config);
    let words = ["exec", "earthdaily,second", "--", "sh", "-c", "test -n $EDS_TOKEN && test -n $SECOND"];
    let _ = sandbox.broker(&words).ends(2).says("EDS_TOKEN").says("env = \"NAME\"");
    sandbox.write_config(&(config + "env = \"SECOND\"\n"));
    let _ = sandbox.broker(&words).ends(0);
}

#[test]
fn nested_exec_sets_the_token_variables_of_both_providers() {
    let (_imagery, _methane, sandbox) = two();
    let outer = ["exec", "earthdaily", "--", broker_e2e::broker_binary().to_str().expect("a path")];
    for (inner, test) in [
        (&["exec", "carbonmapper", "--"][..], "test -n \"$EDS_TOKEN\" && test -n \"$CARBONMAPPER_TOKEN\""),
        (
            &["exec", "--file", "carbonmapper", "--"],
            "test -n \"$EDS_TOKEN\" && test -f \"$CARBONMAPPER_TOKEN_FILE\"",
        ),
    ] {
        let _ = sandbox.broker(&[&outer, inner, &["sh", "-c", test]].concat()).ends(0);
    }
}

#[test]
fn exec_refuses_a_token_with_two_lines() {
    let (imagery, _methane, sandbox) = two();
    let two_lines = Fault::edit(|answer| answer["access_token"] = "a\nb".into());
    imagery.fault_always("token", two_lines);
    for words in [&["exec", "earthdaily"][..], &["exec", "--file", "earthdaily"]] {
        let _ = sandbox.broker(&[words, &["--", "true"]].concat()).ends(4).fails_with("bad_response");
    }
}
