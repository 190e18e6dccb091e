//! `EarthScope`: device login, refresh, client credentials, revocation and the profile (facts: `EarthScope`).

mod activate;
mod device;
mod service;

use std::ops::Deref;
use std::sync::{Arc, Mutex};

use super::refresh::{Grant, Rotation};
use device::{Decision, Policy};
use service::State;

use super::expires_in::ExpiresIn;
use super::locked;
use super::server::Server;
use super::time::{Now, system_clock};

/// How the `EarthScope` fake server behaves.
#[derive(Clone)]
pub struct EarthScopeOptions {
    /// The only client it knows.
    pub client_id: String,
    /// The only audience it knows.
    pub audience: String,
    /// With one, the client may ask for tokens without a person (RFC 6749 section 4.4).
    pub client_secret: Option<String>,
    /// What a refresh does to the refresh token.
    pub rotation: Rotation,
    /// How often a spent refresh token is still taken.
    pub refresh_grace: usize,
    /// Life of an access token in seconds.
    pub token_life: u64,
    /// Life of keys for Amazon's services in seconds.
    pub aws_life: u64,
    /// The form of `expires_in` in token answers.
    pub expires_in_form: ExpiresIn,
    /// Seconds between polls; `None` leaves it out, which means 5 (RFC 8628 section 3.2).
    pub interval: Option<u64>,
    /// The device answer has `verification_uri_complete`.
    pub complete_uri: bool,
    /// Life of a device code in seconds.
    pub code_life: u64,
    /// How many polls of each code are answered `slow_down` first.
    pub slow_down_polls: usize,
    /// A poll sooner than the interval after the one before, by the service's clock, is answered `slow_down`.
    pub strict_polling: bool,
    /// Status of the other answers to polls; the RFC says 400, Auth0 says 403. `slow_down` comes with 429.
    pub pending_status: u16,
    /// Status of `invalid_grant`; the RFC says 400, Auth0 says 403.
    pub invalid_grant_status: u16,
    /// `sub` of the person's tokens; one with `???` gives a JWT payload with `_`, which breaks old SDKs.
    pub user_subject: String,
    /// The person's address.
    pub email: String,
    /// The service's clock.
    pub now: Now,
}

impl Default for EarthScopeOptions {
    fn default() -> Self {
        Self {
            client_id: "b9DtAFBd6QvMg761vI3YhYquNZbJX5G0".to_owned(),
            audience: "https://api.earthscope.org".to_owned(),
            client_secret: None,
            rotation: Rotation::Keep,
            refresh_grace: 0,
            token_life: 86_400,
            aws_life: 3600,
            expires_in_form: ExpiresIn::Number,
            interval: Some(5),
            complete_uri: true,
            code_life: 900,
            slow_down_polls: 0,
            strict_polling: false,
            pending_status: 403,
            invalid_grant_status: 403,
            user_subject: "auth0|5f1e".to_owned(),
            email: "ada@example.org".to_owned(),
            now: system_clock(),
        }
    }
}

/// A running `EarthScope` fake server; routes `device`, `token`, `revoke`, `profile`, `aws` and `activate`.
///
/// It is login domain and API in one.
pub struct EarthScope {
    server: Server,
    state: Arc<Mutex<State>>,
}

impl Deref for EarthScope {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl EarthScope {
    /// Starts it.
    #[must_use]
    pub fn start(options: EarthScopeOptions) -> Self {
        let now = options.now.clone();
        let (server, state) = Server::start(now, |url, clock| State::new(options, url, clock));
        Self { server, state }
    }

    /// The person approves that code.
    ///
    /// # Panics
    /// When there is no such code.
    pub fn approve(&self, user_code: &str) {
        self.decide(user_code, Decision::Approved);
    }

    /// The person denies that code.
    ///
    /// # Panics
    /// When there is no such code.
    pub fn deny(&self, user_code: &str) {
        self.decide(user_code, Decision::Denied);
    }

    fn decide(&self, user_code: &str, decision: Decision) {
        let known = locked(&self.state).codes.decide(user_code, decision);
        assert!(known, "no device waits with the code {user_code}");
    }

    /// Every code is approved, present and future.
    pub fn approve_all(&self) {
        self.set_policy(Policy::Decide(Decision::Approved));
    }

    /// Every code is denied, present and future.
    pub fn deny_all(&self) {
        self.set_policy(Policy::Decide(Decision::Denied));
    }

    /// Every code is approved once it was polled so many times in vain.
    pub fn approve_after(&self, polls: usize) {
        self.set_policy(Policy::ApproveAfter(polls));
    }

    fn set_policy(&self, policy: Policy) {
        locked(&self.state).codes.set_policy(policy);
    }

    /// Every present code expires now.
    pub fn expire_codes(&self) {
        locked(&self.state).codes.expire_all();
    }

    /// Every user code given so far, in order.
    #[must_use]
    pub fn user_codes(&self) -> Vec<String> {
        locked(&self.state).codes.user_codes()
    }

    /// Makes every refresh token given so far invalid, as an administrator would.
    pub fn revoke_everything(&self) {
        locked(&self.state).book.revoke_all();
    }

    /// How many refresh exchanges succeeded.
    #[must_use]
    pub fn refreshes(&self) -> usize {
        locked(&self.state).book.refreshes
    }

    /// How many times a spent refresh token was refused, whatever came of it.
    #[must_use]
    pub fn reuse_events(&self) -> usize {
        locked(&self.state).book.reuses
    }

    /// The refresh tokens that were revoked over HTTP, in order.
    #[must_use]
    pub fn revoked(&self) -> Vec<String> {
        locked(&self.state).book.revoked.clone()
    }

    /// A refresh token for scope `offline_access`, as if from a login elsewhere.
    #[must_use]
    pub fn issue_refresh_token(&self) -> String {
        let mut state = locked(&self.state);
        let grant = Grant { scope: "offline_access".to_owned(), audience: state.options.audience.clone() };
        state.book.issue(grant)
    }

    /// Whether a refresh with that token would succeed now.
    #[must_use]
    pub fn is_live(&self, refresh: &str) -> bool {
        locked(&self.state).book.peek(refresh).is_some()
    }

    /// Whether the API takes that access token now.
    #[must_use]
    pub fn access_is_live(&self, token: &str) -> bool {
        locked(&self.state).is_live(token)
    }
}
