//! Tests `kind = "login"` with the Carbon Mapper configuration from the documentation.

use broker_e2e::Sandbox;
use broker_testkit::{CarbonMapper, CarbonMapperOptions, Fault};
use chrono::{TimeDelta, Utc};

use crate::terminal::Screen;

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "standin-password";
const GUESS: &str = "guess-KANARIE";
const LOGIN: [&str; 3] = ["login", "methane", "--password-stdin"];
const TABLES: &str = include_str!("../../crates/broker-carbonmapper/tests/carbonmapper/login_kind.toml");

fn service() -> CarbonMapper {
    CarbonMapper::start(CarbonMapperOptions::default())
}

/// Returns the configuration tables from the documentation, as tables of the provider `methane`.
fn methane_tables() -> String {
    TABLES.replace("\n[", "\n[providers.methane.").replacen("[login]", "[providers.methane.login]", 1)
}

/// Returns a sandbox with the provider `methane` at this base URL. `keys` adds lines of configuration.
fn sandbox_at(base: &str, keys: &str) -> Sandbox {
    let tables = methane_tables().replace("https://api.carbonmapper.org/api/v1/", base);
    Sandbox::new().with_config(&format!("[providers.methane]\nkind = \"login\"\n{keys}\n{tables}"))
}

/// Returns the configuration of the provider `methane` at this base URL.
pub(crate) fn methane(base: &str) -> String {
    let tables = methane_tables().replace("https://api.carbonmapper.org/api/v1/", base);
    format!("[providers.methane]\nkind = \"login\"\nusername = \"{EMAIL}\"\n{tables}")
}

fn sandbox(service: &CarbonMapper) -> Sandbox {
    sandbox_at(&service.base_url(), &format!("username = \"{EMAIL}\"\ntimeout = \"2s\""))
}

fn logged_in(service: &CarbonMapper) -> Sandbox {
    let sandbox = sandbox(service);
    let _ = sandbox.broker_reading(&LOGIN, &format!("{PASSWORD}\n")).ends(0).says(EMAIL);
    sandbox
}

#[test]
fn carbon_mapper_login_gets_access_and_scoped_tokens() {
    let service = service();
    let sandbox = logged_in(&service);
    let access = sandbox.broker(&["token", "methane"]).token();
    assert!(service.access_is_live(&access));
    let scoped = ["token", "methane", "--scope", "stac", "--expires", "7d"];
    let stac = sandbox.broker(&scoped).says("UTC").token();
    assert!(stac != access && service.access_is_live(&stac));
    let again = sandbox.broker(&scoped);
    assert_eq!((again.err.as_str(), again.out.trim_end()), ("", stac.as_str()));
    let day = (Utc::now() + TimeDelta::days(7)).date_naive().to_string();
    let minted: Vec<_> = service.minted().into_iter().map(|(_, day)| day).collect();
    assert_eq!(minted, [day]);
    let on_disk = std::fs::read_to_string(sandbox.record_path("methane")).expect("a record");
    assert!(on_disk.contains(&stac), "the scoped token is stored");
    assert!(!on_disk.contains(PASSWORD), "the password is not stored");
    let _ = sandbox.broker(&["status", "methane"]).ends(0).prints(EMAIL).prints("valid");
    let _ = sandbox.broker(&["logout", "methane"]).ends(0).says("broker-");
    let run = sandbox.broker(&["token", "methane"]).ends(3);
    let _ = run.fails_with("login_required").says("broker login methane");
}

#[test]
fn expired_login_is_replaced_if_password_is_configured() {
    let service = service();
    let sandbox = logged_in(&service);
    let first = sandbox.broker(&["token", "methane"]).token();
    sandbox.age("methane", TimeDelta::minutes(6));
    assert_ne!(sandbox.broker(&["token", "methane"]).token(), first);
    service.revoke_refresh_tokens();
    sandbox.age("methane", TimeDelta::minutes(6));
    let _ = sandbox.broker(&["token", "methane"]).ends(3).says("broker login methane");
    // With a configured password, the broker shows no prompt.
    let sandbox = sandbox
        .with_env("BROKER_PROVIDERS__METHANE__PASSWORD__ENV", "METHANE_PASSWORD")
        .with_env("METHANE_PASSWORD", PASSWORD);
    let _ = sandbox.broker(&["token", "methane"]).token();
    assert_eq!((service.pairs(), service.refreshes()), (2, 1));
}

