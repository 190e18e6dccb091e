//! Tests completions in real shells, and man pages.

use std::process::Command;

use broker_e2e::{Sandbox, broker_binary};

use crate::stage::{program, set_mode};

/// Runs a shell script with `broker` in PATH. Asserts that the script prints nothing on stderr.
fn shell(sandbox: &Sandbox, words: &[&str], script: &str) -> String {
    let folder = broker_binary().parent().expect("a folder").display().to_string();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
    let mut command = program(sandbox, words[0], &[&words[1..], &["-c", script]].concat());
    let output = command.env("PATH", path).env("TERM", "dumb").output();
    let output = output.unwrap_or_else(|_| panic!("install {}", words[0]));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{script}");
    String::from_utf8(output.stdout).expect("text")
}

fn bash(sandbox: &Sandbox, line: &str) -> Vec<String> {
    let script = format!(
        "source <(broker completions bash)\nCOMP_WORDS=({line})\nCOMP_CWORD=$((${{#COMP_WORDS[@]}}-1))\n\
         _clap_complete_broker broker \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let offered = shell(sandbox, &["bash", "--norc"], &script);
    offered.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn lab() -> Sandbox {
    Sandbox::new().with_config("[providers.lab]\nkind = \"earthscope\"\n")
}

const NAMES: [&str; 4] = ["carbonmapper", "earthdaily", "earthscope", "lab"];

#[test]
#[ignore = "needs bash"]
fn bash_completes_commands_providers_and_formats() {
    let sandbox = lab();
    assert_eq!(bash(&sandbox, "broker comp"), ["completions"]);
    for command in ["token", "login", "logout", "inspect", "doctor", "status", "status lab", "exec"] {
        assert_eq!(bash(&sandbox, &format!("broker {command} ''")), NAMES, "{command}");
    }
    assert_eq!(bash(&sandbox, "broker token l"), ["lab"]);
    assert_eq!(bash(&sandbox, "broker add eume"), ["eumetsat"]);
    assert_eq!(bash(&sandbox, "broker exec lab,earths"), ["lab,earthscope"]);
    assert!(bash(&sandbox, "broker exec lab -- ''").is_empty(), "too many programs");
    assert!(bash(&sandbox, "broker exec lab -- bas").contains(&"bash".to_owned()), "a program");
    std::fs::write(sandbox.home().join("EDS.env"), "").expect("a file");
    for line in ["import ED", "exec lab -- cat ED", "--env-file ED", "token lab -o ED"] {
        assert_eq!(bash(&sandbox, &format!("broker {line}")), ["EDS.env"], "{line}");
    }
    assert_eq!(bash(&sandbox, "broker token lab --format d"), ["dotenv", "duckdb"]);
    assert_eq!(bash(&sandbox, "broker token --rej"), ["--rejected", "--rejected-stdin"]);
}

#[test]
#[ignore = "needs bash"]
fn completion_reads_the_file_of_the_typed_config_flag() {
    let sandbox = lab();
    sandbox.write(&sandbox.home().join("other.toml"), "[providers.other]\nkind = \"earthscope\"\n");
    for flag in ["--config other.toml", "--config=other.toml"] {
        assert_eq!(bash(&sandbox, &format!("broker {flag} token o")), ["other"]);
    }
}

#[test]
#[ignore = "needs bash"]
fn completion_works_with_an_invalid_configuration() {
    let sandbox = Sandbox::new().with_config("[[[");
    assert_eq!(bash(&sandbox, "broker token earth"), [""; 0]);
    assert_eq!(bash(&sandbox, "broker tok"), ["token"]);
    for words in [&[][..], &["--"], &["--", "broker", "token", ""]] {
        for shell in ["bash", "fish", "none"] {
            let output =
                sandbox.command(words).env("_BROKER_COMPLETE", shell).output().expect("the broker runs");
            assert!(output.status.success() && output.stderr.is_empty(), "{shell} {words:?}: {output:?}");
        }
    }
}

#[test]
#[ignore = "needs fish and zsh"]
fn fish_and_zsh_complete_providers() {
    let sandbox = lab();
    let script = "broker completions fish | source; complete -C 'broker token '";
    let offered = shell(&sandbox, &["fish", "--no-config"], script);
    assert_eq!(offered.lines().collect::<Vec<_>>(), NAMES);
    // The script calls the completion function as zsh does, and prints the candidates.
    let script = "_describe() { print -l ${(P)@[-1]} }; compdef() { print -r -- $@ }\n\
        source <(broker completions zsh)\nwords=(broker token ''); CURRENT=3\n_clap_dynamic_completer_broker";
    let offered = shell(&sandbox, &["zsh", "--no-rcs"], script);
    assert!(offered.starts_with("_clap_dynamic_completer_broker broker\n"), "{offered}");
    assert!(NAMES.iter().all(|name| offered.contains(name)), "{offered}");
}

#[test]
fn installed_completions_work_in_bash_and_fish() {
    let sandbox = lab();
    for (shell, file) in [
        ("bash", ".local/share/bash-completion/completions/broker"),
        ("fish", ".config/fish/completions/broker.fish"),
    ] {
        let run = sandbox.broker(&["completions", shell, "--install"]).ends(0).says(file);
        assert_eq!(run.out, "");
        let printed = sandbox.broker(&["completions", shell]).ends(0).out;
        assert_eq!(std::fs::read_to_string(sandbox.home().join(file)).expect("a file"), printed);
    }
    let zsh = sandbox.broker(&["completions", "zsh", "--install"]).ends(0).says("~/.zshrc");
    assert_eq!(zsh.out, "source <(broker completions zsh)\n");
    let power = sandbox.broker(&["completions", "powershell", "--install"]).ends(0);
    let _ = power.says("$PROFILE").prints("Invoke-Expression");
    let elsewhere = sandbox.with_env("BASH_COMPLETION_USER_DIR", "/proc/none");
    let _ = elsewhere.broker(&["completions", "bash", "--install"]).ends(1).says("hint: ");
}

#[test]
#[ignore = "needs mandoc"]
fn man_command_writes_a_page_for_each_command() {
    let sandbox = Sandbox::new();
    let _ = sandbox.broker(&["man", "share/man/man1"]).ends(0);
    let folder = sandbox.home().join("share/man/man1");
    for (page, says) in [
        ("broker.1", "broker\\-doctor(1)"),
        ("broker-token.1", "broker token earthscope"),
        ("broker-token.1", "GDAL_HTTP_BEARER"),
        ("broker-config-show.1", "without secrets"),
    ] {
        let text = std::fs::read_to_string(folder.join(page)).expect(page);
        assert!(text.contains(says), "{says}: {text}");
    }
    let mut mandoc = Command::new("mandoc");
    mandoc.args(["-Tlint", "-W", "error"]).arg(folder.join("broker-token.1"));
    let lint = mandoc.output().expect("install mandoc");
    assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout));
    let file = sandbox.home().join("file");
    std::fs::write(&file, "").expect("a file");
    set_mode(&file, 0o600);
    let _ = sandbox.broker(&["man", "file"]).ends(1).says("hint: ");
}
