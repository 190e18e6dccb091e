//! Tests that a refresh token that arrived is kept, however the rest of the response ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use broker_core::{ErrorKind, Login, Provider, Secret, Settings, TokenRequest};
use broker_oauth2::KIND;
use broker_testkit::{Fault, Rotation, TokenService, TokenServiceOptions, World};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::lab::{Lab, TOKEN, secret};

/// Writes the service's response as another service would.
type Shape = fn(&Value) -> String;

fn reordered(body: &Value) -> String {
    let token = &body["refresh_token"];
    format!("{{\"use\":\"refresh_token\", \"refresh_token\" : {token},\n\"access_token\":\"a\"}}")
}

fn nested(body: &Value) -> String {
    json!({"data": {"at": body["access_token"], "rt": body["refresh_token"], "z": "after"}}).to_string()
}

/// A service that ends the login when it sees a replaced refresh token, and a provider with a login.
async fn logged_in(fields: &Value, shape: Shape) -> (World, TokenService, Arc<dyn Provider>) {
    let world = World::new();
    let rotation = Rotation::RotateDetectReuse;
    let options =
        TokenServiceOptions { rotation, now: world.clock.for_service(), ..TokenServiceOptions::default() };
    let service = TokenService::start(options);
    service.fault_always("token", response(shape, None).0);
    let url = format!("{}/token", service.url());
    let table =
        json!({"flow": "password", "token_url": url, "client_id": "c", "username": "ada", "fields": fields});
    let provider = (KIND.build)(&Settings::new(World::NAME, table, &world.env)).expect("settings");
    let login = Login::Password(Secret::new("standin-password"));
    world.broker(provider.clone()).login(World::NAME, login).await.expect("a login");
    (world, service, provider)
}

/// Returns a fault that cuts the response this many bytes after the refresh token. The flag tells whether bytes were cut.
fn response(shape: Shape, cut_after: Option<usize>) -> (Fault, Arc<AtomicBool>) {
    let cut = Arc::new(AtomicBool::default());
    let is_cut = cut.clone();
    let fault = Fault::raw(move |body| {
        let body: Value = serde_json::from_slice(body).expect("JSON");
        let text = shape(&body);
        let token = body["refresh_token"].as_str().expect("a refresh token");
        let end = text.find(token).expect("the token") + token.len() + 1;
        let sent = cut_after.map_or(text.len(), |after| text.len().min(end + after));
        is_cut.store(sent < text.len(), Ordering::SeqCst);
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{}", text.len(), &text[..sent]).into_bytes()
    });
    (fault, cut)
}

#[tokio::test]
async fn no_cut_after_the_refresh_token_loses_the_login() {
    let paths = json!({"refresh_token": "data.rt", "access_token": "data.at"});
    let shapes: [(Value, Shape); 3] =
        [(json!({}), Value::to_string), (json!({}), reordered), (paths, nested)];
    for (fields, shape) in shapes {
        let (world, service, provider) = logged_in(&fields, shape).await;
        for after in 0.. {
            let (fault, cut) = response(shape, Some(after));
            service.fault("token", fault);
            for _ in 0..2 {
                let got =
                    world.broker(provider.clone()).token(World::NAME, &TokenRequest::new().force()).await;
                let got = got.map(drop).map_err(|error| error.kind());
                assert!(
                    matches!(got, Ok(()) | Err(ErrorKind::Unavailable)),
                    "cut {after} bytes later: {got:?}"
                );
            }
            if !cut.load(Ordering::SeqCst) {
                break;
            }
        }
    }
}

#[tokio::test]
async fn refresh_token_beside_an_error_is_kept() {
    let lab = Lab::logged_in(TOKEN, refresh_token()).await;
    lab.world.clock.advance(TimeDelta::hours(2));
    lab.answers(TOKEN, |call| match call.field("refresh_token") {
        Some("refresh-2") => (200, json!({ "access_token": "a", "expires_in": 60 })),
        _ => (200, json!({ "error": "invalid_grant", "refresh_token": "refresh-2" })),
    });
    assert_eq!(secret(&lab.broker(refresh_token())).await, "a");
    assert_eq!(lab.world.record().expect("a record")["grant"]["secret"], "refresh-2");
}

#[tokio::test]
async fn text_taken_for_a_refresh_token_loses_no_login() {
    let lab = Lab::logged_in(TOKEN, refresh_token()).await;
    lab.world.clock.advance(TimeDelta::hours(2));
    let login = lab.world.record().expect("a record")["grant"]["secret"].clone();
    let (real, is_up) = (login.clone(), AtomicBool::default());
    lab.answers(TOKEN, move |call| match call.field("refresh_token") {
        sent if sent != real.as_str() => (400, json!({ "error": "invalid_grant" })),
        _ if is_up.swap(true, Ordering::SeqCst) => (200, json!({ "access_token": "a", "expires_in": 60 })),
        _ => (200, json!({ "message": "maintenance", "refresh_token": "60" })),
    });
    assert_eq!(secret(&lab.broker(refresh_token())).await, "a");
    let record = lab.world.record().expect("a record");
    assert_eq!((&record["grant"]["secret"], &record["grant"]["previous"]), (&login, &Value::Null));
}

#[tokio::test]
async fn other_refusal_does_not_bring_back_the_previous_refresh_token() {
    let lab = Lab::logged_in(TOKEN, refresh_token()).await;
    lab.world.clock.advance(TimeDelta::hours(2));
    lab.answers(TOKEN, |call| match call.field("refresh_token") {
        Some("new-2") => (401, json!({ "error": "invalid_client" })),
        _ => (200, json!({ "refresh_token": "new-2" })),
    });
    let error = lab.broker(refresh_token()).token(World::NAME, &TokenRequest::new()).await;
    assert_eq!(error.expect_err("a wrong client").kind(), ErrorKind::Refused);
    assert_eq!(lab.world.record().expect("a record")["grant"]["secret"], "new-2");
    assert!(lab.calls().last().is_some_and(|call| call.field("refresh_token") == Some("new-2")));
}

fn refresh_token() -> Value {
    json!({ "flow": "refresh_token", "token_url": TOKEN, "client_id": "me" })
}
