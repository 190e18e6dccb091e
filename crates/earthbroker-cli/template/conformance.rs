//! Runs the conformance suite on the provider kind `my-service`, with and without rotation of refresh tokens.

use broker_my_service::KIND;
use broker_testkit::conformance::{self, TokenSubject};
use broker_testkit::{Rotation, TokenServiceOptions};
use serde_json::json;

fn subject(rotation: Rotation) -> TokenSubject {
    let options = TokenServiceOptions { rotation, ..TokenServiceOptions::default() };
    let of = |username: &'static str| move |url: &str| json!({ "url": url, "username": username });
    TokenSubject::new(KIND, options, of("ada"), of("grace"))
}

#[tokio::test]
async fn conforms() {
    for rotation in [Rotation::Keep, Rotation::Rotate] {
        conformance::run(|| subject(rotation)).await;
    }
}
