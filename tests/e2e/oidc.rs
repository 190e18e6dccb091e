//! Tests logins at an independent OpenID server, npm's `oidc-provider`, with the types `earthscope` and `oauth2`.

mod browser;
pub(crate) mod code;
mod issuer;
pub(crate) mod service;

use broker_e2e::Sandbox;
use chrono::TimeDelta;

use browser::{Browser, Page};
use service::{Counts, Options, Service, login};

use crate::stage::concurrent_tokens;

/// The lifetime of the server's access tokens.
const LIFETIME: TimeDelta = TimeDelta::hours(1);

/// Confirms the code and approves the device login, as the user.
fn approve(browser: &mut Browser, page: &Page) {
    let confirm = confirm_code(browser, page);
    let sign_in = browser.submit(&confirm, &[]);
    let consent = browser.submit(&sign_in, &[("login", "anna"), ("password", "any")]);
    let done = browser.submit(&consent, &[]);
    assert!(done.status == 200 && done.shows("Sign-in Success"), "{done:?}");
}

/// Submits the form that the page's JavaScript would submit. Returns the page that asks to confirm the code.
fn confirm_code(browser: &mut Browser, page: &Page) -> Page {
    let confirm = browser.submit(page, &[]);
    assert!(confirm.shows("Confirm Device"), "{confirm:?}");
    confirm
}

fn logged_in(options: &Options) -> (Service, Sandbox) {
    let service = Service::start(options);
    let sandbox = service.sandbox();
    let run = login(&sandbox, approve).ends(0);
    assert_eq!(run.out, "", "a login prints nothing on stdout");
    (service, sandbox)
}

fn token(sandbox: &Sandbox) -> String {
    sandbox.broker(&["token", "earthscope"]).token()
}

fn refresh_token(sandbox: &Sandbox, provider: &str) -> String {
    sandbox.record(provider)["grant"]["secret"].as_str().expect("a refresh token").to_owned()
}

/// Renews a token four times, and once more from concurrent processes. Checks that each refresh token is sent once.
fn check_rotation(service: &Service, sandbox: &Sandbox, provider: &str, client: &str, processes: usize) {
    let words = ["token", provider];
    let (mut access, mut refresh) = (sandbox.broker(&words).token(), refresh_token(sandbox, provider));
    for round in 1..=4 {
        sandbox.age(provider, LIFETIME);
        let (new_access, new_refresh) = (sandbox.broker(&words).token(), refresh_token(sandbox, provider));
        assert!(new_access != access && new_refresh != refresh, "round {round}");
        assert_eq!(service.owner_of(&new_access).0.as_deref(), Some(client), "round {round}");
        assert_eq!(service.counts().refreshes, round);
        (access, refresh) = (new_access, new_refresh);
    }
    let before = service.counts();
    sandbox.age(provider, LIFETIME);
    let tokens = concurrent_tokens(sandbox, &words, processes);
    assert!(tokens.iter().all(|token| *token == tokens[0] && *token != access), "{tokens:?}");
    assert_eq!(service.owner_of(&tokens[0]).0.as_deref(), Some(client));
    let one_more =
        Counts { token_requests: before.token_requests + 1, refreshes: before.refreshes + 1, ..before };
    assert_eq!((service.counts(), before.grants_revoked), (one_more, 0));
}

#[test]
#[ignore = "needs node and npm"]
fn stored_token_is_returned_without_a_request() {
    // If the server sends no interval, the broker polls every 5 s.
    let (service, sandbox) = logged_in(&Options { interval: None, ..Options::default() });
    let before = service.counts();
    assert_eq!(before.refreshes, 0);
    assert!(service.is_live(&token(&sandbox)));
    let status = sandbox.broker(&["status", "earthscope", "--json"]).json();
    assert_eq!(status["providers"][0]["name"], "earthscope");
    assert_eq!(status["providers"][0]["state"], "valid");
    assert_eq!(service.counts(), before, "the stored token is used");
}

#[test]
#[ignore = "needs node and npm"]
fn concurrent_callers_use_rotating_refresh_token_once() {
    let (service, sandbox) = logged_in(&Options::default());
    check_rotation(&service, &sandbox, "earthscope", service::CLIENT_ID, 16);
}

#[test]
#[ignore = "needs node and npm"]
fn refresh_token_that_does_not_rotate_stays_stored() {
    let (service, sandbox) = logged_in(&Options { rotate: false, ..Options::default() });
    let (mut access, refresh) = (token(&sandbox), refresh_token(&sandbox, "earthscope"));
    for round in 1..=3 {
        sandbox.age("earthscope", LIFETIME);
        let new = token(&sandbox);
        assert!(service.is_live(&new) && new != access);
        assert_eq!(refresh_token(&sandbox, "earthscope"), refresh);
        assert_eq!(service.counts().refreshes, round);
        access = new;
    }
}

#[test]
#[ignore = "needs node and npm"]
fn denied_device_login_fails() {
    let service = Service::start(&Options::default());
    let sandbox = service.sandbox();
    let deny_at_code = |browser: &mut Browser, page: &Page| {
        let confirm = confirm_code(browser, page);
        let aborted = browser.submit(&confirm, &[("abort", "yes")]);
        assert!(aborted.shows("interrupted"), "{aborted:?}");
    };
    let deny_at_sign_in = |browser: &mut Browser, page: &Page| {
        let confirm = confirm_code(browser, page);
        let sign_in = browser.submit(&confirm, &[]);
        let aborted = browser.click(&sign_in, "[ Cancel ]");
        assert!(aborted.shows("interrupted"), "{aborted:?}");
    };
    let _ = login(&sandbox, deny_at_code).ends(6).fails_with("access_denied");
    let _ = login(&sandbox, deny_at_sign_in).ends(6).fails_with("access_denied");
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3).fails_with("login_required");
}

#[test]
#[ignore = "needs node and npm"]
fn logout_revokes_the_login_at_the_service() {
    let (service, sandbox) = logged_in(&Options::default());
    let (access, refresh) = (token(&sandbox), refresh_token(&sandbox, "earthscope"));
    let _ = sandbox.broker(&["logout", "earthscope"]).ends(0);
    let counts = service.counts();
    assert_eq!((counts.revocations, counts.grants_revoked), (1, 1));
    assert!(!service.is_live(&access) && !sandbox.record_path("earthscope").exists());
    let words = ["login", "earthscope", "--refresh-token-stdin"];
    let _ = sandbox.broker_reading(&words, &refresh).ends(6).fails_with("request_refused");
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3).fails_with("login_required");
}

#[test]
#[ignore = "needs node and npm"]
fn reuse_of_a_refresh_token_ends_the_login() {
    let (service, sandbox) = logged_in(&Options::default());
    let stolen = refresh_token(&sandbox, "earthscope");
    sandbox.age("earthscope", LIFETIME);
    let current = token(&sandbox);
    let replayed = service.replay(&stolen);
    assert_eq!((replayed.status, &replayed.json()["error"]), (400, &"invalid_grant".into()));
    assert!(service.counts().grants_revoked == 1 && !service.is_live(&current));
    sandbox.age("earthscope", LIFETIME);
    let fails = || sandbox.broker(&["token", "earthscope"]).ends(3).fails_with("grant_refused");
    let _ = fails();
    let requests = service.counts().token_requests;
    let _ = fails();
    assert_eq!(service.counts().token_requests, requests, "a refused refresh token is not sent again");
    let _ = login(&sandbox, approve).ends(0);
    assert!(service.is_live(&token(&sandbox)), "a new login works");
}
