//! Follows hints: each row creates an error, takes the command, flag, key or variable from the printed hint, and uses it.
//!
//! A new hint that names a command or a setting needs a row.

#[path = "hints/rows.rs"]
mod rows;

use std::process::Output;

use broker_e2e::{Sandbox, broker_binary};
use broker_testkit::{
    CarbonMapper, CarbonMapperOptions, EarthDaily, EarthDailyOptions, EarthScope, Fault, TokenService,
    TokenServiceOptions,
};
use serde_json::Value;

use crate::stage::{fast_polling, program, set_mode, with_path};

/// What the user does with a hint.
enum Follow {
    /// Runs the command in the hint.
    Run,
    /// Runs the command in the hint with this standard input.
    Type(&'static str),
    /// Repeats the command without the flags in the hint.
    LeaveOut,
    /// Repeats the command with the flag in the hint.
    Add,
    /// Repeats the command after setting this key, which the hint names, of the provider `lab`.
    Set(&'static str, &'static str),
    /// Repeats the command with this variable, which the hint names.
    Export(&'static str, &'static str),
    /// Runs this command, for a hint that says in words what to do.
    By(&'static str),
}
use Follow::{Add, By, Export, LeaveOut, Run, Set, Type};
use rows::{REFRESH, ROWS, STATIC};

/// A sandbox with its services. A table without a header is that of the provider `lab`.
struct Lab {
    sandbox: Sandbox,
    services: (TokenService, EarthScope, CarbonMapper),
}

impl Lab {
    fn new(table: &str) -> Self {
        let service = TokenService::start(TokenServiceOptions::default());
        if table.starts_with(REFRESH) {
            let (status, headers) = (200, vec![("content-type".to_owned(), "application/json".to_owned())]);
            let body = r#"{"access_token":"access","refresh_token":"next","expires_in":600}"#.to_owned();
            service.fault_always("token", Fault::Answer { status, headers, body });
            service.fault_always("revoke", Fault::Status(503));
        }
        let (earthscope, carbonmapper) =
            (EarthScope::start(fast_polling()), CarbonMapper::start(CarbonMapperOptions::default()));
        earthscope.approve_all();
        let table = table.replace("{earthscope}", earthscope.url()).replace("{url}", service.url());
        let table = table.replace("{carbonmapper}", &carbonmapper.base_url());
        let header = if table.starts_with('[') { "" } else { "[providers.lab]\n" };
        let sandbox = Sandbox::new();
        sandbox.write_config(
            &(header.to_owned() + &table.replace("{home}", &sandbox.home().display().to_string())),
        );
        set_mode(&sandbox.config_path(), 0o600);
        sandbox.write(&sandbox.home().join("keys.sh"), include_str!("hints/keys.sh"));
        let folder = broker_binary().parent().expect("a folder").to_owned();
        Self { sandbox: with_path(sandbox, &folder), services: (service, earthscope, carbonmapper) }
    }

    fn sh(&self, script: &str) -> Output {
        program(&self.sandbox, "sh", &["-c", script]).output().expect("a shell")
    }
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Returns the hint with its further lines.
#[track_caller]
fn hint(output: &Output) -> String {
    let err = err(output);
    let hint = err.split_once("\nhint: ").map(|(_, hint)| hint.trim_end().to_owned());
    // Some messages name the key themselves.
    hint.unwrap_or(err)
}

/// Returns the command in a hint: the text from `run: ` or `broker` to the end of the clause.
fn command(hint: &str) -> Option<&str> {
    let start = hint.find("run: ").map(|at| at + 5).or_else(|| hint.find("broker "))?;
    let end = ["; ", ", ", "\n"].iter().filter_map(|end| hint[start..].find(end)).min();
    Some(&hint[start..end.map_or(hint.len(), |end| start + end)])
}

/// Returns the flags in a hint. The part after `;` is other advice.
fn flags(hint: &str) -> Vec<String> {
    let words = hint.split(';').next().unwrap_or_default().split_whitespace();
    words.filter(|word| word.starts_with("--")).map(str::to_owned).collect()
}

fn without(command: &str, flags: &[String]) -> String {
    let mut words = command.split_whitespace().peekable();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        if !flags.iter().any(|flag| flag == word) {
            kept.push(word);
        } else if words.peek().is_some_and(|next| !next.starts_with("--")) {
            let _ = words.next();
        }
    }
    kept.join(" ")
}

/// Returns the next command of the user, or `None` if the hint does not name it.
fn next(lab: &Lab, hint: &str, failed: &str, follow: &Follow) -> Option<String> {
    Some(match follow {
        Run => command(hint)?.to_owned(),
        Type(input) => format!("printf %s {input} | {}", command(hint)?),
        LeaveOut => without(failed, &flags(hint.split_once("leave out")?.1)),
        Add => {
            let words = hint[hint.find("--")?..].split_whitespace().take(2);
            let flag: Vec<_> = words.map(|word| word.trim_end_matches(',')).collect();
            format!("{} {}", without(failed, &["--format".to_owned()]), flag.join(" "))
        }
        Set(key, value) => {
            hint.find(key)?;
            let config = lab.sandbox.config();
            let others = config.lines().filter(|line| !line.starts_with(&format!("{key} =")));
            let others: Vec<_> = others.collect();
            let value = value.replace("{url}", lab.services.0.url());
            lab.sandbox.write_config(&format!("{}\n{key} = {value}\n", others.join("\n")));
            failed.to_owned()
        }
        Export(name, value) => {
            hint.find(name)?;
            format!("export {name}={value}; {failed}")
        }
        By(command) => (*command).to_owned(),
    })
}

/// Returns the `export` command in a script, for the commands after it.
fn environment(script: &str) -> &str {
    script.split(';').find(|part| part.starts_with("export ")).unwrap_or(":")
}

#[test]
fn each_hint_leads_to_the_next_state() {
    let mut wrong = Vec::new();
    for (table, before, failing, code, follow, after) in ROWS {
        let lab = Lab::new(table);
        let run = |script: &str| lab.sh(&format!("{}; {script}", environment(before)));
        let _ = lab.sh(before);
        let failed = run(failing);
        let hint = hint(&failed);
        let next = next(&lab, &hint, failing, follow).unwrap_or_default();
        let done = run(&next);
        let is_right = match *after {
            "" => done.status.success(),
            after => err(&done).contains(&format!("error[{after}]")),
        };
        if !err(&failed).contains(&format!("error[{code}]")) || next.is_empty() || !is_right {
            wrong.push(format!("{failing}: {}\n  {next}: {}", err(&failed), err(&done)));
        }
    }
    assert!(wrong.is_empty(), "{}\n", wrong.join("\n"));
}

#[test]
fn secret_from_a_downloaded_file_follows_the_hint() {
    let service = EarthDaily::start(EarthDailyOptions::default());
    let sandbox = with_path(Sandbox::new(), broker_binary().parent().expect("a folder"));
    let sh = |script: &str| program(&sandbox, "sh", &["-c", script]).output().expect("a shell");
    let failed = sh("broker token earthdaily");
    let hint = hint(&failed);
    assert!(hint.contains("broker import FILE") && hint.contains("--env-file FILE"), "{hint}");
    let variables = format!("EDS_SECRET={}\nEDS_AUTH_URL={}\n", EarthDaily::SECRET, service.auth_url());
    sandbox.write(&sandbox.home().join("FILE"), &variables);
    for next in ["broker token earthdaily --env-file FILE", "broker import FILE && broker token earthdaily"] {
        let done = sh(next);
        assert!(done.status.success(), "{next}: {}", err(&done));
    }
}

#[test]
fn each_command_in_a_report_of_doctor_solves_its_problem() {
    let rows = [
        ("configuration.secret", STATIC, "chmod 644 .config/broker/providers.toml"),
        ("configuration.writable", STATIC, "chmod 620 .config/broker/providers.toml"),
        ("configuration.writable", STATIC, "chmod 770 .config/broker"),
        ("state.permissions", STATIC, "mkdir -p .local/state/broker; chmod 755 .local/state/broker"),
        ("state.permissions", STATIC, "mkdir -p .local/state/broker; chmod 777 .local/state/broker"),
        (
            "state.aside",
            REFRESH,
            "printf right-token | broker login lab --refresh-token-stdin; cd .local/state/broker; cp lab.json 'lab.json.aside-1 2'",
        ),
        (
            "state.record_mode",
            REFRESH,
            "printf right-token | broker login lab --refresh-token-stdin; chmod 644 .local/state/broker/lab.json",
        ),
        (
            "login.secret",
            "kind = \"static\"\ntoken = { file = \"{home}/se cret\" }\n",
            "echo t-long-token > 'se cret'; chmod 644 'se cret'",
        ),
    ];
    for (id, table, before) in rows {
        let lab = Lab::new(table);
        let _ = lab.sh(before);
        let fixes = || {
            let report = lab.sh("broker doctor lab --offline --json");
            let report: Value = serde_json::from_slice(&report.stdout).expect("a report");
            let findings = report["findings"].as_array().cloned().unwrap_or_default();
            let of_id = findings.into_iter().filter(|finding| finding["id"] == id);
            of_id.map(|finding| finding["fix"].as_str().expect("a fix").to_owned()).collect::<Vec<_>>()
        };
        let before = fixes();
        assert!(!before.is_empty(), "{id}: not found");
        for fix in &before {
            let (_, command) = fix.rsplit_once("run: ").unwrap_or_else(|| panic!("{id}: no command: {fix}"));
            let done = lab.sh(command);
            assert!(done.status.success(), "{id}: {command}: {}", err(&done));
        }
        assert_eq!(fixes(), [""; 0], "{id}");
    }
}
