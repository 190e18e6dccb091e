//! The tests that every provider must pass. The author of a provider implements [`Subject`] and runs the suite:
//!
//! ```text
//! #[tokio::test]
//! async fn conforms() {
//!     broker_testkit::conformance::run(MyService::subject).await;
//! }
//! ```
//!
//! [`TokenSubject`] implements [`Subject`] for services like [`crate::TokenService`].
//!
//! | cases | requirement for the provider |
//! |---|---|
//! | stored | no request until renewal is due; 200 callers cause one exchange; a cancelled call loses no grant |
//! | faults | the error is transient; grant and token are kept; a refresh token in a malformed response is stored |
//! | refusals | a JSON error response is final, and the stored token is still used; a refused grant is not sent again |
//! | login | a denied, expired or interrupted login has the right error kind and keeps the stored login |
//! | logout | the grant is revoked before the record is deleted; if revocation fails, the grant is kept |
//! | isolation | a token of one issuer or scope is never used for another |
//! | secrets | errors, `Debug` output, status, recorded failures and messages contain no secrets |

mod faults;
mod login;
mod subjects;
mod tokens;

use std::sync::Arc;

use broker_core::{Broker, Clock, Error, ErrorKind, Login, Provider, Result, Token, TokenRequest};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::{Fault, Server, World};

pub use subjects::{ClientSubject, OfSecret, TokenSubject};

/// A provider under test and its fake server. Every login must succeed unless a test injects a fault.
pub trait Subject: Send + Sync {
    /// Returns the test environment. The fake server must use the same clock.
    fn world(&self) -> &World;

    /// Returns the provider under test.
    fn provider(&self) -> Arc<dyn Provider>;

    /// Returns the same provider, configured for another issuer.
    fn elsewhere(&self) -> Arc<dyn Provider>;

    /// Returns the fake server of the provider.
    fn service(&self) -> &Server;

    /// Returns the name of the fake server's route that renews an expired token.
    fn renewal_route(&self) -> &'static str {
        "token"
    }

    /// Revokes the refresh token at the service, as an administrator would. Returns `false` if none was issued.
    fn end_grant(&self) -> bool;

    /// Returns the secrets that a renewal request contains besides the refresh token, such as a client secret.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns the secrets that a login request contains, such as a password.
    fn login_secrets(&self) -> Vec<String> {
        self.secrets()
    }

    /// Returns the name of the fake server's route whose error makes a login fail. `*` stands for all routes.
    fn login_route(&self) -> &'static str {
        "*"
    }

    /// Returns scopes that the service supports. With `None`, the provider must reject scopes without a request.
    fn scopes(&self) -> Option<&'static [&'static str]> {
        None
    }
}

/// Runs all conformance tests. Each test calls `subject` for a new provider and fake server.
///
/// # Panics
/// If a test fails. The message names the case.
pub async fn run<S: Subject>(subject: impl Fn() -> S) {
    tokens::stored_token_is_used(&subject()).await;
    tokens::expired_token_is_renewed(&subject()).await;
    tokens::one_exchange_for_all(&subject()).await;
    tokens::dropped_call_loses_nothing(&subject()).await;
    tokens::slow_response_is_awaited(&subject()).await;
    for (name, fault) in faults::before() {
        faults::fault_is_transient(&subject(), name, fault.clone()).await;
        faults::fault_keeps_stored_token(&subject(), name, fault).await;
    }
    for (name, fault) in faults::after() {
        faults::lost_response(&subject(), name, fault).await;
    }
    faults::rotated_grant_is_kept(&subject()).await;
    faults::refusal_is_final(&subject()).await;
    faults::ended_grant_needs_a_login(&subject()).await;
    login::denied(&subject()).await;
    login::never_approved(&subject()).await;
    login::fault_is_transient(&subject(), "cut", Fault::CutBefore).await;
    login::fault_is_transient(&subject(), "a web page", Fault::Html(403)).await;
    login::logout_deletes_record(&subject()).await;
    login::failed_logout_keeps_grant(&subject()).await;
    tokens::issuers_are_isolated(&subject()).await;
    tokens::scopes_are_isolated(&subject()).await;
    tokens::secrets_are_not_shown(&subject()).await;
}

