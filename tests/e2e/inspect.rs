//! `broker inspect`: what a held token says of itself, and never the token; and what `status` tells besides.

use broker_e2e::Sandbox;
use broker_testkit::{EarthDaily, EarthDailyOptions, EarthScopeOptions};
use chrono::{DateTime, TimeDelta, Utc};

use crate::stage::logged_in;

#[test]
fn claims_are_shown_and_the_token_is_not() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    let token = sandbox.broker(&["token", "earthscope"]).token();
    service.forget_seen();
    let run = sandbox.broker(&["inspect", "earthscope"]).ends(0);
    for line in ["header", "  alg ", "claims", "auth0|5f1e"] {
        assert!(run.out.contains(line), "{line}: {}", run.out);
    }
    let json = sandbox.broker(&["inspect", "earthscope", "--json"]).json();
    let claims = json["claims"].as_object().expect("claims");
    let exp = claims["exp"].as_i64().and_then(|at| DateTime::<Utc>::from_timestamp(at, 0)).expect("exp");
    let shown = exp.format("%FT%TZ").to_string();
    assert_eq!(json["times"]["exp"], shown.as_str());
    assert!(
        run.out.contains(&format!("{}  {shown}", claims["exp"])),
        "the time beside the number: {}",
        run.out
    );
    for part in token.split('.') {
        assert!(!run.out.contains(part) && !json.to_string().contains(part), "no part of the token");
    }
    assert!(service.seen().is_empty());
    // Whatever its age.
    sandbox.age("earthscope", TimeDelta::days(2));
    let old = sandbox.broker(&["inspect", "earthscope"]).ends(0);
    assert!(old.out.contains("Bearer token, expired 20"), "{}", old.out);
    assert!(service.seen().is_empty());
}

#[test]
fn what_a_service_says_steers_no_terminal() {
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
fn without_a_token_there_is_nothing_to_see() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    let other = sandbox.broker(&["inspect", "earthscope", "--scope", "openid"]).ends(3);
    let _ =
        other.says("there are tokens for: (no scope)\n").says("run: broker token earthscope --scope openid");
    let _ = Sandbox::new().broker(&["inspect", "earthscope"]).ends(3).says("run: broker token earthscope\n");
    let _ = sandbox.broker(&["inspect", "none"]).ends(2);
    assert!(service.seen().is_empty());
}

#[test]
fn an_opaque_token_is_said_to_be_one() {
    let service = EarthDaily::start(EarthDailyOptions { jwt: false, ..EarthDailyOptions::default() });
    let config = format!(
        "[providers.earthdaily]\nauth_url = \"{}\"\nclient_secret = \"standin-secret\"\n",
        service.auth_url()
    );
    let sandbox = Sandbox::new().with_config(&config);
    service.set_secret("standin-secret");
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
    let run = sandbox.broker(&["inspect", "earthdaily"]).ends(0);
    assert!(run.out.contains("Bearer token, expires 20") && run.out.contains("it is opaque"), "{}", run.out);
    let json = sandbox.broker(&["inspect", "earthdaily", "--json"]).json();
    assert!(json["claims"].is_null() && json["header"].is_null() && json["expires_in"].is_i64(), "{json}");
}

#[test]
fn status_tells_where_to_and_when() {
    let (_service, sandbox) = logged_in(EarthScopeOptions::default(), "hosts = [\"data.example.org\"]\n");
    let status = &sandbox.broker(&["status", "earthscope", "--json"]).json()["providers"][0];
    assert_eq!(status["hosts"][0], "data.example.org");
    assert_eq!(status["renews_at"], status["tokens"][0]["renews_at"]);
    assert!(status["sources"].is_array());
    let out = sandbox.broker(&["status", "earthscope"]).ends(0).out;
    assert!(
        out.lines().filter(|line| !line.starts_with(' ')).all(|line| line.chars().count() <= 80),
        "{out}"
    );
    let file = sandbox.tokens_path().display().to_string();
    let details =
        ["offered to            data.example.org\n", "next renewal          20", "EARTHSCOPE_TOKEN\n", &file];
    assert!(details.iter().all(|detail| out.contains(detail)), "{out}");
    let all = sandbox.broker(&["status"]).ends(0).out;
    assert!(!all.contains("next renewal"), "who asks for all sees the table: {all}");
}
