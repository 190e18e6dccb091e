//! A login service that nobody here wrote, npm's `oidc-provider`: in `EarthScope`'s place, and by configuration alone.

mod browser;
mod code;
mod issuer;
mod service;

use broker_e2e::{Sandbox, finish};
use chrono::TimeDelta;

use browser::{Browser, Page};
use service::{Options, Service, login};

/// The life of the service's tokens.
const LIFE: TimeDelta = TimeDelta::hours(1);

/// What a person does who wants to log in.
fn approve(browser: &mut Browser, page: &Page) {
    let confirm = confirm_code(browser, page);
    let sign_in = browser.submit(&confirm, &[]);
    let consent = browser.submit(&sign_in, &[("login", "anna"), ("password", "any")]);
    let done = browser.submit(&consent, &[]);
    assert!(done.status == 200 && done.shows("Sign-in Success"), "{done:?}");
}

/// The page has sent its form by itself where scripts run; then it asks whether the code is the right one.
fn confirm_code(browser: &mut Browser, page: &Page) -> Page {
    let confirm = browser.submit(page, &[]);
    assert!(confirm.shows("Confirm Device"), "{confirm:?}");
    confirm
}

fn logged_in(service: &Service) -> Sandbox {
    let sandbox = service.sandbox();
    let run = login(&sandbox, approve).ends(0).says("earthscope: logged in");
    assert_eq!(run.out, "", "nothing for programs");
    sandbox
}

fn token(sandbox: &Sandbox) -> String {
    sandbox.broker(&["token", "earthscope"]).token()
}

fn refresh_token(sandbox: &Sandbox) -> String {
    sandbox.record("earthscope")["grant"]["secret"].as_str().expect("a refresh token").to_owned()
}

#[test]
#[ignore = "needs node and npm"]
fn an_approved_login_is_used_without_another_request() {
    // This one polls as the service leaves it to do.
    let options = Options { interval: None, ..Options::default() };
    let Some(service) = Service::start(&options) else { return };
    let sandbox = logged_in(&service);
    let before = service.counts();
    assert_eq!(before.refreshes, 0);
    assert!(service.is_live(&token(&sandbox)));
    let status = sandbox.broker(&["status", "earthscope", "--json"]).json();
    assert_eq!(status["providers"][0]["name"], "earthscope");
    assert_eq!(status["providers"][0]["state"], "valid");
    assert_eq!(service.counts(), before, "what is held is used");
}

#[test]
#[ignore = "needs node and npm"]
fn rotating_refresh_tokens_are_renewed_again_and_again_and_once_for_all() {
    let Some(service) = Service::start(&Options::default()) else { return };
    let sandbox = logged_in(&service);
    let (mut access, mut refresh) = (token(&sandbox), refresh_token(&sandbox));
    for round in 1..=4 {
        sandbox.age("earthscope", LIFE);
        let (new_access, new_refresh) = (token(&sandbox), refresh_token(&sandbox));
        assert!(service.is_live(&new_access) && new_access != access && new_refresh != refresh);
        assert_eq!(service.counts().refreshes, round);
        (access, refresh) = (new_access, new_refresh);
    }
    let before = service.counts();
    sandbox.age("earthscope", LIFE);
    let all: Vec<_> = (0..16).map(|_| sandbox.start(&["token", "earthscope"])).collect();
    let tokens: Vec<_> = all.into_iter().map(|child| finish(child).token()).collect();
    assert!(tokens.iter().all(|token| *token == tokens[0] && *token != access), "{tokens:?}");
    let after = service.counts();
    assert_eq!(after.refreshes, before.refreshes + 1);
    assert_eq!(after.token_requests, before.token_requests + 1, "nor did one that failed ask");
    assert!(service.is_live(&tokens[0]));
    assert_eq!(after.grants_revoked, 0);
}

#[test]
#[ignore = "needs node and npm"]
fn a_refresh_token_that_does_not_rotate_is_kept() {
    let options = Options { rotate: false, ..Options::default() };
    let Some(service) = Service::start(&options) else { return };
    let sandbox = logged_in(&service);
    let (mut access, refresh) = (token(&sandbox), refresh_token(&sandbox));
    for round in 1..=3 {
        sandbox.age("earthscope", LIFE);
        let new = token(&sandbox);
        assert!(service.is_live(&new) && new != access);
        assert_eq!(refresh_token(&sandbox), refresh);
        assert_eq!(service.counts().refreshes, round);
        access = new;
    }
}

#[test]
#[ignore = "needs node and npm"]
fn a_denied_login_is_refused() {
    let Some(service) = Service::start(&Options::default()) else { return };
    let sandbox = service.sandbox();
    let at_the_code = |browser: &mut Browser, page: &Page| {
        let confirm = confirm_code(browser, page);
        let aborted = browser.submit(&confirm, &[("abort", "yes")]);
        assert!(aborted.shows("interrupted"), "{aborted:?}");
    };
    let at_the_sign_in = |browser: &mut Browser, page: &Page| {
        let confirm = confirm_code(browser, page);
        let sign_in = browser.submit(&confirm, &[]);
        let aborted = browser.click(&sign_in, "[ Cancel ]");
        assert!(aborted.shows("interrupted"), "{aborted:?}");
    };
    let _ = login(&sandbox, at_the_code).ends(6).says("denied");
    let _ = login(&sandbox, at_the_sign_in).ends(6).says("denied");
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3).says("broker login earthscope");
}

#[test]
#[ignore = "needs node and npm"]
fn a_logout_revokes_at_the_service() {
    let Some(service) = Service::start(&Options::default()) else { return };
    let sandbox = logged_in(&service);
    let (access, refresh) = (token(&sandbox), refresh_token(&sandbox));
    let _ = sandbox.broker(&["logout", "earthscope"]).ends(0).says("revoked at the service");
    let counts = service.counts();
    assert_eq!((counts.revocations, counts.grants_revoked), (1, 1));
    assert!(!service.is_live(&access) && !sandbox.record_path("earthscope").exists());
    let words = ["login", "earthscope", "--refresh-token-stdin"];
    let _ = sandbox.broker_reading(&words, &refresh).ends(6).says("does not accept this refresh token");
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3).says("broker login earthscope");
}

#[test]
#[ignore = "needs node and npm"]
fn a_refresh_token_that_somebody_else_used_again_ends_the_login() {
    let Some(service) = Service::start(&Options::default()) else { return };
    let sandbox = logged_in(&service);
    let stolen = refresh_token(&sandbox);
    sandbox.age("earthscope", LIFE);
    let held = token(&sandbox);
    let replayed = service.replay(&stolen);
    assert_eq!((replayed.status, &replayed.json()["error"]), (400, &"invalid_grant".into()));
    assert!(service.counts().grants_revoked == 1 && !service.is_live(&held));
    sandbox.age("earthscope", LIFE);
    let over = || sandbox.broker(&["token", "earthscope"]).ends(3).says("the login is over");
    let _ = over().says("broker login earthscope");
    let asked = service.counts().token_requests;
    let _ = over();
    assert_eq!(service.counts().token_requests, asked, "what was refused is not sent again");
    let _ = login(&sandbox, approve).ends(0);
    assert!(service.is_live(&token(&sandbox)), "a new login mends it");
}
