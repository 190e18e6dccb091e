//! Tests that only the service's own words end a login or refuse a password: gateways also answer 401, 403 and 404.

use broker_e2e::Sandbox;
use broker_testkit::{CarbonMapper, EarthScopeOptions, Fault, Server, TokenService, TokenServiceOptions};
use chrono::TimeDelta;

use crate::login_kind::methane;
use crate::stage::{carbonmapper, logged_in};

const PASSWORD: &str = "standin-password";

/// Answers of gateways, proxies, firewalls, and the sign-in pages of networks.
const NOT_THE_SERVICE: [(u16, &str, &str); 18] = [
    (401, "", ""),
    (403, "", ""),
    (401, "application/json", r#"{"message":"Unauthorized"}"#),
    (403, "application/json", r#"{"message":"Missing Authentication Token"}"#),
    (401, "application/json", r#"{"statusCode":401,"message":"missing subscription key"}"#),
    (401, "application/json", r#"{"error":"invalid_token","error_description":"The access token expired"}"#),
    (403, "application/json", r#"{"success":false,"errors":[{"code":1020,"message":"Access denied"}]}"#),
    (401, "text/plain", "Jwt is missing"),
    (400, "application/json", "{}"),
    (400, "application/json", r#"{"message":"Service under maintenance"}"#),
    (401, "application/json", r#"{"error":"login_required","portal":"http://portal/"}"#),
    (403, "application/json", r#"{"error":"quota_exceeded"}"#),
    (404, "application/json", r#"{"detail":"Not Found"}"#),
    (405, "application/json", r#"{"detail":"Method \"POST\" not allowed."}"#),
    (407, "application/json", r#"{"error":"proxy"}"#),
    (410, "application/json", r#"{"detail":"Gone"}"#),
    (413, "application/json", "{}"),
    (451, "application/json", r#"{"error":"blocked"}"#),
];

fn answer((status, kind, body): (u16, &str, &str)) -> Fault {
    let kind = (!kind.is_empty()).then(|| ("content-type".to_owned(), kind.to_owned()));
    Fault::Answer { status, headers: kind.into_iter().collect(), body: body.to_owned() }
}

/// Checks that no such answer to the request `route` loses the login: exit 4, and then a token.
#[track_caller]
fn keeps_login(server: &Server, sandbox: &Sandbox, provider: &str, route: &str) {
    for not_the_service in NOT_THE_SERVICE {
        server.fault(route, answer(not_the_service));
        let run = sandbox.broker(&["token", provider, "--force"]);
        // The stored token is valid, so the failed renewal is only a warning.
        assert!(matches!(run.code, 0 | 4), "{not_the_service:?}: {run:?}");
        sandbox.age(provider, TimeDelta::days(2));
        server.fault(route, answer(not_the_service));
        let _ = sandbox.broker(&["token", provider]).ends(4);
        let _ = sandbox.broker(&["token", provider]).token();
    }
}

fn lab(keys: &str) -> (TokenService, Sandbox) {
    let service = TokenService::start(TokenServiceOptions::default());
    let config = format!(
        "[providers.lab]\nkind = \"oauth2\"\ntoken_url = \"{}/token\"\nclient_id = \"c\"\n{keys}",
        service.url()
    );
    (service, Sandbox::new().with_config(&config).with_env("LAB_PASSWORD", PASSWORD))
}

const BY_PASSWORD: &str = "flow = \"password\"\nusername = \"ada\"\npassword = { env = \"LAB_PASSWORD\" }\n";
const ASKED: &str = "flow = \"password\"\nusername = \"ada\"\n";

fn lab_logged_in(keys: &str) -> (TokenService, Sandbox) {
    let (service, sandbox) = lab(&format!("{ASKED}{keys}"));
    let _ = sandbox.broker_reading(&["login", "lab", "--password-stdin"], PASSWORD).ends(0);
    sandbox.age("lab", TimeDelta::hours(2));
    (service, sandbox)
}

#[test]
fn gateway_answers_to_a_refresh_end_no_login() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "share = false\n");
    keeps_login(&service, &sandbox, "earthscope", "token");
    let (service, sandbox) = lab_logged_in("");
    keeps_login(&service, &sandbox, "lab", "token");
    let (service, sandbox) = carbonmapper("email = \"ada@example.org\"\n");
    let _ = sandbox.broker_reading(&["login", "carbonmapper", "--password-stdin"], PASSWORD).ends(0);
    keeps_login(&service, &sandbox, "carbonmapper", "refresh");
    let service = CarbonMapper::start(broker_testkit::CarbonMapperOptions::default());
    let sandbox = Sandbox::new().with_config(&methane(&service.base_url()));
    let _ = sandbox.broker_reading(&["login", "methane", "--password-stdin"], PASSWORD).ends(0);
    keeps_login(&service, &sandbox, "methane", "refresh");
}

#[test]
fn gateway_answers_to_a_password_do_not_mark_it_as_wrong() {
    let at_lab = || lab(BY_PASSWORD);
    for not_the_service in NOT_THE_SERVICE {
        let (service, sandbox) = at_lab();
        service.fault("token", answer(not_the_service));
        let _ = sandbox.broker(&["token", "lab"]).ends(4);
        let _ = sandbox.broker(&["token", "lab"]).token();
        let (service, sandbox) = carbonmapper("email = \"ada@example.org\"\n");
        let sandbox = sandbox.with_env("CARBONMAPPER_PASSWORD", PASSWORD);
        service.fault("pair", answer(not_the_service));
        let _ = sandbox.broker(&["token", "carbonmapper"]).ends(4);
        let _ = sandbox.broker(&["token", "carbonmapper"]).token();
        let tables =
            methane(&service.base_url()).replacen("kind =", "password = { env = \"PW\" }\nkind =", 1);
        let sandbox = Sandbox::new().with_config(&tables).with_env("PW", PASSWORD);
        service.fault("pair", answer(not_the_service));
        let _ = sandbox.broker(&["token", "methane"]).ends(4);
        let _ = sandbox.broker(&["token", "methane"]).token();
    }
}

#[test]
fn services_with_codes_of_their_own_end_a_login() {
    for (status, body) in [
        (400, r#"{"error":"invalid_grant"}"#),
        (401, r#"{"error":"invalid_token","error_description":"The token expired, was revoked"}"#),
        (200, r#"{"error":"bad_refresh_token"}"#),
        (200, "error=bad_refresh_token&error_description=expired"),
        (400, r#"{"error":{"code":"invalid_grant"}}"#),
        (400, r#"{"success":false,"errors":[{"errorType":"invalid_grant"}]}"#),
        (200, r#"{"ok":false,"error":"invalid_refresh_token"}"#),
        (400, r#"{"status":"BAD_REFRESH_TOKEN"}"#),
    ] {
        let (service, sandbox) = lab_logged_in("");
        service.fault_always("token", answer((status, "", body)));
        service.forget_seen();
        for _ in 0..2 {
            let _ = sandbox.broker(&["token", "lab"]).ends(3).says("broker login lab");
        }
        assert_eq!(service.count("token"), 1, "{body}");
    }
}

#[test]
fn configured_error_final_replaces_the_known_codes() {
    let keys = "error_final = [\"session_over\"]\n";
    for (body, exit) in [
        (r#"{"error":"session_over"}"#, 3),
        (r#"{"error":{"type":"session_over"}}"#, 3),
        (r#"{"error":"invalid_grant"}"#, 3),
        (r#"{"error":"bad_refresh_token"}"#, 4),
        (r#"{"error":"invalid_client"}"#, 6),
    ] {
        let (service, sandbox) = lab_logged_in(keys);
        service.fault_always("token", answer((400, "", body)));
        let _ = sandbox.broker(&["token", "lab"]).ends(exit);
    }
}

#[test]
fn gateway_answer_to_client_credentials_is_transient() {
    let keys = "flow = \"client_credentials\"\nclient_secret = \"s3cret-KANARIE\"\n";
    for ((status, body), exit) in [
        ((401, ""), 4),
        ((403, ""), 4),
        ((404, r#"{"message":"no route"}"#), 4),
        ((407, r#"{"error":"proxy"}"#), 4),
        ((413, r#"{"error":"too large"}"#), 4),
        ((404, r#"{"error":"invalid_client"}"#), 6),
        ((401, r#"{"message":"wrong secret"}"#), 6),
        ((403, r#"{"message":"other environment"}"#), 6),
        ((200, r#"{"error":{"message":"account is locked"}}"#), 6),
        ((200, r#"{"success":false,"message":"maintenance"}"#), 6),
        ((200, r#"{"message":"maintenance"}"#), 4),
    ] {
        let (service, sandbox) = lab(keys);
        service.fault_always("token", answer((status, "", body)));
        let run = sandbox.broker(&["token", "lab"]);
        assert_eq!(run.code, exit, "{status} {body}: {}", run.err);
    }
}

#[test]
fn token_of_an_answer_in_another_encoding_is_used() {
    let (service, sandbox) = lab_logged_in("");
    for body in ["access_token=tok-KANARIE&expires_in=60", "\u{feff}{\"access_token\":\"tok-KANARIE\"}"] {
        service.fault("token", answer((200, "text/plain", body)));
        assert_eq!(sandbox.broker(&["token", "lab", "--force"]).token(), "tok-KANARIE", "{body}");
    }
    // The token itself is damaged, so it is not used.
    service.fault("token", Fault::raw(|_| b"HTTP/1.1 200 OK\r\n\r\n{\"access_token\":\"tok\xff\"}".to_vec()));
    sandbox.age("lab", TimeDelta::days(2));
    let _ = sandbox.broker(&["token", "lab"]).ends(4).fails_with("bad_response");
}
