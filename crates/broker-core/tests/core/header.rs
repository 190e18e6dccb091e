//! Tests of the HTTP header that carries a token.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker_core::{Broker, Derived, Entry, Header, Secret, Token, TokenRequest};
use broker_testkit::World;
use chrono::{TimeDelta, Utc};

use crate::broker::Scripted;
use crate::files;

#[tokio::test]
async fn new_and_stored_token_have_the_providers_header() {
    let (world, request) = (World::new(), TokenRequest::new());
    let mut entry = Entry::new(Scripted::numbered(TimeDelta::hours(1)));
    entry.info.header = Header::bare("X-Auth-Token");
    let broker = || {
        let entries = BTreeMap::from([(World::NAME.to_owned(), entry.clone())]);
        Broker::builder(entries, Arc::new(files(&world)), world.context()).build()
    };
    let (first, second) = (broker(), broker());
    let issued = first.token(World::NAME, &request).await.expect("a token");
    let stored = [&first, &first, &second].map(|broker| broker.stored(World::NAME, &request));
    let stored = stored.map(|token| token.expect("a record").expect("a token"));
    for token in stored.iter().chain([&issued]) {
        assert_eq!(token.header_name(), "x-auth-token");
        assert_eq!(token.authorization(), issued.secret().expose());
        assert!(token.authorization().is_sensitive());
    }
}

#[test]
fn authorization_has_the_token_type_and_no_unsafe_text() {
    let token = |secret: &str| Token::new(Secret::new(secret), Utc::now(), None);
    for (token, authorization) in [
        (token("a.b"), "Bearer a.b"),
        (token("a.b").with_scheme("DPoP"), "DPoP a.b"),
        (token("a\r\nX: b"), ""),
        (token("{}").with_type(Derived::AWS), ""),
        (token("{}").with_type(Derived::COOKIE), ""),
    ] {
        assert_eq!(token.authorization(), authorization);
        assert_eq!(token.header_name(), "authorization");
    }
}

#[test]
fn key_of_a_request_does_not_depend_on_the_setters_order() {
    let aws = || Derived::aws("role", Vec::new());
    let requests =
        [TokenRequest::new().scope("a").derived(aws()), TokenRequest::new().derived(aws()).scope("a")];
    for request in &requests {
        assert_eq!((request.scopes().as_str(), request), ("aws:role", &requests[0]));
    }
}
