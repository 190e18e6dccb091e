//! Tests `broker inspect`, which shows the claims of a stored token but never the token, and `broker status`.

use broker_e2e::Sandbox;
use broker_testkit::{EarthDaily, EarthDailyOptions, EarthScopeOptions};
use chrono::{DateTime, TimeDelta, Utc};

use crate::stage::logged_in;

#[test]
fn inspect_shows_claims_and_hides_the_token() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    let token = sandbox.broker(&["token", "earthscope"]).token();
    service.forget_seen();
    let run = sandbox.broker(&["inspect", "earthscope"]).ends(0);
    let run = run.prints("header").prints("  alg ").prints("claims").prints("auth0|5f1e");
    let json = sandbox.broker(&["inspect", "earthscope", "--json"]).json();
    let claims = json["claims"].as_object().expect("claims");
    let exp = claims["exp"].as_i64().and_then(|at| DateTime::<Utc>::from_timestamp(at, 0)).expect("exp");
    let shown = exp.format("%FT%TZ").to_string();
    assert_eq!(json["times"]["exp"], shown.as_str());
    let run = run.prints(&format!("{}  {shown}", claims["exp"]));
    for part in token.split('.') {
        assert!(!run.out.contains(part) && !json.to_string().contains(part), "no part of the token");
    }
    assert!(service.seen().is_empty());
    // `inspect` also shows the claims of an expired token.
    sandbox.age("earthscope", TimeDelta::days(2));
    let _ = sandbox.broker(&["inspect", "earthscope"]).ends(0).prints("Bearer token, expired 20");
    assert!(service.seen().is_empty());
}

#[test]
fn inspect_removes_control_characters_from_claims() {
    let user_subject = "evil\u{1b}[2J\u{202e}\u{9b}1m".to_owned();
    let (_service, sandbox) =
        logged_in(EarthScopeOptions { user_subject, ..EarthScopeOptions::default() }, "");
    let _ = sandbox.broker(&["token", "earthscope"]).token();
    for words in [&["inspect", "earthscope"][..], &["inspect", "earthscope", "--json"]] {
        let out = sandbox.broker(words).ends(0).out;
        let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(out.contains("evil") && !out.contains(steers), "{out:?}");
    }
    let json = sandbox.broker(&["inspect", "earthscope", "--json"]).json();
    assert_eq!(json["claims"]["sub"], "evil\u{1b}[2J\u{202e}\u{9b}1m", "programs get it whole");
}

#[test]
fn inspect_without_a_stored_token_names_the_login_command() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    let other = sandbox.broker(&["inspect", "earthscope", "--scope", "openid"]).ends(3);
    let _ = other
        .fails_with("login_required")
        .says("(no scope)\n")
        .says("run: broker token earthscope --scope openid");
    let _ = Sandbox::new().broker(&["inspect", "earthscope"]).ends(3).says("run: broker token earthscope\n");
    let _ = sandbox.broker(&["inspect", "none"]).ends(2);
    assert!(service.seen().is_empty());
}

#[test]
fn inspect_reports_an_opaque_token() {
    let service = EarthDaily::start(EarthDailyOptions { jwt: false, ..EarthDailyOptions::default() });
    let config = format!("[providers.earthdaily]\nauth_url = \"{}\"\n", service.auth_url());
    let sandbox = Sandbox::new().with_config(&config).with_env("EDS_SECRET", EarthDaily::SECRET);
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
    let run = sandbox.broker(&["inspect", "earthdaily"]).ends(0);
    let _ = run.prints("Bearer token, expires 20").prints("opaque");
    let json = sandbox.broker(&["inspect", "earthdaily", "--json"]).json();
    assert!(json["claims"].is_null() && json["header"].is_null() && json["expires_in"].is_i64(), "{json}");
}

#[test]
fn status_shows_details_of_a_named_provider() {
    let (_service, sandbox) = logged_in(EarthScopeOptions::default(), "hosts = [\"data.example.org\"]\n");
    let status = &sandbox.broker(&["status", "earthscope", "--json"]).json()["providers"][0];
    assert_eq!(status["hosts"][0], "data.example.org");
    assert_eq!(status["renews_at"], status["tokens"][0]["renews_at"]);
    assert!(status["sources"].is_array());
    let run = sandbox.broker(&["status", "earthscope"]).ends(0);
    let run = run.prints("sent only to          data.example.org\n").prints("next renewal          20");
    let run = run.prints("EARTHSCOPE_TOKEN\n").prints(&sandbox.tokens_path().display().to_string());
    let mut table = run.out.lines().filter(|line| !line.starts_with(' '));
    assert!(table.all(|line| line.chars().count() <= 80), "{}", run.out);
    let all = sandbox.broker(&["status"]).ends(0).out;
    assert!(!all.contains("next renewal"), "without a name only the table: {all}");
}

#[test]
fn status_of_provider_without_token_suggests_a_command() {
    let lab = "kind = 'oauth2'\nflow = 'refresh_token'\ntoken_url = 'https://lab.example/t'\nclient_id = 'c'";
    let sandbox = Sandbox::new().with_config(&format!("[providers.lab]\n{lab}")).with_env("LANG", "C");
    let row = |sandbox: &Sandbox, name: &str| {
        let out = sandbox.broker(&["status"]).ends(0).out;
        let line = out.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).map(str::to_owned);
        line.unwrap_or_else(|| panic!("{name}: {out}"))
    };
    assert_eq!(row(&sandbox, "earthscope"), "not logged in - run: broker login earthscope");
    assert!(row(&sandbox, "lab").ends_with("run: broker login lab --refresh-token-stdin"));
    assert!(row(&sandbox, "earthdaily").ends_with("run: broker doctor earthdaily"));
    let sandbox = sandbox.with_env("EDS_SECRET", "x-KANARIE").with_env("LANG", "de_DE.UTF-8");
    assert_eq!(row(&sandbox, "earthscope"), "not logged in – run: broker login earthscope");
    assert!(row(&sandbox, "earthdaily").ends_with("run: broker token earthdaily"));
}

#[test]
fn status_shows_local_expiry_time_and_automatic_renewal() {
    let (_service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    let sandbox = sandbox.with_env("TZ", "Asia/Kathmandu");
    let status = sandbox.broker(&["status", "earthscope", "--json"]).json();
    let expires = status["providers"][0]["expires_at"].as_str().expect("a time");
    assert!(expires.ends_with('Z'), "UTC in JSON: {expires}");
    let expires: DateTime<Utc> = expires.parse().expect("a time");
    let local = expires + TimeDelta::minutes(5 * 60 + 45);
    let out = sandbox.broker(&["status"]).ends(0).out;
    assert!(out.contains("EXPIRES (+05:45)") && out.contains(&local.format("%F %H:%M").to_string()), "{out}");
    sandbox.age("earthscope", TimeDelta::days(2));
    let out = sandbox.broker(&["status"]).ends(0).out;
    assert!(out.contains("renews on next use") && !out.contains("expired"), "{out}");
}
