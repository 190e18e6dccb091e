//! The conformance suite: the provider that authors begin with passes it, and what is wrong with a provider is found.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

#[path = "../../broker-cli/template/provider.rs"]
#[allow(unreachable_pub, reason = "it is a crate's")]
mod provider;

use std::sync::Arc;

use async_trait::async_trait;
use broker_core::{
    Context, Error, ErrorKind, Issuer, Kind, Login, Provider, Record, RecordUpdate, Result, Revoked,
    Settings, SettingsError, TokenRequest,
};
use broker_testkit::conformance::{self, TokenSubject};
use broker_testkit::{Rotation, TestEnv, TokenServiceOptions};
use serde_json::json;

/// What an author may get wrong.
#[derive(Clone, Copy, Debug)]
enum Flaw {
    AnyFaultIsFinal,
    NothingIsFinal,
    AsksTwice,
    LosesRotation,
    TellsSecrets,
    RevokesNothing,
    IgnoresRevocation,
}

/// Each flaw, and the words by which its case is known.
const FLAWS: [(Flaw, &str); 7] = [
    (Flaw::AnyFaultIsFinal, "429: "),
    (Flaw::NothingIsFinal, "refused: "),
    (Flaw::AsksTwice, "all: one exchange"),
    (Flaw::LosesRotation, "rotated: "),
    (Flaw::TellsSecrets, "secrets: "),
    (Flaw::RevokesNothing, "logout: what is revoked buys nothing"),
    (Flaw::IgnoresRevocation, "logout: the service was asked"),
];

/// The provider with a flaw.
struct Flawed(Arc<dyn Provider>, Flaw);

#[async_trait]
impl Provider for Flawed {
    fn issuer(&self) -> &Issuer {
        self.0.issuer()
    }

    fn account(&self) -> Option<&str> {
        self.0.account()
    }

    async fn exchange(
        &self,
        context: &Context,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        if matches!(self.1, Flaw::AsksTwice) {
            drop(self.0.exchange(context, record, request).await);
        }
        let done = self.0.exchange(context, record, request).await;
        match (self.1, done) {
            (Flaw::AnyFaultIsFinal, Err(error)) if error.is_transient() => Err(Error::refused("no")),
            (Flaw::NothingIsFinal, Err(error)) if error.kind() == ErrorKind::Refused => {
                Err(Error::unavailable("no"))
            }
            (Flaw::TellsSecrets, Err(error)) => {
                let grant = record.grant().map(|grant| grant.secret().expose().to_owned());
                Err(error.clone().with_message(format!("{error}: {}", grant.unwrap_or_default())))
            }
            (Flaw::LosesRotation, Ok(change)) if gives_only_a_grant(&change) => {
                Err(Error::unavailable("no token"))
            }
            (_, done) => done,
        }
    }

    async fn login(&self, context: &Context, login: &Login) -> Result<RecordUpdate> {
        self.0.login(context, login).await
    }

    async fn revoke(&self, context: &Context, record: &Record) -> Result<Revoked> {
        match self.1 {
            Flaw::RevokesNothing => Ok(Revoked { revoked: true, note: None }),
            Flaw::IgnoresRevocation => Ok(self.0.revoke(context, record).await.unwrap_or_default()),
            _ => self.0.revoke(context, record).await,
        }
    }
}

/// What is left of an answer that is of no use otherwise.
fn gives_only_a_grant(change: &RecordUpdate) -> bool {
    let shown = format!("{change:?}");
    shown.contains("grant: Set(") && shown.contains("tokens: []")
}

/// The kind, with the flaw that the environment names.
fn build(settings: &Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError> {
    let provider = (provider::KIND.build)(settings)?;
    let named = settings.env().var("FLAW");
    let flaw = FLAWS.iter().map(|(flaw, _)| *flaw).find(|flaw| named == Some(format!("{flaw:?}")));
    Ok(flaw.map_or_else(|| provider.clone(), |flaw| Arc::new(Flawed(provider.clone(), flaw))))
}

fn subject(rotation: Rotation, elsewhere: &'static str) -> TokenSubject {
    let options = TokenServiceOptions { rotation, ..TokenServiceOptions::default() };
    let of = |username: &'static str| move |url: &str| json!({ "url": url, "username": username });
    TokenSubject::new(Kind { build, ..provider::KIND }, options, of("ada"), of(elsewhere))
}

fn flawed(flaw: Flaw) -> TokenSubject {
    // A grant that is spent is missed sooner than what these do.
    let rotation = if matches!(flaw, Flaw::LosesRotation) { Rotation::Rotate } else { Rotation::Keep };
    let mut subject = subject(rotation, "somebody else");
    subject.world.env = TestEnv::default().with("FLAW", &format!("{flaw:?}"));
    subject
}

/// Runs the suite to the case that fails, and gives its words.
async fn found(subject: impl Fn() -> TokenSubject + Send + Sync + 'static) -> String {
    let failed = tokio::spawn(async move { conformance::run(subject).await }).await;
    let words = failed.expect_err("the suite finds it").into_panic();
    let text = words.downcast_ref::<String>().cloned();
    text.or_else(|| words.downcast_ref::<&str>().map(|text| (*text).to_owned())).expect("words")
}

#[tokio::test]
async fn the_template_conforms() {
    for rotation in [Rotation::Omit, Rotation::RotateDetectReuse] {
        conformance::run(|| subject(rotation, "somebody else")).await;
    }
}

#[tokio::test]
async fn each_flaw_is_found_and_named() {
    for (flaw, case) in FLAWS {
        let words = found(move || flawed(flaw)).await;
        assert!(words.contains(case), "{flaw:?}: {words}");
    }
}

#[tokio::test]
async fn an_issuer_that_is_none_is_found() {
    let words = found(|| subject(Rotation::Keep, "ada")).await;
    assert!(words.contains("issuer: "), "{words}");
}
