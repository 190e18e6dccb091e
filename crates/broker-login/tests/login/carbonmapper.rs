//! Tests of `kind = "login"` with Carbon Mapper: the conformance suite, and minting.

use std::sync::Arc;
use std::time::Duration;

use broker_core::{Broker, Claims, Clock, ErrorKind, Lifetime, Login, Provider, Token, TokenRequest};
use broker_testkit::conformance::{self, Subject};
use broker_testkit::{CarbonMapper, CarbonMapperOptions, Fault, Server, TestPrompt, World};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use crate::provider;

/// The example configuration in the documentation.
const TOML: &str = include_str!("carbonmapper.toml");

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "standin-password";

/// A Carbon Mapper account whose user types username and password.
struct Methane {
    world: World,
    service: CarbonMapper,
}

impl Methane {
    fn new(options: CarbonMapperOptions) -> Self {
        let mut world = World::new();
        world.timeout = Duration::from_millis(500);
        world.person =
            (0..4).fold(TestPrompt::default(), |person, _| person.answering(EMAIL).answering(PASSWORD));
        let service = CarbonMapper::start(CarbonMapperOptions { now: world.clock.for_service(), ..options });
        Self { world, service }
    }

    /// Builds the provider. `keys` are inserted before the first table of the configuration.
    fn with(&self, keys: &str) -> Arc<dyn Provider> {
        let real = "https://api.carbonmapper.org/api/v1/";
        assert_eq!(TOML.matches(real).count(), 3);
        provider(&self.world, &format!("{keys}\n{}", TOML.replace(real, &self.service.base_url())))
    }

    fn broker(&self) -> Broker {
        self.world.broker(self.provider())
    }
}

impl Subject for Methane {
    fn world(&self) -> &World {
        &self.world
    }

    fn provider(&self) -> Arc<dyn Provider> {
        self.with("")
    }

    fn elsewhere(&self) -> Arc<dyn Provider> {
        self.with("username = \"grace@example.org\"")
    }

    fn service(&self) -> &Server {
        &self.service
    }

    fn renewal_route(&self) -> &'static str {
        "refresh"
    }

    fn end_grant(&self) -> bool {
        self.service.revoke_refresh_tokens();
        true
    }
}

#[tokio::test]
async fn login_kind_passes_the_conformance_suite() {
    conformance::run(|| Methane::new(CarbonMapperOptions::default())).await;
}

#[tokio::test]
async fn conformance_suite_passes_with_rotated_refresh_tokens() {
    conformance::run(|| Methane::new(CarbonMapperOptions { rotate_refresh: true, ..Default::default() }))
        .await;
}

#[tokio::test]
async fn conformance_suite_passes_if_refresh_token_is_omitted() {
    let options = CarbonMapperOptions { return_refresh_on_refresh: false, ..Default::default() };
    conformance::run(|| Methane::new(options.clone())).await;
}

fn stac() -> TokenRequest {
    TokenRequest::new().scope("stac")
}

fn methane() -> Methane {
    Methane::new(CarbonMapperOptions::default())
}

async fn logged_in(subject: &Methane) -> Token {
    subject.broker().login(World::NAME, Login::Usual).await.expect("a login").token.expect("a token")
}

async fn token(subject: &Methane, request: &TokenRequest) -> Token {
    subject.broker().token(World::NAME, request).await.expect("a token")
}

#[tokio::test]
async fn scoped_token_is_minted_once_and_stored() {
    let subject = methane();
    let access = logged_in(&subject).await;
    let request = stac().expires("7d".parse().expect("a life"));
    let first = token(&subject, &request).await;
    let again = token(&subject, &request).await;
    assert!(first.secret().same_as(again.secret()) && !first.secret().same_as(access.secret()));
    let minted = subject.service.minted();
    assert_eq!(minted.len(), 1);
    let (name, date) = &minted[0];
    let day = subject.world.clock.now().date_naive() + TimeDelta::days(7);
    assert_eq!(*date, day.to_string());
    assert!(name.starts_with("broker-testhost-"), "{name}");
    let record = subject.world.record().expect("a record");
    assert_eq!(record["tokens"]["stac"]["details"]["name"], json!(name), "other fields are stored");
    assert!(record["tokens"]["stac"]["details"]["token_value"].is_null(), "the token is stored once");
    assert!(subject.world.person.told().iter().any(|told| told.contains("UTC days")));
    let seen = subject.service.seen();
    let body = seen.iter().find(|seen| seen.route == "create-stac").expect("a mint").json();
    assert_eq!(body, json!({ "expiration_date": date, "name": name }), "the same request as the crate's");
}

#[tokio::test]
async fn scoped_token_lifetime_is_rounded_up_to_a_utc_date() {
    for (asked, expected) in [("7d", 7), ("2w", 14), ("1h", 1), ("24h", 1), ("25h", 2), ("36h", 2)] {
        let subject = methane();
        logged_in(&subject).await;
        token(&subject, &stac().expires(asked.parse().expect("a life"))).await;
        let (_, date) = subject.service.minted().pop().expect("a mint");
        let day = subject.world.clock.now().date_naive() + TimeDelta::days(expected);
        assert_eq!(date, day.to_string(), "{asked}");
    }
    let subject = methane();
    logged_in(&subject).await;
    let over = stac().expires(Lifetime::Until(subject.world.clock.now().date_naive()));
    let error = subject.broker().token(World::NAME, &over).await.expect_err("over");
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(subject.service.mints(), 0);
}