#[test]
fn wrong_password_is_sent_only_once() {
    let service = service();
    let sandbox = sandbox(&service);
    let run = sandbox.broker_reading(&LOGIN, GUESS).ends(6);
    let _ = run.fails_with("password_refused").says("No active account");
    let sandbox = sandbox
        .with_env("BROKER_PROVIDERS__METHANE__PASSWORD__ENV", "METHANE_PASSWORD")
        .with_env("METHANE_PASSWORD", GUESS);
    let _ = sandbox.broker(&["token", "methane"]).ends(6);
    let again = sandbox.broker(&["token", "methane"]).ends(6).fails_with("password_refused");
    let _ = again.says("broker login methane");
    assert_eq!(service.count("pair"), 2, "one automatic attempt");
}

#[test]
fn unreachable_service_is_a_transient_error() {
    let service = service();
    let sandbox = logged_in(&service);
    let _ = sandbox.broker(&["token", "methane"]).token();
    sandbox.age("methane", TimeDelta::minutes(6));
    for fault in [Fault::Html(200), Fault::Html(401), Fault::Garbage, Fault::Status(500), Fault::Hang] {
        service.fault_always("refresh", fault);
        assert_eq!(sandbox.broker(&["token", "methane"]).ends(4).out, "");
    }
    service.clear_faults();
    let _ = sandbox.broker(&["token", "methane"]).token();
    service.fault_always("pair", Fault::Html(200));
    let _ = sandbox.broker_reading(&LOGIN, PASSWORD).ends(4).fails_with("bad_response");
    let unreachable = sandbox_at("http://127.0.0.1:9/", &format!("username = \"{EMAIL}\"\ntimeout = \"2s\""));
    let run = unreachable.broker_reading(&LOGIN, PASSWORD).ends(4);
    let _ = run.fails_with("network_unreachable").says("127.0.0.1:9");
}

#[test]
#[ignore = "needs script"]
fn unset_password_variable_causes_a_prompt() {
    let service = service();
    let sandbox = sandbox_at(&service.base_url(), "password = { env = \"METHANE_PASSWORD\" }");
    let mut screen = Screen::run(&sandbox, "login methane");
    screen.wait_for("methane username");
    screen.types(&format!("{EMAIL}\n"));
    screen.wait_for("methane password");
    screen.types(&format!("{PASSWORD}\n"));
    let (code, seen) = screen.ends();
    assert_eq!(code, Some(0), "{seen}");
    // If the password file cannot be read, the broker fails instead of showing a prompt.
    let sandbox = sandbox_at(&service.base_url(), "password = { file = \"nowhere\" }");
    let (code, seen) = Screen::run(&sandbox, "login methane").ends();
    assert!(code == Some(5) && !seen.contains("username"), "{seen}");
}

#[test]
fn login_without_terminal_names_the_missing_settings() {
    let service = service();
    let run = sandbox_at(&service.base_url(), "").broker(&["login", "methane"]).ends(3).says("`username`");
    let run = run.says("--password-stdin").says("`password`");
    assert_eq!(run.out, "");
    // The hint names the variable that should contain the password.
    let keys = format!("username = \"{EMAIL}\"\npassword = {{ env = \"METHANE_PASSWORD\" }}");
    let run = sandbox_at(&service.base_url(), &keys).broker(&["login", "methane"]).ends(3);
    let _ = run.says("METHANE_PASSWORD").says("--password-stdin");
    let _ = sandbox(&service).broker(&["login", "methane"]).ends(3).says("--password-stdin");
    for words in [&["--scope", "stack"][..], &["--expires", "7d"]] {
        let _ = sandbox(&service).broker(&[&["token", "methane"], words].concat()).ends(2);
    }
    assert!(service.seen().is_empty());
}

#[test]
fn documentation_contains_tested_carbon_mapper_config() {
    let docs = include_str!("../../docs/configuration.md");
    let tables = methane_tables();
    assert!(docs.contains(&tables), "docs/configuration.md does not contain:\n{tables}");
}
