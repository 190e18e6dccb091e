//! Tests of `kind = "exec"`: the example plugins of docs/plugins with fake servers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "exec/schema.rs"]
mod schema;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker_core::{ErrorCode, Login, NextExchange, Provider, Record, Secret, Settings, TokenRequest};
use broker_exec::KIND;
use broker_testkit::conformance::{self, ClientSubject, Subject};
use broker_testkit::{EarthDailyOptions, EarthScope, EarthScopeOptions, Rotation, Server, TestEnv, World};
use chrono::Utc;
use serde_json::{Value, json};

pub(crate) fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/plugins").join(name);
    path.canonicalize().expect("an example").display().to_string()
}

/// Only one test runs at a time, because a child process that another test starts would inherit this test's file locks.
pub(crate) static SERIAL: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A test environment with this machine's `PATH`, in which the example plugins find programs such as `python3`.
pub(crate) fn world() -> World {
    let mut world = World::new();
    // The timeout includes the start of the plugin's process, which may be slow.
    world.timeout = Duration::from_secs(20);
    world.env = TestEnv::default().with("PATH", &std::env::var("PATH").expect("a PATH"));
    world
}

pub(crate) fn build(table: Value, world: &World) -> Arc<dyn Provider> {
    (KIND.build)(&Settings::new(World::NAME, table, &world.env)).expect("settings")
}

/// The example plugin in Python, which logs in with a refresh token.
struct Refreshing {
    world: World,
    service: EarthScope,
}

/// The client ID that the fake server accepts.
const CLIENT_ID: &str = "b9DtAFBd6QvMg761vI3YhYquNZbJX5G0";

impl Refreshing {
    fn new(rotation: Rotation) -> Self {
        let world = world();
        let now = world.clock.for_service();
        let service = EarthScope::start(EarthScopeOptions { rotation, now, ..Default::default() });
        Self { world, service }
    }

    fn of_client(&self, client_id: &str) -> Arc<dyn Provider> {
        let token_url = format!("{}/oauth/token", self.service.url());
        let settings = json!({ "token_url": token_url, "client_id": client_id, "timeout": 1 });
        let command = ["python3", &example("refresh_token.py")];
        build(json!({ "command": command, "settings": settings }), &self.world)
    }
}

impl Subject for Refreshing {
    fn world(&self) -> &World {
        &self.world
    }

    fn provider(&self) -> Arc<dyn Provider> {
        // The simulated user answers the plugin's prompt with this refresh token: clones share the list of answers.
        let _ = self.world.person.clone().answering(&self.service.issue_refresh_token());
        self.of_client(CLIENT_ID)
    }

    fn elsewhere(&self) -> Arc<dyn Provider> {
        self.of_client("another-client")
    }

    fn service(&self) -> &Server {
        &self.service
    }

    fn end_grant(&self) -> bool {
        self.service.revoke_everything();
        true
    }
}

#[tokio::test]
#[ignore = "needs python3"]
async fn python_plugin_passes_the_conformance_suite() {
    let _serial = SERIAL.lock().await;
    conformance::run(|| Refreshing::new(Rotation::Keep)).await;
}

#[tokio::test]
#[ignore = "needs python3"]
async fn python_plugin_passes_conformance_if_refresh_token_rotates() {
    let _serial = SERIAL.lock().await;
    conformance::run(|| Refreshing::new(Rotation::Rotate)).await;
}

#[tokio::test]
#[ignore = "needs python3"]
async fn python_plugin_logs_in_with_refresh_token() {
    let _serial = SERIAL.lock().await;
    let subject = Refreshing::new(Rotation::Keep);
    let broker = subject.world.broker(subject.of_client(CLIENT_ID));
    let password = broker.login(World::NAME, Login::Password(Secret::new("a-password"))).await;
    assert_eq!(password.expect_err("unsupported").code(), ErrorCode::LoginUnsupported);
    let refresh_token = Secret::new(subject.service.issue_refresh_token());
    let _ = broker.login(World::NAME, Login::RefreshToken(refresh_token)).await.expect("a login");
    assert!(subject.world.person.told().is_empty(), "the plugin sends no prompt");
}

#[tokio::test]
async fn plugin_that_needs_no_login_can_get_tokens() {
    let plugin = client().provider();
    let record = Record::new(World::NAME, plugin.info().issuer.clone());
    let next = plugin.next_exchange(&record, &TokenRequest::new(), Utc::now());
    assert_eq!(next, NextExchange::KeepsGrant);
}

/// The example plugin in sh, which uses a client secret and no login.
fn client() -> ClientSubject {
    ClientSubject::new(world(), EarthDailyOptions::default(), |world, service, secret| {
        let settings =
            json!({ "token_url": service.auth_url(), "client_id": "EARTHDAILY_API_TOKEN", "timeout": 1 });
        let command = json!(["sh", example("client_credentials.sh")]);
        let secrets = json!({ "client_secret": secret });
        build(json!({ "command": command, "settings": settings, "secrets": secrets }), world)
    })
}

#[tokio::test]
#[ignore = "needs curl and jq"]
async fn sh_plugin_passes_the_conformance_suite() {
    let _serial = SERIAL.lock().await;
    conformance::run(client).await;
}
