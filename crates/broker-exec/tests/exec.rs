//! `kind = "exec"`: the example plugins against the fake servers, through the pipe.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "exec/schema.rs"]
mod schema;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker_core::{ErrorKind, Login, Provider, Record, Secret, Settings};
use broker_exec::KIND;
use broker_testkit::conformance::{self, ClientSubject, Subject};
use broker_testkit::{EarthDailyOptions, EarthScope, EarthScopeOptions, Rotation, Server, TestEnv, World};
use serde_json::{Value, json};

/// An example of docs/plugins.
pub(crate) fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/plugins").join(name);
    path.canonicalize().expect("an example").display().to_string()
}

/// One at a time: between fork and exec a child of another test has this one's locks, and a lock that is taken is a
/// reason to serve what is held.
pub(crate) static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A world whose programs are found as usual.
pub(crate) fn world() -> World {
    let mut world = World::new();
    // A process has to start within it.
    world.timeout = Duration::from_secs(20);
    world.env = TestEnv::default().with("PATH", &std::env::var("PATH").expect("a PATH"));
    world
}

pub(crate) fn build(table: Value, world: &World) -> Arc<dyn Provider> {
    (KIND.build)(&Settings::new(World::NAME, table, &world.env)).expect("settings")
}

/// The plugin in Python, with a login by a refresh token from elsewhere.
struct Refreshing {
    world: World,
    service: EarthScope,
    client_id: String,
}

impl Refreshing {
    fn new(options: EarthScopeOptions) -> Self {
        let world = world();
        let client_id = options.client_id.clone();
        let service = EarthScope::start(EarthScopeOptions { now: world.clock.for_service(), ..options });
        Self { world, service, client_id }
    }

    fn of_client(&self, client_id: &str) -> Arc<dyn Provider> {
        let token_url = format!("{}/oauth/token", self.service.url());
        let settings = json!({ "token_url": token_url, "client_id": client_id, "timeout": 2 });
        build(
            json!({ "command": ["python3", example("refresh_token.py")], "settings": settings }),
            &self.world,
        )
    }
}

impl Subject for Refreshing {
    fn world(&self) -> &World {
        &self.world
    }

    fn provider(&self) -> Arc<dyn Provider> {
        // Whoever logs in has a refresh token from elsewhere. The clone is the same person.
        let _ = self.world.person.clone().answering(&self.service.issue_refresh_token());
        self.of_client(&self.client_id)
    }

    fn elsewhere(&self) -> Arc<dyn Provider> {
        self.of_client("somebody-else")
    }

    fn service(&self) -> &Server {
        &self.service
    }

    fn renewal_route(&self) -> &'static str {
        "token"
    }

    fn end_grant(&self) -> bool {
        self.service.revoke_everything();
        true
    }
}

#[tokio::test]
async fn the_plugin_in_python_conforms() {
    let _alone = ALONE.lock().await;
    conformance::run(|| Refreshing::new(EarthScopeOptions::default())).await;
}

#[tokio::test]
async fn the_plugin_in_python_conforms_with_rotation() {
    let _alone = ALONE.lock().await;
    let options = EarthScopeOptions { rotation: Rotation::Rotate, ..EarthScopeOptions::default() };
    conformance::run(|| Refreshing::new(options.clone())).await;
}

#[tokio::test]
async fn the_plugin_in_python_takes_a_refresh_token_from_elsewhere() {
    let _alone = ALONE.lock().await;
    let subject = Refreshing::new(EarthScopeOptions::default());
    let broker = subject.world.broker(subject.of_client(&subject.client_id));
    let password = broker.login(World::NAME, Login::Password(Secret::new("a-password"))).await;
    assert_eq!(password.expect_err("it has none").kind(), ErrorKind::Usage);
    let refresh_token = Secret::new(subject.service.issue_refresh_token());
    let _ = broker.login(World::NAME, Login::RefreshToken(refresh_token)).await.expect("a login");
    assert!(subject.world.person.told().is_empty(), "nobody is asked");
}

#[tokio::test]
async fn a_plugin_that_was_never_asked_may_have_no_login() {
    let plugin = client().provider();
    assert!(plugin.can_renew(&Record::new(World::NAME, plugin.issuer().clone())));
}

/// The plugin in POSIX sh, with a secret and no login.
fn client() -> ClientSubject {
    ClientSubject::new(world(), EarthDailyOptions::default(), |world, service, secret| {
        let settings =
            json!({ "token_url": service.auth_url(), "client_id": "EARTHDAILY_API_TOKEN", "timeout": 2 });
        let command = json!(["sh", example("client_credentials.sh")]);
        let secrets = json!({ "client_secret": secret });
        build(json!({ "command": command, "settings": settings, "secrets": secrets }), world)
    })
}

#[tokio::test]
async fn the_plugin_in_sh_conforms() {
    let _alone = ALONE.lock().await;
    conformance::run(client).await;
}
