//! Tests that `broker doctor` reports one finding for each cause, with the command that fixes the cause.

use broker_e2e::Sandbox;
use broker_testkit::{EarthScopeOptions, Fault};
use serde_json::Value;

use super::{doctor, files, findings, only};
use crate::stage::{carbonmapper, logged_in, set_mode};

#[test]
fn doctor_reports_a_refused_login_despite_a_valid_token() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    service.revoke_everything();
    let _ = sandbox.broker(&["token", "earthscope", "--force"]);
    let _ = sandbox.broker(&["token", "earthscope"]).token();
    let (_, fix) = only(doctor(&sandbox, &["--offline", "earthscope"]), "login.required earthscope");
    assert_eq!(fix, "run: broker login earthscope");
}

#[test]
fn doctor_names_the_scope_whose_renewal_failed() {
    let (service, sandbox) = carbonmapper("email = \"ada@example.org\"\n");
    let login = ["login", "carbonmapper", "--password-stdin"];
    let _ = sandbox.broker_reading(&login, "standin-password").ends(0);
    service.fault_always("create-stac", Fault::Status(403));
    let _ = sandbox.broker(&["token", "carbonmapper", "--scope", "stac"]);
    let report = sandbox.broker(&["doctor", "--json", "--offline", "carbonmapper"]);
    let (message, fix) = only(findings(&report), "login.last_failure carbonmapper");
    assert!(message.contains(" for stac "), "{message}");
    assert!(fix.ends_with("run: broker token carbonmapper --scope stac"), "{fix}");
    let _ = report.prints("\"severity\":\"warning\"");
}

#[test]
fn doctor_reports_a_state_folder_that_cannot_store_records() {
    let sandbox = Sandbox::new();
    let ask = |folder: &str| doctor(&sandbox, &["--offline", "--state-dir", folder]);
    let open = sandbox.home().join("open");
    std::fs::create_dir(&open).expect("a folder");
    set_mode(&open, 0o777);
    let (message, fix) = only(ask("open"), "state.permissions");
    assert!(message.contains("0777"), "{message}");
    assert_eq!(fix, "run: chmod 700 open");
    set_mode(&open, 0o1777);
    assert!(ask("open")["state.permissions"].0.contains("1777"), "a folder with the sticky bit");
    set_mode(&open, 0o700);
    let _ = only(ask("/proc/none"), "state.folder");
    assert!(ask("open/a/b").is_empty() && files(&open).is_empty(), "created folders are removed");
}

#[test]
fn doctor_prints_the_command_that_fixes_a_config_problem() {
    let sandbox = Sandbox::new().with_config("[providers.earthdaily]\nclient_secret = \"hush\"\n");
    set_mode(&sandbox.config_path(), 0o664);
    let (_, fix) = only(doctor(&sandbox, &["--offline"]), "configuration.writable");
    assert_eq!(fix, format!("run: chmod 600 {}", sandbox.config_path().display()));
    let gone = sandbox.home().join("gone.toml").display().to_string();
    let named = doctor(&sandbox, &["--offline", "--config", &gone]);
    assert!(named["configuration.load"].1.contains("--config"), "{named:?}");
    let sandbox = sandbox.with_env("BROKER_CONFIG", &gone);
    let named = doctor(&sandbox, &["--offline"]);
    assert!(named["configuration.load"].1.contains("unset BROKER_CONFIG"), "{named:?}");
}

#[test]
fn doctor_reports_a_missing_network_only_once() {
    let sandbox = Sandbox::new().with_config(
        "[providers.earthscope]\ndomain = \"https://one.invalid\"\n\
         [providers.earthdaily]\nauth_url = \"https://two.invalid/token\"\nclient_secret = { env = \"HOME\" }\n\
         [providers.carbonmapper]\nbase_url = \"https://three.invalid/\"\n",
    );
    let run = sandbox.broker(&["doctor", "--json"]);
    let (message, _) = only(findings(&run), "network.name");
    assert!(message.ends_with("one.invalid, three.invalid, two.invalid"), "{message}");
    let report: Value = serde_json::from_str(&run.out).expect("JSON");
    let checks = report["checks"].as_array().expect("checks").iter();
    let failed = checks.filter(|check| check["ok"] == false && check["provider"].is_string());
    assert_eq!(failed.count(), 3, "not one failed check for each provider");
}
