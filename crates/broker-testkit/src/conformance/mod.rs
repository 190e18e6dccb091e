//! What must hold for every provider. Its author says how its service is had ([`Subject`]) and runs the suite:
//!
//! ```text
//! #[tokio::test]
//! async fn conforms() {
//!     broker_testkit::conformance::run(MyService::subject).await;
//! }
//! ```
//!
//! Whose service is like [`crate::TokenService`] needs no subject and no fake server of its own: [`TokenSubject`].
//!
//! | cases | what must hold |
//! |---|---|
//! | held | a held token costs no request; an expired one is renewed, with and without rotation; 200 callers make one exchange; a dropped call loses nothing; a slow answer is waited for |
//! | faults | 15 faults before the service acts, and those after it, are transient and leave grant and held token; a refresh token in an answer that is of no use otherwise is kept |
//! | refusals | a refusal in JSON is final, and the held token still serves; a refused grant is not tried again |
//! | login | denied, expired, cut: an error of the right kind that costs nothing stored; a new login mends |
//! | logout | revokes before it forgets; what could not be revoked is kept |
//! | apart | issuers and scopes: nobody gets what was given for another |
//! | secrets | none in errors, `Debug`, status, failures on record, or what a person is told |

mod apart;
mod client_subject;
mod faults;
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

    /// The same provider, configured for another issuer.
    fn elsewhere(&self) -> Arc<dyn Provider>;

    /// Its fake server.
    fn service(&self) -> &Server;

    /// The route that renews an expired token.
    fn renewal_route(&self) -> &str;

    /// Ends the grant at the service, as an administrator would; `false` if there is no grant, which the suite checks.
    fn end_grant(&self) -> bool;

    /// The secrets that a renewal sends beside the grant.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    /// The secrets that a login sends: a password, say.
    fn login_secrets(&self) -> Vec<String> {
        self.secrets()
    }

    /// The route whose refusal ends a login; `*`: the first request of a login is refused already.
    fn login_route(&self) -> &'static str {
        "*"
    }

    /// Scopes that the service gives tokens for. `None`: the suite tries one that no service knows, and it must cost
    /// nothing.
    fn scopes(&self) -> Option<&'static [&'static str]> {
        None
    }

    /// Whether a grant is spent once it was sent, and an answer that is lost on the way may cost the login. `None`: it
    /// may where the suite sees that grants are replaced.
    fn lost_answer_costs_login(&self) -> Option<bool> {
        None
    }
}

/// Runs a provider through the suite: each case with a subject of its own.
///
/// # Panics
/// If a case fails, with its name.
pub async fn run<S: Subject>(subject: impl Fn() -> S) {
    stored::held_token_is_used(&subject()).await;
    stored::expired_token_is_renewed(&subject()).await;
    stored::one_exchange_for_all(&subject()).await;
    stored::dropped_call_loses_nothing(&subject()).await;
    stored::slow_answer_is_waited_for(&subject()).await;
    for (name, fault) in faults::before() {
        faults::fault_is_transient(&subject(), name, fault.clone()).await;
        faults::fault_leaves_the_held_token(&subject(), name, fault).await;
    }
    for (name, fault) in faults::after() {
        faults::lost_answer(&subject(), name, fault).await;
    }
    faults::rotated_grant_is_kept(&subject()).await;
    refused::refusal_is_final(&subject()).await;
    refused::ended_grant_needs_a_login(&subject()).await;
    login::denied(&subject()).await;
    login::never_approved(&subject()).await;
    login::fault_is_transient(&subject(), "cut", Fault::CutBefore).await;
    login::fault_is_transient(&subject(), "a web page", Fault::Html(403)).await;
    logout::forgets(&subject()).await;
    logout::keeps_what_was_not_revoked(&subject()).await;
    apart::other_issuer_gets_nothing(&subject()).await;
    apart::scopes_are_kept_apart(&subject()).await;
    secrets::are_not_seen(&subject()).await;
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

/// The token that a process which has just begun gets.
async fn afresh<S: Subject>(subject: &S) -> Result<Token> {
    token(&subject.world().broker(subject.provider())).await
}

/// Moves the clock so that this much of the held token's life is left; negative: so long after its end.
fn leave<S: Subject>(subject: &S, token: &Token, left: TimeDelta) {
    let expires_at = token.expires_at().expect("a token that expires");
    subject.world().clock.advance(expires_at - left - broker_core::Clock::now(&subject.world().clock));
}

/// Moves the clock to where the token should be renewed and still serves.
fn make_due<S: Subject>(subject: &S, token: &Token) {
    let advisory = token.window().renews_at().expect("a window") - token.expires_at().expect("an end");
    leave(subject, token, -advisory - TimeDelta::seconds(1));
}

/// An error answer in JSON, as token endpoints give it (RFC 6749 section 5.2).
fn refusal(status: u16, code: &str, words: &str) -> Fault {
    let body = serde_json::json!({ "error": code, "error_description": words, "detail": words });
    Fault::Answer { status, headers: vec![], body: body.to_string() }
}

/// Only the service itself ends something for good.
fn is_final(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Refused | ErrorKind::LoginRequired)
}
