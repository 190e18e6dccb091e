//! Tests the command line: arguments, help, formats, tables.

use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use broker_e2e::Sandbox;
use broker_testkit::{EarthScopeOptions, Fault};
use chrono::{DateTime, TimeDelta, Utc};

use crate::stage::{carbonmapper, earthdaily, earthscope, fast_polling, program};

#[test]
fn token_command_prints_each_format() {
    let (_service, sandbox) = earthdaily("");
    let token = sandbox.broker(&["token", "earthdaily"]).token();
    let format = |name: &str| sandbox.broker(&["token", "earthdaily", "--format", name]).ends(0).out;
    assert_eq!(format("text"), format!("{token}\n"));
    assert_eq!(format("header"), format!("Authorization: Bearer {token}\n"));
    assert_eq!(format("env"), format!("export EDS_TOKEN='{token}'\n"));
    let json = format("json");
    assert!(json.starts_with("{\"version\":1,\"provider\":\"earthdaily\",\"token\":"), "in a line: {json}");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let keys: Vec<_> = json.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(keys, ["expires_at", "expires_in", "provider", "scope", "token", "token_type", "version"]);
    assert_eq!((&json["token"], &json["token_type"]), (&token.into(), &"Bearer".into()));
    let expires_at: DateTime<Utc> = json["expires_at"].as_str().expect("a time").parse().expect("RFC 3339");
    let left = (expires_at - Utc::now()).num_seconds();
    assert!((left - json["expires_in"].as_i64().expect("seconds")).abs() <= 2);
    let _ = sandbox.broker(&["token", "earthdaily", "--format", "yaml"]).ends(2);
}

#[test]
fn env_format_quotes_the_token_for_shells() {
    let (service, sandbox) = earthdaily("");
    service.fault("token", Fault::edit(|answer| answer["access_token"] = "it's $HOME `id` \"x\" \\ ".into()));
    let line = sandbox.broker(&["token", "earthdaily", "--format", "env"]).ends(0).out;
    let script = format!("{line}printf %s \"$EDS_TOKEN\"");
    let shell = std::process::Command::new("sh").args(["-c", &script]).output().expect("a shell");
    assert_eq!(String::from_utf8_lossy(&shell.stdout), "it's $HOME `id` \"x\" \\ ");
}

#[test]
fn token_with_control_characters_is_not_printed() {
    let (service, sandbox) = earthdaily("");
    service.fault("token", Fault::edit(|answer| answer["access_token"] = "a\r\nX-Evil: b".into()));
    let run = sandbox.broker(&["token", "earthdaily", "--format", "header"]);
    let _ = run.ends(4).fails_with("bad_response");
    service.fault("token", Fault::edit(|answer| answer["token_type"] = "Bea\r\nX-Evil: 1".into()));
    let header = sandbox.broker(&["token", "earthdaily", "--format", "header", "--force"]).ends(0).out;
    assert!(header.starts_with("Authorization: Bearer ") && header.lines().count() == 1, "{header}");
}

#[test]
fn usage_errors_exit_with_2_and_suggest_names() {
    let (_service, sandbox) = earthdaily("");
    for (command, says) in [
        ("token earthdayly", "error[provider_unknown]"),
        ("token earthdayly", "earthdaily"),
        ("tokn earthdaily", "token"),
        ("token", "PROVIDER"),
        ("token earthdaily --expires 7d", "--expires"),
        ("token earthdaily --scope stac", "--scope"),
        ("token earthdaily --min-ttl soon", "10m"),
        ("token earthdaily --wait soon", "10m"),
        ("exec earthdaily -x", "PROVIDER[,PROVIDER] -- COMMAND"),
        ("exec earthdaily, -- true", "broker list"),
        ("token carbonmapper --scope stac --expires soon", "7d"),
        ("login earthdaily --password-stdin", "--password-stdin"),
        ("status nothing", "nothing"),
    ] {
        let _ = sandbox.broker(&command.split(' ').collect::<Vec<_>>()).ends(2).says(says);
    }
    for bad in [["--expires", "2020-01-01"], ["--name", ""], ["--name", "a\nb"]] {
        let words = ["token", "carbonmapper", "--scope", "stac", bad[0], bad[1]];
        let _ = sandbox.broker(&words).ends(2).fails_with("usage_invalid");
    }
}

