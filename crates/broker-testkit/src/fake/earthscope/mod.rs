//! A fake `EarthScope` server: device login, refresh, client credentials, revocation, AWS keys and user profile.

mod device;
mod service;

use device::{Codes, Decision};
use service::State;

use super::server::{Fake, Server};
use super::time::{Now, system_clock};
use super::tokens::{ExpiresIn, RefreshTokens, Rotation};

/// Configures the `EarthScope` fake server.
#[derive(Clone)]
pub struct EarthScopeOptions {
    /// The only client id that the server accepts.
    pub client_id: String,
    /// The secret for the client credentials grant (RFC 6749 section 4.4). `None` disables the grant.
    pub client_secret: Option<String>,
    /// Whether the response to a refresh request contains the same, a new, or no refresh token.
    pub rotation: Rotation,
    /// How many times the server accepts a refresh token after a new one replaced it.
    pub refresh_grace: usize,
    /// Lifetime of an access token in seconds.
    pub token_life: u64,
    /// Lifetime of AWS keys in seconds.
    pub aws_life: u64,
    /// Whether `expires_in` in token responses is a number, a string, or missing.
    pub expires_in_form: ExpiresIn,
    /// Field `interval` of the device authorization response: seconds between polls. Without the field, 5 s apply.
    pub interval: Option<u64>,
    /// Whether the device authorization response contains `verification_uri_complete`.
    pub complete_uri: bool,
    /// Lifetime of a device code in seconds.
    pub code_life: u64,
    /// The number of polls that get `slow_down` before the first other response, for each device code.
    pub slow_down_polls: usize,
    /// Whether a poll that comes before the interval has passed gets `slow_down`.
    pub strict_polling: bool,
    /// `sub` in the user's tokens. `???` in the value becomes `_` in the JWT's base64url, which old SDKs cannot decode.
    pub user_subject: String,
    /// The clock that the fake server reads.
    pub now: Now,
}

impl Default for EarthScopeOptions {
    fn default() -> Self {
        Self {
            client_id: "b9DtAFBd6QvMg761vI3YhYquNZbJX5G0".to_owned(),
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
            user_subject: "auth0|5f1e".to_owned(),
            now: system_clock(),
        }
    }
}

/// A running `EarthScope` fake server: login domain and API.
/// Its routes are `device`, `token`, `revoke`, `profile`, `aws` and `activate`.
pub type EarthScope = Fake<State>;

impl EarthScope {
    /// Starts the server.
    #[must_use]
    pub fn start(options: EarthScopeOptions) -> Self {
        Server::start(options.now.clone(), |issuer| State {
            codes: Codes::new(options.clone(), issuer.clock.clone()),
            refresh_tokens: RefreshTokens::new(options.rotation, options.refresh_grace),
            options,
            issuer,
        })
    }

    /// Approves a device login by its user code, as the user would.
    ///
    /// # Panics
    /// If the code is unknown.
    pub fn approve(&self, user_code: &str) {
        let known = self.state().codes.decide(user_code, Decision::ApproveAfter(0));
        assert!(known, "unknown user code {user_code}");
    }

    /// Approves all device logins, including later ones.
    pub fn approve_all(&self) {
        self.approve_after(0);
    }

    /// Denies all device logins, including later ones.
    pub fn deny_all(&self) {
        self.state().codes.decide_all(Decision::Deny);
    }

    /// Approves each device login after this number of polls.
    pub fn approve_after(&self, polls: usize) {
        self.state().codes.decide_all(Decision::ApproveAfter(polls));
    }

    /// Returns all issued user codes in order.
    pub fn user_codes(&self) -> Vec<String> {
        self.state().codes.issued.clone()
    }

    /// Revokes all refresh tokens issued so far, as an administrator would.
    pub fn revoke_everything(&self) {
        self.state().refresh_tokens.revoke_all();
    }

    /// Counts the successful refreshes.
    pub fn refreshes(&self) -> usize {
        self.state().refresh_tokens.refreshes
    }

    /// Counts the requests that were refused because their refresh token was already used.
    pub fn reuse_events(&self) -> usize {
        self.state().refresh_tokens.reuses
    }

    /// Returns the refresh tokens that clients sent to the revocation endpoint, in order.
    pub fn revoked(&self) -> Vec<String> {
        self.state().refresh_tokens.revoked.clone()
    }

    /// Issues a refresh token without a login request, as if the user had logged in on another host.
    pub fn issue_refresh_token(&self) -> String {
        self.state().refresh_tokens.issue("offline_access")
    }

    /// Returns whether the server would accept this refresh token now.
    pub fn is_live(&self, refresh: &str) -> bool {
        self.state().refresh_tokens.peek(refresh).is_some()
    }
}
