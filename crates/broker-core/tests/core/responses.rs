//! Tests of parsed responses, and of checks on URLs that secrets are sent to.

use broker_core::{
    Claims, HttpRequest, HttpResponse, Lifetime, Method, Problem, Repeat, ScopeKey, Secret, SecretSource,
    ServiceUrl, Token, read_object, seconds,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::jwt;

fn sent_at() -> DateTime<Utc> {
    "2026-11-22T12:00:00Z".parse().expect("a time")
}

fn response(status: u16, headers: &[(&str, &str)], body: &str) -> HttpResponse {
    crate::response(status, headers, body, sent_at())
}

fn url() -> ServiceUrl {
    ServiceUrl::parse("https://login.example.org/token").expect("a URL")
}

#[test]
fn service_url_must_be_https_or_loopback() {
    for good in [
        "https://a.example", "http://127.0.0.1:1", "http://127.9.9.9", "http://localhost:8",
        "http://[::1]:9/x",
    ] {
        assert!(ServiceUrl::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "http://a.example", "http://127.0.0.1.a.example", "http://localhost.a.example", "http://10.0.0.1",
        "http://0.0.0.0", "ftp://a.example", "https://user:secret@a.example", "https://a.example/#x",
        "a.example", "file:///etc/passwd", "",
    ] {
        let error = ServiceUrl::parse(bad).expect_err(bad);
        assert!(!error.contains("secret@"), "{error}");
    }
    let base = ServiceUrl::parse("https://a.example/api/v1/").expect("a URL");
    assert_eq!(base.join("token/pair").as_str(), "https://a.example/api/v1/token/pair");
    assert_eq!(base.join("/token/pair").as_str(), "https://a.example/api/v1/token/pair");
}

#[test]
fn web_page_or_5xx_response_is_not_a_refusal() {
    let refused = |status, body: &str| {
        matches!(read_object(&response(status, &[], body), &url(), &[]), Err(Problem::Refused(_)))
    };
    assert!(refused(400, r#"{"error":"invalid_grant"}"#));
    assert!(refused(200, r#"{"error":"invalid_grant"}"#), "some services refuse with 200");
    assert!(refused(401, "") && refused(403, " \n"));
    for (status, body) in [
        (200, ""),
        (200, "[]"),
        (200, "{\"access"),
        (400, ""),
        (400, "{\"error\":\"inv"),
        (401, "<html>sign in</html>"),
        (404, "<html>Not found</html>"),
        (405, "Method Not Allowed"),
        (511, "<html>sign in</html>"),
        (511, r#"{"error":"net"}"#),
        (429, r#"{"error":"invalid_grant"}"#),
        (500, r#"{"error":"invalid_grant"}"#),
        (503, r#"{"access_token":"x"}"#),
    ] {
        let Err(Problem::Transient(error)) = read_object(&response(status, &[], body), &url(), &[]) else {
            panic!("{status} {body}")
        };
        assert!(error.is_transient(), "{status} {body}");
        // The response may be of another server than the service.
        let is_elsewhere = !matches!(status, 429 | 500 | 503);
        let hint = error.hint().expect("a hint").to_string();
        assert_eq!(
            hint.contains("sign-in page") && hint.contains("URL"),
            is_elsewhere,
            "{status} {body}: {hint}"
        );
    }
    let gateway = read_object(&response(404, &[], r#"{"detail":"Not Found"}"#), &url(), &[])
        .map_err(|it| it.of_service(url()));
    let Err(Problem::Transient(error)) = gateway else { panic!("a gateway's 404") };
    assert!(error.hint().expect("a hint").to_string().contains("URL"), "{error:?}");
}

#[test]
fn refusal_text_hides_secrets_and_control_characters() {
    let words = |status, body: Value| match read_object(
        &response(status, &[], &body.to_string()),
        &url(),
        &[&Secret::new("s3cret!")],
    ) {
        Err(Problem::Refused(refusal)) => refusal.words,
        other => panic!("no refusal: {other:?}"),
    };
    let body =
        json!({ "error": "invalid_client", "error_description": "no \u{1b}[31msuch\r\nthing: s3cret!" });
    assert_eq!(
        words(401, body),
        "[withheld: the text repeats a secret of the request] (invalid_client) [HTTP 401]"
    );
    let body = json!({ "error": "invalid_client", "error_description": "no \u{1b}[31msuch\r\nthing" });
    assert_eq!(words(401, body), "no  [31msuch  thing (invalid_client) [HTTP 401]");
    let fields = json!({ "detail": [{ "type": "x", "loc": ["body", 0, "email"], "msg": "not an email" }] });
    assert_eq!(words(422, fields), "body.0.email: not an email [HTTP 422]");
    assert!(words(400, json!({ "message": "x".repeat(5000) })).chars().count() <= 301);
}

#[test]
fn expires_in_is_parsed_from_numbers_and_strings() {
    assert_eq!(seconds(&json!(3600)), Some(TimeDelta::seconds(3600)));
    assert_eq!(seconds(&json!("3600")), Some(TimeDelta::seconds(3600)));
    assert_eq!(seconds(&json!(0.5)), Some(TimeDelta::milliseconds(500)));
    for nonsense in [json!("soon"), json!(null), json!([1]), json!("NaN"), json!("inf")] {
        assert_eq!(seconds(&nonsense), None, "{nonsense}");
    }
}

#[test]
fn token_expires_at_the_earliest_stated_time() {
    let exp = (sent_at() + TimeDelta::minutes(30)).timestamp();
    let (opaque, ten_seconds) = (Secret::new("opaque"), Some(TimeDelta::seconds(10)));
    let plain = response(200, &[], "");
    // The service's clock is an hour ahead: 13:30 by the service's clock is 12:30 by this machine's clock.
    let ahead = response(200, &[("date", "Sun, 22 Nov 2026 13:00:00 GMT")], "");
    for (response, secret, expires_in, lifetime) in [
        (&plain, jwt(&json!({ "exp": exp })), ten_seconds, 10),
        (&plain, jwt(&json!({ "exp": exp })), None, 1800),
        (&plain, jwt(&json!({ "exp": exp * 1000 })), None, 1800),
        (&plain, jwt(&json!({ "exp": exp.to_string() })), None, 1800),
        (&plain, jwt(&json!({ "exp": 0 })), None, 3600),
        (&plain, jwt(&json!({ "exp": exp })), Some(TimeDelta::hours(1)), 1800),
        (&ahead, jwt(&json!({ "exp": exp + 3600 })), Some(TimeDelta::hours(1)), 1800),
        // A JWT that has ended by the service's clock.
        (&ahead, jwt(&json!({ "exp": exp - 1800 })), Some(TimeDelta::hours(1)), -3600),
        // Without the service's clock, this machine's clock may be ahead.
        (&plain, jwt(&json!({ "exp": exp - 3600 })), Some(TimeDelta::hours(1)), 3600),
        (&plain, opaque.clone(), None, 3600),
        (&ahead, jwt(&json!({ "exp": exp + 3600 })), None, 1800),
        (&ahead, opaque, ten_seconds, 10),
    ] {
        let token = Token::from_response(response, secret, expires_in, TimeDelta::hours(1));
        let left = token.expires_at().expect("an expiry") - sent_at();
        assert_eq!(left, TimeDelta::seconds(lifetime), "{:?}, {expires_in:?}", response.header("date"));
    }
    assert!(Claims::read(&Secret::new("a.b")).is_none() && Claims::read(&Secret::new("a.!.c")).is_none());
}

#[test]
fn date_header_that_contradicts_the_token_is_ignored() {
    let (now, minutes, days) = (sent_at(), TimeDelta::minutes, TimeDelta::days);
    let at = |after: TimeDelta| (now + after).timestamp();
    let usual = json!({ "iat": at(minutes(0)), "exp": at(minutes(10)) });
    let only_exp = json!({ "exp": at(minutes(10)) });
    let (years_1970, years_9999) = (DateTime::UNIX_EPOCH - now, days(36_000));
    for (date, claims, expires_in, expected) in [
        // A JWT that was issued now.
        (years_1970, &usual, None, 10),
        (-days(3), &usual, None, 10),
        (-minutes(120), &usual, None, 10),
        (minutes(5), &usual, None, 10),
        (minutes(120), &usual, Some(10), 10),
        (years_9999, &usual, None, 10),
        // The lifetime shows that the clocks agree.
        (-days(3), &only_exp, Some(10), 10),
        (minutes(5), &only_exp, Some(10), 10),
        // A new token has not expired yet, and a clock is seldom wrong by days.
        (years_1970, &only_exp, None, 10),
        (-days(3), &only_exp, None, 10),
        (minutes(120), &only_exp, None, 10),
        (years_9999, &only_exp, None, 10),
        // Cached JWTs.
        (minutes(1), &json!({ "iat": at(-minutes(60)), "exp": at(minutes(10)) }), None, 9),
        (-days(3), &json!({ "iat": at(-minutes(60)), "exp": at(minutes(10)) }), None, 10),
        // This machine's clock is wrong: 2 hours behind, 2 hours ahead, days behind and days ahead.
        (minutes(120), &json!({ "iat": at(minutes(120)), "exp": at(minutes(130)) }), None, 10),
        (-minutes(120), &json!({ "iat": at(-minutes(120)), "exp": at(-minutes(110)) }), None, 10),
        (days(3), &json!({ "exp": at(days(3) + minutes(10)) }), None, 10),
        (-days(3), &json!({ "exp": at(minutes(10) - days(3)) }), None, 10),
        (years_1970, &json!({ "iat": at(minutes(120)), "exp": at(minutes(130)) }), None, 10),
    ] {
        let date = (now + date).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let expires_in = expires_in.map(minutes);
        let token =
            Token::from_response(&response(200, &[("date", &date)], ""), jwt(claims), expires_in, days(1));
        let left = token.expires_at().expect("an expiry") - now;
        assert_eq!(left, minutes(expected), "{date}, {claims}, {expires_in:?}");
    }
}

#[test]
fn lifetime_is_parsed_from_a_duration_or_a_date() {
    for good in ["7d", "36h", "2w", "90m", "2026-12-31", "1d 12h"] {
        assert!(good.parse::<Lifetime>().is_ok(), "{good}");
    }
    for bad in ["", "7", "soon", "2026-13-01", "-1d", "99999999999999999999d"] {
        assert!(bad.parse::<Lifetime>().is_err(), "{bad}");
    }
    assert_eq!(Lifetime::For(std::time::Duration::MAX).end(Utc::now()), None);
}

#[test]
fn requested_scopes_are_sorted_and_deduplicated() {
    assert_eq!(ScopeKey::new(["b", "a  c", "b"]).as_str(), "a b c");
    assert!(ScopeKey::new(["", " "]).is_empty());
}

#[test]
fn client_id_and_secret_are_form_encoded_for_basic_auth() {
    let request =
        HttpRequest::new(Method::POST, url(), Repeat::Never).with_basic("a:b c", &Secret::new("%é"));
    // The base64 text encodes `a%3Ab%20c:%25%C3%A9`: the form-encoded client ID and client secret.
    assert_eq!(request.authorization().expect("a header"), "Basic YSUzQWIlMjBjOiUyNSVDMyVBOQ==");
}

#[test]
fn debug_output_of_tokens_and_requests_hides_secrets() {
    let secret = Secret::new("hunter2");
    let token = Token::new(secret.clone(), Utc::now(), None);
    let post = HttpRequest::post_form(url(), &[("password", "hunter2")], Repeat::Never).with_bearer(&secret);
    let answer = response(200, &[("x-token", "hunter2")], "hunter2");
    let literal = SecretSource::Literal(secret.clone());
    let command = SecretSource::Command(vec!["echo".to_owned(), "hunter2".to_owned()]);
    let seen = format!("{secret:?} {token:?} {post:?} {answer:?} {literal:?} {command:?}");
    assert!(!seen.contains("hunter2"), "{seen}");
}