#[test]
fn status_table_fits_80_columns_and_shows_no_secret() {
    let user_subject = "auth0|a-rather-long-subject-that-nobody-would-type-by-hand-but-services-have".into();
    let (service, sandbox) = earthscope(EarthScopeOptions { user_subject, ..fast_polling() }, "");
    service.approve_all();
    let second = "[providers.a-second-account-of-the-same-service]\nkind = \"earthscope\"\ndomain = ";
    sandbox.write_config(&format!("{}{second}\"{}\"\n", sandbox.config(), service.url()));
    let states = |sandbox: &Sandbox| {
        let json = sandbox.broker(&["status", "--json"]).json();
        let all = json["providers"].as_array().expect("providers").iter();
        all.map(|provider| format!("{} {}", provider["name"], provider["state"]).replace('"', ""))
            .collect::<Vec<_>>()
    };
    assert_eq!(states(&sandbox)[3], "earthscope none");
    let _ = sandbox.broker(&["login", "earthscope"]).ends(0);
    let _ = sandbox.broker(&["login", "a-second-account-of-the-same-service"]).ends(0);
    assert_eq!(states(&sandbox)[3], "earthscope valid");
    let table = sandbox.broker(&["status"]).ends(0).out;
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    assert!(table.contains("23 h 59 min") && !table.contains('\x1b'), "{table}");
    sandbox.age("earthscope", TimeDelta::minutes(23 * 60 + 30));
    assert_eq!(states(&sandbox)[3], "earthscope expiring");
    sandbox.age("earthscope", TimeDelta::days(2));
    assert_eq!(states(&sandbox)[3], "earthscope expired");
    let record = sandbox.record("earthscope");
    let shown = sandbox.broker(&["status", "-v"]).ends(0);
    let shown = shown.out + &shown.err + &sandbox.broker(&["status", "--json"]).ends(0).out;
    for secret in [&record["grant"]["secret"], &record["tokens"][""]["secret"]] {
        assert!(!shown.contains(secret.as_str().expect("a secret")));
    }
}

#[test]
fn list_prints_provider_names_types_and_sources() {
    let (_service, sandbox) = earthdaily("");
    let json = sandbox.broker(&["list", "--json"]).json();
    let mut providers = json["providers"].as_array().expect("providers").iter();
    let earthdaily = providers.find(|provider| provider["name"] == "earthdaily").expect("earthdaily");
    assert_eq!(earthdaily["kind"], "earthdaily");
    assert_eq!(earthdaily["configured_in"], sandbox.config_path().display().to_string());
    let without_files = Sandbox::new().broker(&["list"]).ends(0).out;
    for kind in ["earthscope", "earthdaily", "carbonmapper"] {
        assert!(without_files.lines().any(|line| line.starts_with(kind) && line.ends_with("built in")));
    }
}

#[test]
fn help_of_each_command_has_an_example() {
    let sandbox = Sandbox::new();
    let commands = "token login logout status list config completions inspect doctor man";
    for command in commands.split(' ') {
        let _ = sandbox.broker(&[command, "--help"]).ends(0).prints("Example").prints("broker ");
    }
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let _ = sandbox.broker(&["completions", shell]).ends(0).prints("_BROKER_COMPLETE");
    }
}

#[test]
fn main_help_describes_each_command() {
    let sandbox = Sandbox::new();
    let bare = sandbox.broker(&[]).ends(2);
    assert_eq!(bare.out, "");
    let helps = [bare.err, sandbox.broker(&["--help"]).ends(0).out, sandbox.broker(&["help"]).ends(0).out];
    for help in helps {
        let (_, rest) = help.split_once("Commands:\n").expect("commands");
        let commands: Vec<_> = rest.lines().take_while(|line| !line.is_empty()).collect();
        assert_eq!(commands.len(), 17, "{help}");
        for line in commands {
            assert!(line.split_whitespace().count() > 2, "no description: `{line}`");
        }
    }
}

