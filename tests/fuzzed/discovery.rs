//! Fuzzes the parser of an issuer's metadata, and the requests to the discovered endpoints.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker_core::{Broker, Entry, Error, FileStore, Login, ServiceUrl, Settings, TokenRequest, sanitize};
use broker_oauth2::KIND;
use serde_json::json;

use super::answer::{SENT, check_token};
use super::world::{PART, World, WorldEnv, block_on, in_folder, response};

const ISSUER: &str = "https://login.example.org/realm";

/// Discovers the endpoints of an issuer, and requests and revokes a token. The parts of the input are the service's
/// responses: usually the metadata, then the token.
pub fn discovery(data: &[u8]) {
    let parts = || data.split(|byte| *byte == PART);
    let table = json!({
        "flow": "client_credentials", "issuer": ISSUER, "client_id": "me", "client_secret": SENT,
    });
    let provider = (KIND.build)(&Settings::new("x", table, &WorldEnv::default())).expect("settings");
    let world = World::new(parts());
    in_folder(|folder| {
        let store = Arc::new(FileStore::new(folder));
        drop(std::fs::remove_file(store.record_path("x")));
        let providers = BTreeMap::from([("x".to_owned(), Entry::new(provider))]);
        let broker = Broker::builder(providers, store, world.context.clone()).build();
        block_on(async {
            match world.clock.bounded(broker.token("x", &TokenRequest::new())).await {
                Ok(token) => {
                    check_token(&token);
                    let is_ours = |part| {
                        let metadata = response(part).json().unwrap_or_default();
                        let url = metadata.get("token_endpoint").and_then(|url| url.as_str());
                        metadata.get("issuer") == Some(&json!(ISSUER))
                            && url.is_some_and(|url| ServiceUrl::parse(url).is_ok())
                    };
                    assert!(parts().any(is_ours), "the client secret was sent to an endpoint of no issuer");
                }
                Err(error) => check(&error),
            }
            for ended in [
                world.clock.bounded(broker.login("x", Login::Usual)).await.map(drop),
                world.clock.bounded(broker.logout("x")).await.map(drop),
            ] {
                ended.unwrap_or_else(|error| check(&error));
            }
            broker.wait_idle().await;
        });
    });
}

/// Checks that an error shows no secret and no control characters, and that the issuer in its hint can be configured.
fn check(error: &Error) {
    let hint = error.hint().map(ToString::to_string).unwrap_or_default();
    for words in [error.message(), &hint] {
        assert!(!words.contains(SENT), "the sent secret is in a message: {words}");
        assert_eq!(words, sanitize(words), "control characters in a message");
    }
    assert!(!error.message().contains("broke off"), "an operation panicked");
    let issuer = hint.split_once("issuer = \"").and_then(|(_, rest)| rest.split_once('"'));
    if let Some((issuer, _)) = issuer {
        assert!(ServiceUrl::parse(issuer).is_ok(), "the hint leads nowhere: {hint}");
    }
}
