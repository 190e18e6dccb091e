use broker_testkit::{CarbonMapper, CarbonMapperOptions};
use serde_json::{Value, json};

use super::client::{Answer, JSON, get, post_json, send};
use super::{Moved, claims};

fn pair(service: &CarbonMapper, password: &str) -> Answer {
    let body = json!({"email": "ada@example.org", "password": password});
    post_json(&(service.base_url() + "token/pair"), &body)
}

fn login(service: &CarbonMapper) -> (String, String) {
    let answer = pair(service, "standin-password");
    assert_eq!(answer.status, 200);
    (text(&answer, "access"), text(&answer, "refresh"))
}

fn refresh(service: &CarbonMapper, token: &str) -> Answer {
    let url = service.base_url() + "token/refresh";
    post_json(&url, &json!({"refresh": token}))
}

fn mint(service: &CarbonMapper, access: &str, body: &Value) -> Answer {
    let url = service.base_url() + "account/tokens/create-stac";
    let headers = [JSON, ("Authorization", &format!("Bearer {access}"))];
    send(&url, "POST", &headers, &body.to_string())
}

fn text(answer: &Answer, key: &str) -> String {
    answer.json()[key].as_str().unwrap().to_owned()
}

fn week() -> Value {
    json!({"expiration_date": "2030-01-08", "name": "broker-1"})
}

fn at(clock: &Moved) -> CarbonMapperOptions {
    CarbonMapperOptions { now: clock.now(), ..CarbonMapperOptions::default() }
}

#[test]
fn scoped_token_stays_valid_after_access_token_expires() {
    let clock = Moved::default();
    let service = CarbonMapper::start(at(&clock));
    let (access, refresh_token) = login(&service);
    assert_eq!(claims(&access)["exp"], Moved::start().timestamp() + 300);
    let minted = mint(&service, &access, &week());
    assert_eq!(minted.status, 201);
    assert_eq!(minted.json()["scopes"], json!(["stac", "catalog:read"]));
    let scoped = text(&minted, "token_value");
    let stac = service.base_url() + "stac/";
    assert_eq!((get(&stac, &scoped).status, get(&stac, &access).status), (200, 200));

    clock.forward(300);
    assert_eq!((get(&stac, &scoped).status, get(&stac, &access).status), (200, 401));
    assert_eq!(mint(&service, &access, &week()).status, 401);
    let renewed = refresh(&service, &refresh_token);
    assert_eq!(text(&renewed, "refresh"), refresh_token);
    assert_eq!(mint(&service, &text(&renewed, "access"), &week()).status, 201);

    service.revoke_refresh_tokens();
    let refused = refresh(&service, &refresh_token);
    assert_eq!((refused.status, text(&refused, "code").as_str()), (401, "token_not_valid"));
    let (access, _) = login(&service);
    service.revoke_access_tokens();
    assert!(!service.access_is_live(&access) && service.access_is_live(&scoped));
    clock.forward(6 * 86_400 + 12 * 3600);
    assert!(!service.access_is_live(&scoped));
    assert_eq!((service.pairs(), service.refreshes(), service.mints()), (2, 1, 2));
    let name_and_date = ("broker-1".to_owned(), "2030-01-08".to_owned());
    assert_eq!(service.minted(), [name_and_date.clone(), name_and_date]);
}

#[test]
fn carbonmapper_refresh_rotates_or_omits_the_refresh_token() {
    let service = CarbonMapper::start(CarbonMapperOptions { rotate_refresh: true, ..Default::default() });
    let (_, old) = login(&service);
    let new = text(&refresh(&service, &old), "refresh");
    assert_ne!(old, new);
    assert_eq!(refresh(&service, &old).status, 401);
    assert_eq!(refresh(&service, &new).status, 200);

    let options = CarbonMapperOptions { return_refresh_on_refresh: false, ..Default::default() };
    let service = CarbonMapper::start(options);
    let (_, token) = login(&service);
    for _ in 0..2 {
        assert!(refresh(&service, &token).json().get("refresh").is_none());
    }
}

#[test]
fn carbonmapper_errors_have_the_format_of_django_ninja_jwt() {
    let service = CarbonMapper::start(CarbonMapperOptions::default());
    service.set_password("other");
    let wrong = pair(&service, "standin-password");
    assert_eq!((wrong.status, &wrong.json()["code"]), (401, &"authentication_failed".into()));
    assert_eq!(pair(&service, "other").status, 200);
    let url = service.base_url();
    let missing = post_json(&format!("{url}token/pair"), &json!({"password": "x"}));
    let expected = json!({"detail": "Invalid input.", "code": "invalid", "email": "email is required"});
    assert_eq!((missing.status, missing.json()), (400, expected));
    assert_eq!(refresh(&service, "").status, 400);
    assert_eq!(send(&format!("{url}token/pair"), "POST", &[JSON], "{").status, 400);
    let method = send(&format!("{url}token/pair"), "GET", &[], "");
    assert_eq!((method.status, method.text().as_str()), (405, "Method not allowed"));
    assert_eq!(method.header("allow"), Some("POST"));
    let bearer = get(&format!("{url}stac/"), "bad");
    assert_eq!((bearer.status, &bearer.json()["messages"][0]["token_type"]), (401, &"access".into()));
}

#[test]
fn scoped_token_needs_an_expiration_date_within_a_year() {
    let clock = Moved::default();
    let service = CarbonMapper::start(CarbonMapperOptions { scoped_is_jwt: true, ..at(&clock) });
    let (access, refresh) = login(&service);
    let on = |date: &str| mint(&service, &access, &json!({"expiration_date": date, "name": "n"}));
    for wrong in ["2030-01-01", "2031-01-02", "soon"] {
        let refused = on(wrong);
        let field = json!(["body", "payload", "expiration_date"]);
        assert_eq!((refused.status, &refused.json()["detail"][0]["loc"]), (422, &field), "{wrong}");
    }
    assert_eq!(on("2031-01-01").status, 201);
    let tomorrow = text(&on("2030-01-02"), "token_value");
    assert_eq!(claims(&tomorrow)["exp"], Moved::start().timestamp() + 12 * 3600);
    let nothing = mint(&service, &access, &json!({}));
    assert_eq!(nothing.json()["detail"].as_array().unwrap().len(), 2);
    assert_eq!(mint(&service, &refresh, &week()).status, 401);
    assert_eq!(mint(&service, &tomorrow, &week()).status, 401);
}

#[test]
fn scoped_tokens_can_be_listed_and_deleted() {
    let clock = Moved::default();
    let service = CarbonMapper::start(at(&clock));
    let (access, _) = login(&service);
    let scoped = text(&mint(&service, &access, &week()), "token_value");
    let url = service.base_url() + "account/tokens";
    let list = get(&url, &access);
    assert!(!list.text().contains(&scoped));
    let id = list.json()[0]["id"].to_string();
    let bearer = format!("Bearer {access}");
    let delete = || send(&format!("{url}/{id}"), "DELETE", &[("Authorization", &bearer)], "");
    let deleted = delete();
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    assert_eq!(delete().status, 404);
    assert!(!service.access_is_live(&scoped));
    assert_eq!(get(&url, &access).json(), json!([]));
    assert_eq!((service.mints(), service.count("delete")), (1, 2));
}
