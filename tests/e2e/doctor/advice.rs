//! Tests that `broker doctor` reports one finding for each cause, with the command that fixes the cause.

use broker_e2e::Sandbox;
use broker_testkit::{CarbonMapper, CarbonMapperOptions, EarthScopeOptions, Fault};
use serde_json::Value;

use super::{files, findings, mode};
use crate::stage::logged_in;

#[test]
fn doctor_reports_a_refused_login_while_its_token_is_valid() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    service.revoke_everything();
    let _ = sandbox.broker(&["token", "earthscope", "--force"]);
    let _ = sandbox.broker(&["token", "earthscope"]).token();
    let found = findings(&sandbox.broker(&["doctor", "--json", "--offline", "earthscope"]));
    assert_eq!(found.keys().collect::<Vec<_>>(), ["login.required earthscope"]);
    assert_eq!(found["login.required earthscope"].1, "run: broker login earthscope");
}

#[test]
fn doctor_names_the_scope_whose_renewal_failed() {
    let service = CarbonMapper::start(CarbonMapperOptions::default());
    let config = format!(
        "[providers.carbonmapper]\nbase_url = \"{}\"\nemail = \"ada@example.org\"\n",
        service.base_url()
    );
    let sandbox = Sandbox::new().with_config(&config);
    let login = ["login", "carbonmapper", "--password-stdin"];
    let _ = sandbox.broker_reading(&login, "standin-password").ends(0);
    service.fault_always("create-stac", Fault::Status(403));
    let _ = sandbox.broker(&["token", "carbonmapper", "--scope", "stac"]);
    let report = sandbox.broker(&["doctor", "--json", "--offline", "carbonmapper"]);
    let found = findings(&report);
    let (message, fix) = &found["login.last_failure carbonmapper"];
    assert!(message.contains(" for stac "), "{message}");
    assert!(fix.ends_with("run: broker token carbonmapper --scope stac"), "{fix}");
    assert!(report.out.contains("\"severity\":\"warning\"") && found.len() == 1, "{}", report.out);
}

#[test]
fn doctor_reports_a_state_folder_that_cannot_store_records() {
    let sandbox = Sandbox::new();
    let ask =
        |folder: &str| findings(&sandbox.broker(&["--state-dir", folder, "doctor", "--json", "--offline"]));
    let open = sandbox.home().join("open");
    std::fs::create_dir(&open).expect("a folder");
    mode(&open, 0o777);
    let found = ask("open");
    assert_eq!(found.keys().collect::<Vec<_>>(), ["state.permissions"]);
    assert!(found["state.permissions"].0.contains("0777"), "{found:?}");
    assert_eq!(found["state.permissions"].1, "run: chmod 700 open");
    mode(&open, 0o1777);
    assert!(ask("open")["state.permissions"].0.contains("1777"), "sticky");
    mode(&open, 0o700);
    assert_eq!(ask("/proc/none").into_keys().collect::<Vec<_>>(), ["state.folder"]);
    assert!(ask("open/a/b").is_empty() && files(&open).is_empty(), "created folders are removed");
}

#[test]
fn doctor_fixes_mode_of_a_secret_file_with_a_single_command() {
    let sandbox = Sandbox::new().with_config("[providers.earthdaily]\nclient_secret = \"hush\"\n");
    mode(&sandbox.config_path(), 0o664);
    let found = findings(&sandbox.broker(&["doctor", "--json", "--offline"]));
    assert_eq!(found.keys().collect::<Vec<_>>(), ["configuration.writable"]);
    let file = sandbox.config_path().display().to_string();
    assert_eq!(found["configuration.writable"].1, format!("run: chmod 600 {file}"));
    let gone = sandbox.home().join("gone.toml").display().to_string();
    let named = findings(&sandbox.broker(&["--config", &gone, "doctor", "--json", "--offline"]));
    assert!(named["configuration.load"].1.contains("--config"), "{named:?}");
    let sandbox = sandbox.with_env("BROKER_CONFIG", &gone);
    let named = findings(&sandbox.broker(&["doctor", "--json", "--offline"]));
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
    let found = findings(&run);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["network.name"]);
    assert!(found["network.name"].0.ends_with("one.invalid, three.invalid, two.invalid"), "{found:?}");
    let report: Value = serde_json::from_str(&run.out).expect("JSON");
    let checks = report["checks"].as_array().expect("checks").iter();
    let failed = checks.filter(|check| check["ok"] == false && check["provider"].is_string());
    assert_eq!(failed.count(), 3, "a check for each");
}