async fn log_in<S: Subject>(subject: &S) -> Result<Broker> {
    let broker = subject.world().broker(subject.provider());
    broker.login(World::NAME, Login::Usual).await.map(|_| broker)
}

async fn logged_in<S: Subject>(subject: &S) -> Broker {
    log_in(subject).await.expect("a login")
}

/// Logs in and gets a token.
async fn with_token<S: Subject>(subject: &S) -> (Broker, Token) {
    let broker = logged_in(subject).await;
    let token = token(&broker).await.expect("a token");
    (broker, token)
}

/// Logs in, gets a token, and moves the clock until the token has expired. Clears the recorded requests.
async fn with_expired_token<S: Subject>(subject: &S) -> (Broker, Token) {
    let (broker, token) = with_token(subject).await;
    expire(subject, &token);
    subject.service().forget_seen();
    (broker, token)
}

/// Returns the stored grant, or null.
fn grant<S: Subject>(subject: &S) -> Value {
    subject.world().record().expect("a record")["grant"].take()
}

async fn token(broker: &Broker) -> Result<Token> {
    broker.token(World::NAME, &TokenRequest::new()).await
}

/// Gets a token from a new `Broker`, which has nothing cached in memory.
async fn token_of_new_process<S: Subject>(subject: &S) -> Result<Token> {
    token(&subject.world().broker(subject.provider())).await
}

/// Moves the clock until the token has expired.
fn expire<S: Subject>(subject: &S, token: &Token) {
    move_past(subject, token.expires_at().expect("a token that expires"));
}

/// Moves the clock to a time at which the token is due for renewal but still valid.
fn make_due<S: Subject>(subject: &S, token: &Token) {
    move_past(subject, token.window().renews_at().expect("a token that is renewed"));
}

/// Moves the clock to one second after `time`.
fn move_past<S: Subject>(subject: &S, time: DateTime<Utc>) {
    let clock = &subject.world().clock;
    clock.advance(time + TimeDelta::seconds(1) - clock.now());
}

/// Returns an error response of a token endpoint (RFC 6749 section 5.2).
fn refusal(status: u16, code: &str, words: &str) -> Fault {
    let body = serde_json::json!({ "error": code, "error_description": words, "detail": words });
    Fault::Answer { status, headers: vec![], body: body.to_string() }
}

/// Checks that the broker returned a new token, not the old one.
#[track_caller]
fn assert_new(new: &Token, old: &Token, case: &str) {
    assert!(!new.secret().same_as(old.secret()), "failed test of {case}: the old token was returned");
}

/// Checks that a new `Broker` returns the stored token.
async fn assert_stored<S: Subject>(subject: &S, stored: &Token, case: &str) {
    let got = token_of_new_process(subject).await;
    let got = got.unwrap_or_else(|error| panic!("failed test of {case}: the stored token was lost: {error}"));
    assert!(got.secret().same_as(stored.secret()), "failed test of {case}: another token was returned");
}

#[track_caller]
fn assert_kind(error: &Error, kind: ErrorKind, case: &str) {
    assert_eq!(error.kind(), kind, "failed test of {case}: {error}");
}

/// Checks that the broker sent this number of requests to the route that renews tokens.
#[track_caller]
fn assert_renewals<S: Subject>(subject: &S, number: usize, case: &str) {
    assert_eq!(subject.service().count(subject.renewal_route()), number, "failed test of {case}: requests");
}

/// Checks that the broker sent no request.
#[track_caller]
fn assert_silent<S: Subject>(subject: &S, case: &str) {
    assert!(subject.service().seen().is_empty(), "failed test of {case}: the broker sent a request");
}

/// Returns whether the error is final: a retry would fail too.
fn is_final(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Refused | ErrorKind::LoginRequired)
}