#[test]
fn help_of_each_command_lists_global_options_last() {
    let sandbox = Sandbox::new();
    for words in [&["token"][..], &["exec"], &["status"], &["config", "check"], &["helper", "aws"]] {
        let help = sandbox.broker(&[words, &["-h"]].concat()).ends(0).out;
        let (own, global) = help.split_once("\nGlobal options:\n").expect("a section");
        for flag in ["--config", "--env-file", "--state-dir", "--verbose", "--quiet"] {
            assert!(global.contains(flag) && !own.contains(flag), "{flag}: {help}");
        }
    }
}

#[test]
fn token_with_shorter_lifetime_than_expires_flag_warns() {
    let (service, sandbox) = carbonmapper("email = \"ada@example.org\"\npassword = \"standin-password\"\n");
    let get = |days: &str| {
        let words = ["token", "carbonmapper", "--scope", "stac", "--expires", days, "--force"];
        sandbox.broker(&words).ends(0).err
    };
    let enough = get("7d");
    assert!(!enough.contains("--expires"), "{enough}");
    let claims = format!("{{\"exp\":{}}}", (Utc::now() + TimeDelta::days(7)).timestamp());
    let jwt = format!("e30.{}.KANARIE", URL_SAFE_NO_PAD.encode(claims));
    service.fault("create-stac", Fault::edit(move |response| response["token_value"] = jwt.clone().into()));
    let short = get("30d");
    assert!(short.contains("warning: ") && short.contains("--expires"), "{short}");
}

#[test]
fn token_rejected_flag_does_not_read_standard_input() {
    let (service, sandbox) = earthdaily("");
    let old = sandbox.broker(&["token", "earthdaily"]).token();
    sandbox.write(&sandbox.home().join("urls"), "one\ntwo\nthree\n");
    let script = "while read -r url; do \"$0\" token earthdaily --rejected > /dev/null || exit; echo $url; done < urls";
    let broker = broker_e2e::broker_binary().to_str().expect("a path");
    let output = program(&sandbox, "sh", &["-c", script, broker]).output().expect("a shell");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "one\ntwo\nthree\n");
    assert_ne!(sandbox.broker(&["token", "earthdaily"]).token(), old);
    assert_eq!(service.exchanges(), 2, "only the first call replaces the token");
    let words = ["token", "earthdaily", "--rejected-stdin"];
    let _ = sandbox.broker(&words).ends(2).fails_with("usage_invalid").says("--rejected-stdin");
    assert_ne!(sandbox.broker_reading(&words, &old).token(), old);
    assert_eq!(service.exchanges(), 2, "the old token was replaced already");
    let _ = sandbox.broker(&["token", "earthdaily", "--rejected-stdin", "--rejected"]).ends(2);
}

#[test]
fn quiet_flag_hides_messages_and_verbose_flag_hides_secrets() {
    let (_service, sandbox) = earthdaily("");
    let run = sandbox.broker(&["token", "earthdaily", "-vvv"]).says("answered");
    let token = run.clone().token();
    let _ = run.omits(&token).omits("standin-api-token");
    sandbox.write_config(&format!("{}client_secret = \"standin-api-token\"\n", sandbox.config()));
    let _ = sandbox.broker(&["token", "earthdaily"]).ends(0).says("`client_secret`");
    let quiet = sandbox.broker(&["token", "earthdaily", "-q"]);
    assert_eq!(quiet.err, "");
    let _ = quiet.token();
}

#[test]
fn broker_exits_with_141_if_stdout_is_closed() {
    let (_service, sandbox) = earthdaily("");
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
    let words = ["completions", "zsh"];
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let child = sandbox.command(&words).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let run = broker_e2e::finish(broker_e2e::started(child, &words));
    assert_eq!((run.code, run.err.as_str()), (141, ""));
}
