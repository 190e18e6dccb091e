//! Tests Carbon Mapper: password login and scoped tokens.

use broker_e2e::Sandbox;
use broker_testkit::{CarbonMapper, CarbonMapperOptions};
use chrono::TimeDelta;

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "standin-password";
const GUESS: &str = "guess-KANARIE";

fn service() -> CarbonMapper {
    CarbonMapper::start(CarbonMapperOptions::default())
}

fn with(service: &CarbonMapper) -> Sandbox {
    Sandbox::new().with_config(&format!("[providers.carbonmapper]\nbase_url = \"{}\"\n", service.base_url()))
}

fn logged_in(service: &CarbonMapper) -> Sandbox {
    let sandbox = with(service).with_env("CARBONMAPPER_EMAIL", EMAIL);
    let login = ["login", "carbonmapper", "--password-stdin"];
    let _ = sandbox.broker_reading(&login, &format!("{PASSWORD}\n")).ends(0).says("ada@example.org");
    sandbox
}

#[test]
fn stored_scoped_token_is_reused_by_the_next_call() {
    let service = service();
    let sandbox = logged_in(&service);
    let access = sandbox.broker(&["token", "carbonmapper"]).token();
    assert!(service.access_is_live(&access));
    let scoped = ["token", "carbonmapper", "--scope", "stac", "--expires", "7d"];
    let run = sandbox.broker(&scoped).says("UTC");
    let stac = run.token();
    assert_ne!(stac, access);
    let again = sandbox.broker(&scoped);
    assert_eq!(again.err, "", "no message for a stored token");
    assert_eq!(again.token(), stac);
    assert_eq!(service.mints(), 1);
    let json = sandbox.broker(&[&scoped[..], &["--format", "json"]].concat()).json();
    assert_eq!(
        (&json["version"], &json["provider"], &json["scope"]),
        (&1.into(), &"carbonmapper".into(), &"stac".into())
    );
    let on_disk = std::fs::read_to_string(sandbox.record_path("carbonmapper")).expect("a record");
    assert!(
        on_disk.contains(&stac) && !on_disk.contains(PASSWORD),
        "the token is stored, the password is not"
    );
}

#[test]
fn scoped_token_gets_the_name_of_the_name_option() {
    let service = service();
    let sandbox = logged_in(&service);
    let _ = sandbox.broker(&["token", "carbonmapper", "--scope", "stac", "--name", "for the paper"]).token();
    assert_eq!(service.minted()[0].0, "for the paper");
}

#[test]
fn expired_access_token_is_refreshed() {
    let service = service();
    let sandbox = logged_in(&service);
    let first = sandbox.broker(&["token", "carbonmapper"]).token();
    sandbox.age("carbonmapper", TimeDelta::minutes(6));
    assert_ne!(sandbox.broker(&["token", "carbonmapper"]).token(), first);
    assert_eq!((service.pairs(), service.refreshes()), (1, 1));
    service.revoke_refresh_tokens();
    sandbox.age("carbonmapper", TimeDelta::minutes(6));
    let _ = sandbox.broker(&["token", "carbonmapper"]).ends(3).fails_with("grant_refused");
    // With a configured password, the broker logs in again automatically.
    let sandbox = sandbox.with_env("CARBONMAPPER_PASSWORD", PASSWORD);
    let _ = sandbox.broker(&["token", "carbonmapper"]).token();
    assert_eq!(service.pairs(), 2);
}

#[test]
fn refresh_token_flag_fails_for_carbonmapper_and_earthdaily() {
    let service = service();
    let sandbox = logged_in(&service);
    for provider in ["carbonmapper", "earthdaily"] {
        let run =
            sandbox.broker(&["token", provider, "--refresh-token"]).ends(2).fails_with("request_unsupported");
        assert_eq!(run.out, "");
    }
}

#[test]
fn wrong_password_is_sent_only_once() {
    let service = service();
    let sandbox = with(&service).with_env("CARBONMAPPER_EMAIL", EMAIL);
    let login = ["login", "carbonmapper", "--password-stdin"];
    let run = sandbox.broker_reading(&login, GUESS).ends(6);
    assert!(!run.err.contains(GUESS), "{}", run.err);
    assert_eq!(service.count("pair"), 1);
    let sandbox = sandbox.with_env("CARBONMAPPER_PASSWORD", GUESS);
    let _ = sandbox.broker(&["token", "carbonmapper"]).ends(6);
    let _ = sandbox.broker(&["token", "carbonmapper"]).ends(6).fails_with("password_refused");
    assert_eq!(service.count("pair"), 2, "an automatic attempt is made once");
    let fingerprint = sandbox.record("carbonmapper")["failures"][""]["secret_mark"].clone();
    assert_eq!(fingerprint.as_str().map(str::len), Some(4), "16 bits confirm no guess: {fingerprint}");
}

#[test]
fn login_without_terminal_fails_without_a_request() {
    let service = service();
    let run = with(&service)
        .broker(&["login", "carbonmapper"])
        .ends(3)
        .fails_with("prompt_unavailable")
        .says("CARBONMAPPER_EMAIL");
    assert_eq!(run.out, "");
    let sandbox = with(&service).with_env("CARBONMAPPER_EMAIL", EMAIL);
    let _ = sandbox
        .broker(&["login", "carbonmapper"])
        .ends(3)
        .fails_with("prompt_unavailable")
        .says("CARBONMAPPER_PASSWORD");
    assert!(service.seen().is_empty());
}

#[test]
fn logout_names_the_scoped_tokens_that_remain_valid() {
    let service = service();
    let sandbox = logged_in(&service);
    let _ = sandbox.broker(&["token", "carbonmapper", "--scope", "stac"]).token();
    let name = service.minted()[0].0.clone();
    let run = sandbox.broker(&["logout", "carbonmapper"]).ends(0);
    let _ = run.says("platform.carbonmapper.org/account/tokens").says(&name);
    let _ = sandbox.broker(&["token", "carbonmapper"]).ends(3);
}
