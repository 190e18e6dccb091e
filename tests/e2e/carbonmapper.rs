//! Carbon Mapper: a password, a login, scoped tokens.

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
    let _ =
        sandbox.broker_reading(&login, &format!("{PASSWORD}\n")).ends(0).says("logged in as ada@example.org");
    sandbox
}

#[test]
fn a_login_by_password_then_a_scoped_token_that_is_reused() {
    let service = service();
    let sandbox = logged_in(&service);
    let access = sandbox.broker(&["token", "carbonmapper"]).token();
    assert!(service.access_is_live(&access));
    let scoped = ["token", "carbonmapper", "--scope", "stac", "--expires", "7d"];
    let run = sandbox.broker(&scoped).says("whole UTC days");
    let stac = run.token();
    assert_ne!(stac, access);
    let again = sandbox.broker(&scoped);
    assert_eq!(again.err, "", "a held token needs no words");
    assert_eq!(again.token(), stac);
    assert_eq!(service.mints(), 1);
    let json = sandbox.broker(&[&scoped[..], &["--format", "json"]].concat()).json();
    assert_eq!(
        (&json["version"], &json["provider"], &json["scope"]),
        (&1.into(), &"carbonmapper".into(), &"stac".into())
    );
    let on_disk = std::fs::read_to_string(sandbox.record_path("carbonmapper")).expect("a record");
    assert!(on_disk.contains(&stac) && !on_disk.contains(PASSWORD), "the token is kept, the password never");
}

#[test]
fn a_name_can_be_given() {
    let service = service();
    let sandbox = logged_in(&service);
    let _ = sandbox.broker(&["token", "carbonmapper", "--scope", "stac", "--name", "for the paper"]).token();
    assert_eq!(service.minted()[0].0, "for the paper");
}

#[test]
fn an_expired_access_token_is_refreshed() {
    let service = service();
    let sandbox = logged_in(&service);
    let first = sandbox.broker(&["token", "carbonmapper"]).token();
    sandbox.age("carbonmapper", TimeDelta::minutes(6));
    assert_ne!(sandbox.broker(&["token", "carbonmapper"]).token(), first);
    assert_eq!((service.pairs(), service.refreshes()), (1, 1));
    service.revoke_refresh_tokens();
    sandbox.age("carbonmapper", TimeDelta::minutes(6));
    let _ = sandbox.broker(&["token", "carbonmapper"]).ends(3).says("broker login carbonmapper");
    // With a password at hand nobody is asked.
    let sandbox = sandbox.with_env("CARBONMAPPER_PASSWORD", PASSWORD);
    let _ = sandbox.broker(&["token", "carbonmapper"]).token();
    assert_eq!(service.pairs(), 2);
}

#[test]
fn there_is_no_login_to_take_along() {
    let service = service();
    let sandbox = logged_in(&service);
    for provider in ["carbonmapper", "earthdaily"] {
        let run =
            sandbox.broker(&["token", provider, "--refresh-token"]).ends(2).fails_with("request_unsupported");
        assert_eq!(run.out, "");
    }
}

#[test]
fn a_wrong_password_is_refused_and_never_retried() {
    let service = service();
    let sandbox = with(&service).with_env("CARBONMAPPER_EMAIL", EMAIL);
    let login = ["login", "carbonmapper", "--password-stdin"];
    let run = sandbox.broker_reading(&login, GUESS).ends(6);
    assert!(!run.err.contains(GUESS), "{}", run.err);
    assert_eq!(service.count("pair"), 1);
    let sandbox = sandbox.with_env("CARBONMAPPER_PASSWORD", GUESS);
    let _ = sandbox.broker(&["token", "carbonmapper"]).ends(6);
    let _ = sandbox.broker(&["token", "carbonmapper"]).ends(6).says("not tried again");
    assert_eq!(service.count("pair"), 2, "an unattended try is made once");
    let mark = sandbox.record("carbonmapper")["failures"][""]["secret_mark"].clone();
    assert_eq!(mark.as_str().map(str::len), Some(4), "16 bits in hex confirm no guess: {mark}");
}

#[test]
fn where_nobody_sits_nobody_is_asked() {
    let service = service();
    let run = with(&service).broker(&["login", "carbonmapper"]).ends(3).says("CARBONMAPPER_EMAIL");
    assert_eq!(run.out, "");
    let sandbox = with(&service).with_env("CARBONMAPPER_EMAIL", EMAIL);
    let _ = sandbox.broker(&["login", "carbonmapper"]).ends(3).fails_with("prompt_unavailable");
    assert!(service.seen().is_empty());
}

#[test]
fn logout_forgets_and_says_where_to_delete() {
    let service = service();
    let sandbox = logged_in(&service);
    let _ = sandbox.broker(&["token", "carbonmapper", "--scope", "stac"]).token();
    let name = service.minted()[0].0.clone();
    let run = sandbox.broker(&["logout", "carbonmapper"]).ends(0);
    let _ = run.says("platform.carbonmapper.org/account/tokens").says(&name);
    let _ = sandbox.broker(&["token", "carbonmapper"]).ends(3);
}