#[tokio::test]
async fn minted_token_expires_by_its_jwt_or_at_start_of_the_day() {
    for scoped_is_jwt in [false, true] {
        let subject = Methane::new(CarbonMapperOptions { scoped_is_jwt, ..Default::default() });
        logged_in(&subject).await;
        let token = token(&subject, &stac()).await;
        let claimed = Claims::read(token.secret()).and_then(|claims| claims.expires_at());
        assert_eq!(claimed.is_some(), scoped_is_jwt);
        let (_, date) = subject.service.minted().pop().expect("a mint");
        let start = format!("{date}T00:00:00Z").parse::<DateTime<Utc>>().expect("a time");
        assert_eq!(token.expires_at(), Some(claimed.unwrap_or(start)));
    }
}

#[tokio::test]
async fn expired_login_token_is_refreshed_before_minting() {
    let subject = methane();
    logged_in(&subject).await;
    subject.world.clock.advance(TimeDelta::minutes(10));
    token(&subject, &stac()).await;
    assert_eq!((subject.service.pairs(), subject.service.refreshes(), subject.service.mints()), (1, 1, 1));
    // A login token that the service rejects is replaced, even a new one.
    subject.service.revoke_access_tokens();
    token(&subject, &stac().force()).await;
    assert_eq!((subject.service.refreshes(), subject.service.mints()), (2, 2));
}

#[tokio::test]
async fn login_with_a_configured_password_needs_no_prompt() {
    let subject = methane();
    let keys = format!("username = \"{EMAIL}\"\npassword = \"{PASSWORD}\"");
    let broker = || subject.world.broker(subject.with(&keys));
    broker().token(World::NAME, &stac()).await.expect("a token without a login");
    subject.service.revoke_refresh_tokens();
    subject.world.clock.advance(TimeDelta::days(30));
    broker().token(World::NAME, &stac()).await.expect("a token");
    assert_eq!((subject.service.pairs(), subject.service.mints()), (2, 2));
    let record = subject.world.record().expect("a record").to_string();
    assert!(!record.contains(PASSWORD), "the password is never stored");
}

#[tokio::test]
async fn wrong_password_is_sent_once() {
    let subject = methane();
    let wrong = format!("username = \"{EMAIL}\"\npassword = \"not this one\"");
    for _ in 0..3 {
        let error = subject.world.broker(subject.with(&wrong)).token(World::NAME, &stac()).await;
        let error = error.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    }
    assert_eq!(subject.service.count("pair"), 1, "also by other processes");
    // A password that was not refused before is sent.
    let right = format!("username = \"{EMAIL}\"\npassword = \"{PASSWORD}\"");
    subject.world.broker(subject.with(&right)).token(World::NAME, &stac()).await.expect("a token");
}

#[tokio::test]
async fn mint_request_with_unknown_result_is_not_repeated() {
    for fault in [Fault::CutAfter, Fault::Truncated, Fault::HangAfter, Fault::Status(503), Fault::Html(200)] {
        let subject = methane();
        logged_in(&subject).await;
        subject.service.fault_always("create-stac", fault);
        let error = subject.broker().token(World::NAME, &stac()).await.expect_err("no token");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(
            error.hint().is_some_and(|hint| hint.to_string().contains("broker-testhost-")),
            "the hint names the token"
        );
        assert_eq!(subject.service.count("create-stac"), 1);
        subject.service.clear_faults();
        token(&subject, &stac()).await;
    }
}

#[tokio::test]
async fn unsupported_scope_lifetime_or_name_is_an_error() {
    let subject = methane();
    logged_in(&subject).await;
    let life = || TokenRequest::new().expires("7d".parse().expect("a life"));
    for request in
        [TokenRequest::new().scope("stack"), life(), TokenRequest::new().name("x"), stac().name("\n")]
    {
        let error = subject.broker().token(World::NAME, &request).await.expect_err("no");
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    }
    assert_eq!(subject.service.mints(), 0);
}

#[tokio::test]
async fn logout_names_minted_tokens_that_stay_valid() {
    let subject = methane();
    logged_in(&subject).await;
    for _ in 0..2 {
        token(&subject, &stac().force()).await;
    }
    let done = subject.broker().logout(World::NAME, false).await.expect("logged out");
    let note = done.at_service.note.expect("a note");
    for (name, _) in subject.service.minted() {
        assert!(note.contains(&name), "{name} in {note}");
    }
    assert!(subject.world.record().is_none());
}

#[tokio::test]
async fn rotated_refresh_token_in_malformed_response_is_saved() {
    let subject = Methane::new(CarbonMapperOptions { rotate_refresh: true, ..Default::default() });
    logged_in(&subject).await;
    subject.world.clock.advance(TimeDelta::minutes(10));
    subject.service.fault("refresh", Fault::edit(|answer| answer["error"] = json!("unknown_error")));
    // After the rotation, only the new refresh token is valid.
    token(&subject, &TokenRequest::new()).await;
    assert_eq!((subject.service.pairs(), subject.service.count("refresh")), (1, 2));
}
