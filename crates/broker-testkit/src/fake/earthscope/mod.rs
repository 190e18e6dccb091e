//! `EarthScope`: device login, refresh, client credentials, revocation, AWS keys and the profile.

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

/// The behavior of the `EarthScope` fake server.
#[derive(Clone)]
pub struct EarthScopeOptions {
    /// The only known client.
    pub client_id: String,
    /// The only known audience.
    pub audience: String,
    /// If set, the client may use client credentials (RFC 6749 section 4.4).
    pub client_secret: Option<String>,
    /// What a refresh does to the refresh token.
    pub rotation: Rotation,
    /// How often a spent refresh token is still accepted.
    pub refresh_grace: usize,
    /// Lifetime of an access token in seconds.
    pub token_life: u64,
    /// Lifetime of AWS keys in seconds.
    pub aws_life: u64,
    /// The form of `expires_in` in token responses.
    pub expires_in_form: ExpiresIn,
    /// Seconds between polls; `None` omits the field, which means 5 (RFC 8628 section 3.2).
    pub interval: Option<u64>,
    /// The device response contains `verification_uri_complete`.
    pub complete_uri: bool,
    /// Lifetime of a device code in seconds.
    pub code_life: u64,
    /// How many first polls of each code get `slow_down`.
    pub slow_down_polls: usize,
    /// Answers `slow_down` to polls that do not wait for the interval, by the service's clock.
    pub strict_polling: bool,
    /// Status of other poll errors: 400 in the RFC, 403 at Auth0. `slow_down` has 429.
    pub pending_status: u16,
    /// Status of `invalid_grant`: 400 in the RFC, 403 at Auth0.
    pub invalid_grant_status: u16,
    /// `sub` of the user's tokens. `???` in it causes a `_` in the JWT payload, which breaks old SDKs.
    pub user_subject: String,
    /// The user's email address.
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
/// It serves both the login domain and the API.
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
    /// Starts the server.
    #[must_use]
    pub fn start(options: EarthScopeOptions) -> Self {
        let now = options.now.clone();
        let (server, state) = Server::start(now, |url, clock| State::new(options, url, clock));
        Self { server, state }
    }

    /// Approves a code, as the user would.
    ///
    /// # Panics
    /// When the code is unknown.
    pub fn approve(&self, user_code: &str) {
        self.decide(user_code, Decision::Approved);
    }

    /// Denies a code, as the user would.
    ///
    /// # Panics
    /// When the code is unknown.
    pub fn deny(&self, user_code: &str) {
        self.decide(user_code, Decision::Denied);
    }

    fn decide(&self, user_code: &str, decision: Decision) {
        let known = locked(&self.state).codes.decide(user_code, decision);
        assert!(known, "unknown user code {user_code}");
    }

    /// Approves every code, present and future.
    pub fn approve_all(&self) {
        self.set_policy(Policy::Decide(Decision::Approved));
    }

    /// Denies every code, present and future.
    pub fn deny_all(&self) {
        self.set_policy(Policy::Decide(Decision::Denied));
    }

    /// Approves every code after this number of polls.
    pub fn approve_after(&self, polls: usize) {
        self.set_policy(Policy::ApproveAfter(polls));
    }

    fn set_policy(&self, policy: Policy) {
        locked(&self.state).codes.set_policy(policy);
    }

    /// Expires every present code.
    pub fn expire_codes(&self) {
        locked(&self.state).codes.expire_all();
    }

    /// Returns all issued user codes in order.
    #[must_use]
    pub fn user_codes(&self) -> Vec<String> {
        locked(&self.state).codes.user_codes()
    }

    /// Revokes all refresh tokens issued so far, as an administrator would.
    pub fn revoke_everything(&self) {
        locked(&self.state).refresh_tokens.revoke_all();
    }

    /// Counts the successful refreshes.
    #[must_use]
    pub fn refreshes(&self) -> usize {
        locked(&self.state).refresh_tokens.refreshes
    }

    /// Counts the refused spent refresh tokens.
    #[must_use]
    pub fn reuse_events(&self) -> usize {
        locked(&self.state).refresh_tokens.reuses
    }

    /// Returns the refresh tokens revoked by HTTP, in order.
    #[must_use]
    pub fn revoked(&self) -> Vec<String> {
        locked(&self.state).refresh_tokens.revoked.clone()
    }

    /// Issues a refresh token for the scope `offline_access`, like a login on another host.
    #[must_use]
    pub fn issue_refresh_token(&self) -> String {
        let mut state = locked(&self.state);
        let grant = Grant { scope: "offline_access".to_owned(), audience: state.options.audience.clone() };
        state.refresh_tokens.issue(grant)
    }

    /// Whether a refresh with this token would succeed now.
    #[must_use]
    pub fn is_live(&self, refresh: &str) -> bool {
        locked(&self.state).refresh_tokens.peek(refresh).is_some()
    }

    /// Whether the API accepts this access token now.
    #[must_use]
    pub fn access_is_live(&self, token: &str) -> bool {
        locked(&self.state).is_live(token)
    }
}
