//! The tests that every provider must pass. Its author describes the provider and its service ([`Subject`]):
//!
//! ```text
//! #[tokio::test]
//! async fn conforms() {
//!     broker_testkit::conformance::run(MyService::subject).await;
//! }
//! ```
//!
//! [`TokenSubject`] is a ready subject for services like [`crate::TokenService`].
//!
//! | cases | requirement |
//! |---|---|
//! | stored | a stored token costs no request; an expired one is renewed, with and without rotation; 200 callers make one exchange; a dropped call loses nothing; a slow response is awaited |
//! | faults | 15 faults before the service acts, and those after it, are transient and keep grant and stored token; a refresh token in an unusable response is kept |
//! | refusals | a refusal in JSON is final, and the stored token is still used; a refused grant is not sent again |
//! | login | denied, expired, cut: an error of the right kind that keeps the stored login; a new login works |
//! | logout | revokes the grant before it deletes the record; an unrevoked grant is kept |
//! | isolation | a token of one issuer or scope is not used for another |
//! | secrets | none in errors, `Debug`, status, recorded failures, or messages |

mod client_subject;
mod faults;
mod isolation;
mod login;
mod logout;
mod refused;
mod secrets;
mod stored;
mod token_subject;

use std::sync::Arc;

use broker_core::{Broker, Error, ErrorKind, Login, Provider, Result, Token, TokenRequest};
use chrono::TimeDelta;

use crate::{Fault, Server, World};

pub use client_subject::{ClientSubject, OfSecret};
pub use token_subject::TokenSubject;

/// A provider and its fake server, in a world where a login succeeds as often as it is tried.
pub trait Subject: Send + Sync {
    /// The world; its clock is the fake server's too.
    fn world(&self) -> &World;

    /// The provider.
    fn provider(&self) -> Arc<dyn Provider>;

    /// Returns the same provider, configured for another issuer.
    fn elsewhere(&self) -> Arc<dyn Provider>;

    /// Returns the fake server.
    fn service(&self) -> &Server;

    /// Returns the route that renews an expired token.
    fn renewal_route(&self) -> &str;

    /// Revokes the grant at the service, as an administrator would. Returns `false` without a grant.
    fn end_grant(&self) -> bool;

    /// Returns the secrets that a renewal sends beside the grant.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns the secrets that a login sends, such as a password.
    fn login_secrets(&self) -> Vec<String> {
        self.secrets()
    }

    /// Returns the route whose refusal ends a login. `*` means the first request of a login.
    fn login_route(&self) -> &'static str {
        "*"
    }

    /// Returns scopes that the service supports. With `None`, the suite checks that an unknown scope sends no request.
    fn scopes(&self) -> Option<&'static [&'static str]> {
        None
    }

    /// Whether a lost response may end the login because the service spends grants. With `None`, the suite finds out.
    fn lost_answer_costs_login(&self) -> Option<bool> {
        None
    }
}

/// Runs the suite. Each case gets a new subject.
///
/// # Panics
/// If a case fails, with its name.
pub async fn run<S: Subject>(subject: impl Fn() -> S) {
    stored::stored_token_is_used(&subject()).await;
    stored::expired_token_is_renewed(&subject()).await;
    stored::one_exchange_for_all(&subject()).await;
    stored::dropped_call_loses_nothing(&subject()).await;
    stored::slow_response_is_awaited(&subject()).await;
    for (name, fault) in faults::before() {
        faults::fault_is_transient(&subject(), name, fault.clone()).await;
        faults::fault_keeps_stored_token(&subject(), name, fault).await;
    }
    for (name, fault) in faults::after() {
        faults::lost_response(&subject(), name, fault).await;
    }
    faults::rotated_grant_is_kept(&subject()).await;
    refused::refusal_is_final(&subject()).await;
    refused::ended_grant_needs_a_login(&subject()).await;
    login::denied(&subject()).await;
    login::never_approved(&subject()).await;
    login::fault_is_transient(&subject(), "cut", Fault::CutBefore).await;
    login::fault_is_transient(&subject(), "a web page", Fault::Html(403)).await;
    logout::deletes_record(&subject()).await;
    logout::keeps_unrevoked_grant(&subject()).await;
    isolation::issuers_are_isolated(&subject()).await;
    isolation::scopes_are_isolated(&subject()).await;
    secrets::are_not_shown(&subject()).await;
}

async fn log_in<S: Subject>(subject: &S) -> Result<Broker> {
    let broker = subject.world().broker(subject.provider());
    broker.login(World::NAME, Login::Usual).await.map(|_| broker)
}

async fn logged_in<S: Subject>(subject: &S) -> Broker {
    log_in(subject).await.expect("a login")
}

async fn token(broker: &Broker) -> Result<Token> {
    broker.token(World::NAME, &TokenRequest::new()).await
}

/// Gets a token like a new process.
async fn token_of_new_process<S: Subject>(subject: &S) -> Result<Token> {
    token(&subject.world().broker(subject.provider())).await
}

/// Moves the clock so that this much of the token's lifetime is left. Negative: after its expiry.
fn leave<S: Subject>(subject: &S, token: &Token, left: TimeDelta) {
    let expires_at = token.expires_at().expect("a token that expires");
    subject.world().clock.advance(expires_at - left - broker_core::Clock::now(&subject.world().clock));
}

/// Moves the clock into the window in which the token should be renewed and is still valid.
fn make_due<S: Subject>(subject: &S, token: &Token) {
    let advisory = token.window().renews_at().expect("a window") - token.expires_at().expect("an end");
    leave(subject, token, -advisory - TimeDelta::seconds(1));
}

/// Returns an error response of a token endpoint (RFC 6749 section 5.2).
fn refusal(status: u16, code: &str, words: &str) -> Fault {
    let body = serde_json::json!({ "error": code, "error_description": words, "detail": words });
    Fault::Answer { status, headers: vec![], body: body.to_string() }
}

/// Whether the same call would fail again.
fn is_final(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Refused | ErrorKind::LoginRequired)
}
