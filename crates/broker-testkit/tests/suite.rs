//! Tests of the conformance suite: the template for new providers passes, and a provider with a known bug fails.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

#[path = "../../earthbroker-cli/template/provider.rs"]
#[allow(unreachable_pub, reason = "the template is a crate")]
mod provider;

use std::sync::Arc;

use async_trait::async_trait;
use broker_core::{
    Error, ErrorKind, Login, Operation, Provider, ProviderInfo, Record, RecordUpdate, Result, Revoked,
    Settings, SettingsError, TokenRequest,
};
use broker_testkit::conformance::{self, TokenSubject};
use broker_testkit::{Rotation, TestEnv, TokenServiceOptions};
use serde_json::json;

/// A bug that a test adds to a provider.
#[derive(Clone, Copy, Debug)]
enum Flaw {
    AnyFaultIsFinal,
    NothingIsFinal,
    RequestsTwice,
    LosesRotation,
    ShowsSecrets,
    FakesRevocation,
    IgnoresRevocation,
}

/// Each flaw, with a part of the panic message that the conformance suite must report for the flaw.
const FLAWS: [(Flaw, &str); 7] = [
    (Flaw::AnyFaultIsFinal, "fault 429: "),
    (Flaw::NothingIsFinal, "refused client: "),
    (Flaw::RequestsTwice, "200 concurrent callers: requests"),
    (Flaw::LosesRotation, "rotated grant: "),
    (Flaw::ShowsSecrets, "secrets: "),
    (Flaw::FakesRevocation, "logout: the service still accepts the grant"),
    (Flaw::IgnoresRevocation, "logout: the revocation failed, but the logout succeeded"),
];

/// A provider to which a test adds a bug.
struct Flawed(Arc<dyn Provider>, Flaw);

#[async_trait]
impl Provider for Flawed {
    fn info(&self) -> &ProviderInfo {
        self.0.info()
    }

    async fn exchange(
        &self,
        operation: &Operation,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        if matches!(self.1, Flaw::RequestsTwice) {
            drop(self.0.exchange(operation, record, request).await);
        }
        let result = self.0.exchange(operation, record, request).await;
        match (self.1, result) {
            (Flaw::AnyFaultIsFinal, Err(error)) if error.is_transient() => Err(Error::refused("no")),
            (Flaw::NothingIsFinal, Err(error)) if error.kind() == ErrorKind::Refused => {
                Err(Error::unavailable("no"))
            }
            (Flaw::ShowsSecrets, Err(error)) => {
                let grant = record.grant().map(|grant| grant.secret().expose().to_owned());
                Err(error.clone().with_message(format!("{error}: {}", grant.unwrap_or_default())))
            }
            (Flaw::LosesRotation, Ok(change)) if has_only_a_grant(&change) => {
                Err(Error::unavailable("no token"))
            }
            (_, result) => result,
        }
    }

    async fn login(&self, operation: &Operation, login: &Login) -> Result<RecordUpdate> {
        self.0.login(operation, login).await
    }

    async fn revoke(&self, operation: &Operation, record: &Record) -> Result<Revoked> {
        match self.1 {
            Flaw::FakesRevocation => Ok(Revoked::new(true, None)),
            Flaw::IgnoresRevocation => Ok(self.0.revoke(operation, record).await.unwrap_or_default()),
            _ => self.0.revoke(operation, record).await,
        }
    }
}

/// Returns whether the update stores a refresh token without an access token.
fn has_only_a_grant(change: &RecordUpdate) -> bool {
    let shown = format!("{change:?}");
    shown.contains("grant: Set(") && shown.contains("tokens: []")
}

/// Builds the provider with the flaw that an environment variable names.
fn build(settings: &Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError> {
    let provider = (provider::KIND.build)(settings)?;
    let name = settings.env().var("FLAW");
    let flaw = FLAWS.iter().map(|(flaw, _)| *flaw).find(|flaw| name == Some(format!("{flaw:?}")));
    Ok(flaw.map_or_else(|| provider.clone(), |flaw| Arc::new(Flawed(provider.clone(), flaw))))
}

fn subject(rotation: Rotation, elsewhere: &'static str) -> TokenSubject {
    let options = TokenServiceOptions { rotation, ..TokenServiceOptions::default() };
    let of = |username: &'static str| move |url: &str| json!({ "url": url, "username": username });
    let mut kind = provider::KIND;
    kind.build = build;
    TokenSubject::new(kind, options, of("ada"), of(elsewhere))
}

fn flawed(flaw: Flaw) -> TokenSubject {
    // Only this flaw needs rotation. With rotation, providers with other flaws would fail in an earlier test.
    let rotation = if matches!(flaw, Flaw::LosesRotation) { Rotation::Rotate } else { Rotation::Keep };
    let mut subject = subject(rotation, "eve");
    subject.world.env = TestEnv::default().with("FLAW", &format!("{flaw:?}"));
    subject
}

/// Runs the conformance suite, which must fail, and returns its panic message.
async fn failure(subject: impl Fn() -> TokenSubject + Send + Sync + 'static) -> String {
    let failed = tokio::spawn(async move { conformance::run(subject).await }).await;
    let panic = failed.expect_err("the suite fails").into_panic();
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).expect("a message")
}

#[tokio::test]
async fn template_for_new_providers_passes_conformance_suite() {
    for rotation in [Rotation::Omit, Rotation::RotateDetectReuse] {
        conformance::run(|| subject(rotation, "eve")).await;
    }
}

#[tokio::test]
async fn conformance_suite_detects_each_provider_bug() {
    for (flaw, case) in FLAWS {
        let message = failure(move || flawed(flaw)).await;
        assert!(message.contains(case), "{flaw:?}: {message}");
    }
}

#[tokio::test]
async fn conformance_suite_fails_if_both_providers_share_an_issuer() {
    let message = failure(|| subject(Rotation::Keep, "ada")).await;
    assert!(message.contains("issuers: "), "{message}");
}
