//! Tests of the shapes and encodings in which services answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use broker_core::{Credential, FinalCodes, HttpResponse, Problem, Refusal, ServiceUrl, read_object};
use chrono::DateTime;
use serde_json::{Value, json};

const LATIN_1: &str = "application/json; charset=ISO-8859-1";

const SHIFT_JIS: &str = "application/json; charset=Shift_JIS";

pub(crate) fn answer(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> HttpResponse {
    let body: Vec<u8> = body.into();
    let headers = if kind.is_empty() { vec![] } else { vec![("content-type", kind)] };
    let response = crate::response(status, &headers, "", DateTime::UNIX_EPOCH);
    response.with_body(body)
}

pub(crate) fn read(response: &HttpResponse) -> Result<Value, Problem> {
    let url = ServiceUrl::parse("https://login.example.org/token").expect("a URL");
    read_object(response, &url, &[]).map(Value::Object)
}

fn refusal(status: u16, body: &Value) -> Refusal {
    match read(&answer(status, "", body.to_string())) {
        Err(Problem::Refused(refusal)) => refusal,
        other => panic!("no refusal: {other:?}"),
    }
}

fn utf_16(text: &str, unit: fn(u16) -> [u8; 2], mark: bool) -> Vec<u8> {
    let mark = mark.then_some(0xfeff);
    mark.into_iter().chain(text.encode_utf16()).flat_map(unit).collect()
}

fn utf_32(text: &str, unit: fn(u32) -> [u8; 4], mark: bool) -> Vec<u8> {
    let mark = mark.then_some('\u{feff}');
    mark.into_iter().chain(text.chars()).flat_map(|c| unit(c.into())).collect()
}

#[test]
fn answers_are_read_in_the_encodings_that_servers_use() {
    let text = r#"{"access_token":"tok","name":"José"}"#;
    let deep =
        format!(r#"{{"y":{}"]"{},"access_token":"tok","name":"x"}}"#, "[".repeat(200), "]".repeat(200));
    let latin_1: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).expect("Latin-1")).collect();
    for (what, kind, body, name) in [
        ("UTF-8", "", text.as_bytes().to_vec(), "José"),
        ("byte order mark", "", [b"\xef\xbb\xbf", text.as_bytes()].concat(), "José"),
        ("UTF-16LE", "", utf_16(text, u16::to_le_bytes, true), "José"),
        ("UTF-16BE", "", utf_16(text, u16::to_be_bytes, true), "José"),
        ("UTF-16LE without a mark", "", utf_16(text, u16::to_le_bytes, false), "José"),
        ("UTF-16BE without a mark", "", utf_16(text, u16::to_be_bytes, false), "José"),
        ("Latin-1", LATIN_1, latin_1.clone(), "José"),
        ("Latin-1, undeclared", "application/json", latin_1, "Jos\u{fffd}"),
        ("UTF-8, declared as Latin-1", LATIN_1, text.as_bytes().to_vec(), "José"),
        ("half a surrogate", "", br#"{"access_token":"tok","name":"Jos\ud83d"}"#.to_vec(), "Jos\u{fffd}"),
        ("escaped emoji", "", br#"{"access_token":"tok","name":"\ud83d\ude00"}"#.to_vec(), "😀"),
        ("JSON as a web page", "text/html", text.as_bytes().to_vec(), "José"),
        ("UTF-32LE", "", utf_32(text, u32::to_le_bytes, true), "José"),
        ("UTF-32BE without a mark", "", utf_32(text, u32::to_be_bytes, false), "José"),
        ("two marks, zeros", "", "\u{feff}\u{feff}{\"access_token\":\"tok\",\"name\":\"x\"}\0\0".into(), "x"),
        ("Shift JIS", SHIFT_JIS, b"{\"access_token\":\"tok\",\"name\":\"\x95\x5c\"}".to_vec(), "\u{fffd}"),
        ("NaN", "", br#"{"access_token":"tok","name":"x","y":[NaN,-Infinity,1e999]}"#.to_vec(), "x"),
        ("line end in a text", "", b"{\"access_token\":\"tok\",\"name\":\"a\nb\"}".to_vec(), "a\nb"),
        (
            "unknown escapes",
            "",
            br#"{"access_token":"tok","name":"O\'Neil\x\\"}"#.to_vec(),
            "O'Neil\u{fffd}x\\",
        ),
        ("deep", "", deep.clone().into(), "x"),
        ("form", "", b"access_token=tok&name=Jos%C3%A9&token_type=bearer".to_vec(), "José"),
    ] {
        let read = read(&answer(200, kind, body)).unwrap_or_else(|problem| panic!("{what}: {problem:?}"));
        assert_eq!((&read["access_token"], &read["name"]), (&json!("tok"), &json!(name)), "{what}");
    }
}

#[test]
fn error_in_any_encoding_keeps_its_code() {
    for (kind, body) in [
        (LATIN_1, b"{\"error\":\"invalid_grant\",\"error_description\":\"expir\xe9\"}".to_vec()),
        ("", b"{\"error\":\"invalid_grant\",\"error_description\":\"expir\xe9\"}".to_vec()),
        ("", br#""{\"error\":\"invalid_grant\"}""#.to_vec()),
        ("", br#"{"error":"invalid_grant","time":NaN}"#.to_vec()),
        ("", b"error=invalid_grant&error_description=expired".to_vec()),
        ("", utf_16(r#"{"error":"invalid_grant"}"#, u16::to_le_bytes, true)),
    ] {
        let problem = read(&answer(400, kind, body)).expect_err("an error");
        assert!(matches!(&problem, Problem::Refused(refusal) if refusal.is("invalid_grant")), "{problem:?}");
    }
}

#[test]
fn the_services_reason_is_found_in_every_known_shape() {
    for (body, words) in [
        (
            json!({"error": "invalid_client", "error_description": "no such client"}),
            "no such client (invalid_client)",
        ),
        (
            json!({"errorCode": "E0000011", "errorSummary": "Invalid token", "errorCauses": []}),
            "Invalid token (E0000011)",
        ),
        (
            json!({"errorSummary": "Bad", "errorCauses": [{"errorSummary": "id: missing"}]}),
            "Bad: id: missing",
        ),
        (
            json!({"error": {"code": 400, "message": "API key not valid", "status": "INVALID_ARGUMENT"}}),
            "API key not valid (INVALID_ARGUMENT)",
        ),
        (json!({"errors": [{"code": "bad", "message": "secret is wrong"}]}), "secret is wrong (bad)"),
        (json!({"errors": [{"detail": "one"}, {"title": "two"}, "three"]}), "one; two; three"),
        (json!({"errors": ["only text"]}), "only text"),
        (
            json!({"fault": {"faultstring": "Invalid ApiKey", "detail": {"errorcode": "oauth.v2.InvalidApiKey"}}}),
            "Invalid ApiKey (oauth.v2.InvalidApiKey)",
        ),
        (json!({"detail": "Not allowed"}), "Not allowed"),
        (json!({"Message": "User is not authorized"}), "User is not authorized"),
        (json!({"msg": "no", "error_code": "user_banned"}), "no (user_banned)"),
        (
            json!({"type": "https://example.org/p", "title": "Locked", "detail": "Ask your admin"}),
            "Locked: Ask your admin",
        ),
        (json!({"error": "Bad Request", "status": 400, "message": "wrong key"}), "wrong key"),
        (json!({"error": "the account is locked"}), "the account is locked"),
        (json!({"error": ["one", {"message": "two"}]}), "one; two"),
        (
            json!({"__type": "NotAuthorizedException", "message": "expired"}),
            "expired (NotAuthorizedException)",
        ),
        (
            json!({"ErrorCode": "invalid_request", "Error": "Client identifier is required"}),
            "Client identifier is required (invalid_request)",
        ),
        (json!({"statusCode": 401, "reason": "no subscription"}), "no subscription"),
        (
            json!({"errors": {"email": ["is not valid", "is too long"]}}),
            "email: is not valid; email: is too long",
        ),
        (json!({"non_field_errors": ["no such user"]}), "no such user"),
        (json!({"error": "x", "errorDescription": "it is locked"}), "it is locked (x)"),
        (json!({"error": {"code": 403, "errors": [{"message": "it is locked"}]}}), "it is locked"),
        (
            json!({"error": {"code": 498, "message": "Invalid", "details": ["it is locked"]}}),
            "Invalid: it is locked",
        ),
        (
            json!({"data": {"message": "it is locked"}, "time": "Mon Nov 30 17:19:55 UTC 2026"}),
            "it is locked",
        ),
        (json!(["it is locked"]), "it is locked"),
        (json!({}), "the service gave no reason"),
    ] {
        assert_eq!(refusal(400, &body).words, format!("{words} [HTTP 400]"), "{body}");
    }
}

#[test]
fn list_is_read_only_as_errors() {
    assert_eq!(
        refusal(400, &json!([{"errorCode": "LIMIT", "message": "no"}])).words,
        "no (LIMIT) [HTTP 400]"
    );
    for (status, body) in [(200, json!([{"access_token": "at"}])), (400, json!([])), (400, json!([1]))] {
        let problem = read(&answer(status, "", body.to_string())).expect_err("no object");
        assert!(matches!(problem, Problem::Transient(_)), "{status} {body}");
    }
}

#[test]
fn short_plain_text_is_shown_and_a_web_page_is_not() {
    let message = |kind, body: &str| {
        read(&answer(401, kind, body)).expect_err("no object").error("").message().to_owned()
    };
    assert!(message("text/plain", "Jwt is missing\n").contains("Jwt is missing"));
    assert!(!message("text/html", "Jwt is missing").contains("Jwt"));
    assert!(!message("", "<html>Jwt is missing</html>").contains("Jwt"));
    assert!(!message("text/plain", &"Jwt ".repeat(100)).contains("Jwt"));
    assert!(message("text/plain", "Jwt is\r\nmissing").contains("Jwt is missing"));
    for body in ["s3cr3t-opaque-token", "\"s3cr3t\"", "accessToken=s3cr3t", "<t>s3cr3t</t>", "token: s3cr3t"]
    {
        let problem = read(&answer(200, "text/plain", body)).expect_err("no object");
        assert!(
            !problem.error("").message().contains("s3cr3t"),
            "the body of a success may be a token: {body}"
        );
    }
    let in_sentence = json!({"ok": false, "credential": "Bearer s3cr3t"}).to_string();
    assert!(
        !read(&answer(400, "", in_sentence)).expect_err("a refusal").error("").message().contains("s3cr3t")
    );
    let xml = "<?xml version='1.0'?><e><code>4</code><message>Jwt is missing</message></e>";
    assert!(message("application/xml", xml).contains("4 Jwt is missing"));
    let headers = [("www-authenticate", "Bearer error=\"x\", error_description=\"Jwt is missing\"")];
    let problem = read(&crate::response(401, &headers, "", DateTime::UNIX_EPOCH)).expect_err("a refusal");
    assert!(problem.error("").message().contains("Jwt is missing"));
}

#[test]
fn refusals_of_known_services_end_a_login() {
    for (status, code, words) in [
        (400, "invalid_request", "Refresh token is invalid"),
        (400, "invalid_request", "Invalid refresh_token"),
        (403, "unauthorized_client", "refresh_token is invalid"),
        (200, "invalid_code", ""),
        (400, "NotAuthorizedException", "Refresh Token has been revoked"),
    ] {
        let refusal = refusal(status, &json!({"error": code, "error_description": words}));
        assert!(FinalCodes::oauth(&[]).end(&refusal, Credential::RefreshToken), "{code}");
        assert!(!FinalCodes::STANDARD.end(&refusal, Credential::RefreshToken), "{code}");
    }
}

#[test]
fn only_a_services_own_code_ends_a_login() {
    let configured = ["ENDED".to_owned()];
    let (oauth, any) = (FinalCodes::oauth(&[]), FinalCodes::any(&[]));
    let own = FinalCodes::oauth(&configured);
    let list = json!({"message": "Bad Request", "errors": [{"resource": "RefreshToken", "field": "refresh_token", "code": "invalid"}]});
    for (status, body, ending, not_ending) in [
        (
            400,
            json!({"error": "invalid_grant"}),
            vec![oauth, any, own, FinalCodes::STANDARD],
            vec![FinalCodes::LOGIN_API],
        ),
        (404, json!({"error": "invalid_grant"}), vec![oauth, FinalCodes::STANDARD], vec![]),
        (400, json!({"error": {"type": "invalid_grant"}}), vec![oauth, FinalCodes::STANDARD], vec![]),
        (400, json!({"errors": [{"errorType": "invalid_grant"}]}), vec![oauth, any], vec![]),
        (400, json!({"errorCode": "invalid_grant"}), vec![oauth], vec![]),
        (400, json!([{"error": "invalid_grant"}]), vec![oauth, FinalCodes::STANDARD], vec![]),
        (400, json!({"errors": ["invalid_grant"]}), vec![oauth, any], vec![]),
        (400, json!({"errors": [{"extensions": {"code": "invalid_grant"}}]}), vec![oauth, any], vec![]),
        (400, json!({"detail": {"error": "invalid_grant"}}), vec![oauth, any], vec![]),
        (400, json!({"Error": "INVALID_GRANT"}), vec![oauth, any], vec![]),
        (400, json!({"error": "invalid_grant: expired"}), vec![oauth, any], vec![]),
        (400, json!({"error": "{\"error\":\"invalid_grant\"}"}), vec![oauth, any], vec![]),
        (400, json!({"message": "no invalid_grant", "scope": "invalid_grant"}), vec![], vec![oauth, any]),
        (401, json!([{"code": "token_not_valid"}]), vec![any], vec![oauth]),
        (
            400,
            json!({"error": {"message": "TOKEN_EXPIRED", "status": "INVALID_ARGUMENT"}}),
            vec![oauth],
            vec![],
        ),
        (400, json!({"errorCode": "BXNIM0408E"}), vec![oauth], vec![FinalCodes::STANDARD]),
        (
            401,
            json!({"error": "invalid_token", "error_description": "Cannot convert access token to JSON"}),
            vec![oauth],
            vec![],
        ),
        (401, json!({"error": "invalid_token"}), vec![], vec![oauth, any]),
        (401, json!({"error": "invalid_token", "error_description": "no such key"}), vec![], vec![oauth]),
        (400, json!([{"errorCode": "INVALID_SESSION_ID", "message": "expired"}]), vec![], vec![oauth, any]),
        (
            401,
            json!({"error": "invalid_token", "error_description": "Invalid refresh token"}),
            vec![oauth, any],
            vec![own, FinalCodes::STANDARD],
        ),
        (
            401,
            json!({"error": "invalid_token", "error_description": "The access token expired"}),
            vec![],
            vec![oauth, any],
        ),
        (403, json!({"error": "invalid_token"}), vec![], vec![oauth, any]),
        (200, json!({"error": "bad_refresh_token"}), vec![oauth], vec![]),
        (
            400,
            json!({"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token"}),
            vec![oauth],
            vec![],
        ),
        (400, list, vec![oauth], vec![FinalCodes::STANDARD]),
        (
            400,
            json!({"error": "Bad Request", "status": 400, "message": "Invalid refresh token"}),
            vec![oauth],
            vec![],
        ),
        (
            401,
            json!({"error": "invalid_request", "message": "The refresh token is invalid."}),
            vec![oauth],
            vec![],
        ),
        (
            400,
            json!({"error": "invalid_request", "error_description": "The refresh_token is invalid."}),
            vec![oauth],
            vec![],
        ),
        (400, json!({"error": "invalid_request"}), vec![], vec![oauth, any]),
        (410, json!({"error": "ENDED"}), vec![own], vec![oauth]),
        (
            401,
            json!({"detail": "x", "code": "token_not_valid"}),
            vec![any, FinalCodes::LOGIN_API],
            vec![oauth],
        ),
        (
            401,
            json!({"detail": "x", "code": "authentication_failed"}),
            vec![],
            vec![any, FinalCodes::LOGIN_API],
        ),
        (401, json!({"error": "login_required"}), vec![], vec![oauth, any]),
        (401, json!({}), vec![], vec![oauth, any, own]),
    ] {
        let refusal = refusal(status, &body);
        assert!(ending.iter().all(|codes| codes.end(&refusal, Credential::RefreshToken)), "{body}");
        assert!(!not_ending.iter().any(|codes| codes.end(&refusal, Credential::RefreshToken)), "{body}");
    }
}

#[test]
fn only_a_services_own_code_refuses_a_password() {
    let (oauth, any) = (FinalCodes::oauth(&[]), FinalCodes::any(&[]));
    for (status, body, refusing, not_refusing) in [
        (400, json!({"error": "invalid_grant"}), vec![oauth, any], vec![FinalCodes::LOGIN_API]),
        (400, json!({"code": 400, "error_code": "invalid_credentials"}), vec![oauth, any], vec![]),
        (
            401,
            json!({"detail": "x", "code": "authentication_failed"}),
            vec![any, FinalCodes::LOGIN_API],
            vec![oauth],
        ),
        (401, json!({"code": "no_active_account"}), vec![any, FinalCodes::LOGIN_API], vec![oauth]),
        (401, json!({"code": "token_not_valid"}), vec![], vec![oauth, any, FinalCodes::LOGIN_API]),
        (403, json!({"error": "invalid_credentials"}), vec![], vec![oauth, any]),
        // UAA also sends it for a wrong client secret.
        (
            401,
            json!({"error": "unauthorized", "error_description": "Bad credentials"}),
            vec![],
            vec![oauth, any],
        ),
    ] {
        let refusal = refusal(status, &body);
        assert!(refusing.iter().all(|codes| codes.end(&refusal, Credential::Password)), "{body}");
        assert!(!not_refusing.iter().any(|codes| codes.end(&refusal, Credential::Password)), "{body}");
    }
}

#[test]
fn base64_of_a_basic_header_is_a_repeated_secret() {
    let secret = broker_core::Secret::new("correct horse+battery");
    let header = STANDARD.encode("client:correct+horse%2Bbattery");
    assert!(broker_core::repeats_secret(&format!("bad header Basic {header}"), &[&secret]));
}
