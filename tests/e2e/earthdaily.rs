//! Tests how the broker gets EarthDaily tokens with client credentials.

use broker_e2e::Sandbox;
use broker_testkit::{Auth, EarthDaily, EarthDailyOptions, ExpiresIn};
use chrono::TimeDelta;

use crate::stage::earthdaily;

fn with(service: &EarthDaily) -> Sandbox {
    Sandbox::new().with_config(&format!("[providers.earthdaily]\nauth_url = \"{}\"\n", service.auth_url()))
}

#[test]
fn client_secret_in_environment_works_without_configuration() {
    let (service, sandbox) = earthdaily("");
    let token = sandbox.broker(&["token", "earthdaily"]).token();
    assert!(service.access_is_live(&token));
    assert_eq!(sandbox.broker(&["token", "earthdaily"]).token(), token);
    assert_eq!(service.exchanges(), 1, "the stored token is used");
}

#[test]
fn earthdaily_reads_url_id_and_secret_from_eds_variables() {
    let options = EarthDailyOptions {
        client_id: "legacy:id".into(),
        secret: "s p%c/é KANARIE".into(),
        ..EarthDailyOptions::default()
    };
    let service = EarthDaily::start(options);
    let sandbox = Sandbox::new()
        .with_env("EDS_AUTH_URL", &format!("{}/oauth2/token", service.url()))
        .with_env("EDS_CLIENT_ID", "legacy:id")
        .with_env("EDS_SECRET", "s p%c/é KANARIE")
        .with_env("EDS_API_URL", "https://api.earthdaily.com/platform/v1/stac");
    assert!(service.access_is_live(&sandbox.broker(&["token", "earthdaily"]).token()));
    let seen = service.seen().pop().expect("a request");
    assert_eq!(seen.path, "/oauth2/token");
    assert!(seen.header("authorization").expect("HTTP Basic by default").starts_with("Basic "));
    assert_eq!(seen.body, "grant_type=client_credentials");
}

#[test]
fn secret_works_where_basic_is_not_form_encoded() {
    let secret = "ab/cd+ef== KANARIE%~:";
    let service = EarthDaily::start(EarthDailyOptions {
        secret: secret.to_owned(),
        accept: Auth::RawBasicOnly,
        ..EarthDailyOptions::default()
    });
    let sandbox = with(&service).with_env("EDS_SECRET", secret);
    assert!(service.access_is_live(&sandbox.broker(&["token", "earthdaily"]).token()));
    assert_eq!(service.count("token"), 2, "the form-encoded credentials were refused first");
    assert!(service.access_is_live(&sandbox.broker(&["token", "earthdaily", "--force"]).token()));
    assert_eq!(service.count("token"), 3, "the record names the spelling that works");
    service.set_secret("another");
    let _ = sandbox.broker(&["token", "earthdaily", "--force"]).ends(6).says("`client_auth = ");
}

#[test]
fn client_auth_body_setting_sends_credentials_in_body() {
    let service =
        EarthDaily::start(EarthDailyOptions { accept: Auth::BodyOnly, ..EarthDailyOptions::default() });
    let sandbox = with(&service);
    let settings = "client_auth = \"body\"\nclient_secret = \"standin-api-token\"\n";
    sandbox.write_config(&(sandbox.config() + settings));
    let run = sandbox.broker(&["token", "earthdaily"]).says("`client_secret`");
    assert!(service.access_is_live(&run.token()));
    assert_eq!(service.seen()[0].header("authorization"), None);
}

#[test]
fn token_lifetime_is_from_expires_in_else_jwt_else_1h() {
    for (form, jwt, lifetime) in [
        (ExpiresIn::Number, false, 7200),
        (ExpiresIn::String, false, 7200),
        (ExpiresIn::Missing, true, 7200),
        (ExpiresIn::Missing, false, 3600),
    ] {
        let options =
            EarthDailyOptions { expires_in_form: form, jwt, life: 7200, ..EarthDailyOptions::default() };
        let service = EarthDaily::start(options);
        let sandbox = with(&service).with_env("EDS_SECRET", "standin-api-token");
        let json = sandbox.broker(&["token", "earthdaily", "--format", "json"]).json();
        let left = json["expires_in"].as_i64().expect("seconds");
        assert!((lifetime - 60..=lifetime).contains(&left), "{form:?} jwt {jwt}: {left}");
        sandbox.age("earthdaily", TimeDelta::seconds(lifetime));
        let next = sandbox.broker(&["token", "earthdaily"]).token();
        assert_ne!(next, json["token"], "an expired token is not used");
    }
}
