//! Tests of the page that the browser shows at the end of a login.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use broker_core::ErrorCode;
use broker_testkit::Fault;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::login::{Plan, RunningLogin, response, start, start_with};

/// A token response whose ID token contains `email`.
fn tokens_of(email: &str) -> Fault {
    let claims = URL_SAFE_NO_PAD.encode(json!({ "email": email }).to_string());
    let header = URL_SAFE_NO_PAD.encode(json!({ "alg": "none" }).to_string());
    let tokens =
        json!({ "access_token": "a", "refresh_token": "r", "id_token": format!("{header}.{claims}.") });
    response(200, &tokens.to_string())
}

async fn page_after(fault: Fault, query: &str) -> (String, RunningLogin) {
    let mut login = start_with(Plan::default(), fault);
    (login.request().await.follow(query).await, login)
}

#[tokio::test]
async fn browser_page_names_account_after_login_is_saved() {
    let (page, mut login) = page_after(tokens_of("ada@example.org"), "state=STATE&code=c").await;
    assert!(login.world.record().is_some(), "saved before the page is sent");
    assert!(page.contains("<p>Logged in as ada@example.org. You can close this tab.</p>"), "{page}");
    login.end().await.expect("a login");
    let (page, _login) = page_after(tokens_of("<img src=x>\u{1b}"), "state=STATE&code=c").await;
    assert!(page.contains("Logged in as &lt;img src=x&gt;. You"), "{page}");
}

#[tokio::test]
async fn browser_page_omits_the_services_error_text() {
    for (fault, query, code, cause) in [
        (
            Fault::Status(500),
            "error=access_denied&error_description=secret-words",
            ErrorCode::AccessDenied,
            "denied",
        ),
        (
            response(400, r#"{"error":"invalid_grant","error_description":"secret-words"}"#),
            "code=c",
            ErrorCode::LoginRequired,
            "too long",
        ),
        (
            response(401, r#"{"error":"invalid_client"}"#),
            "code=c",
            ErrorCode::ClientRefused,
            "configured client",
        ),
        (Fault::Status(500), "code=c", ErrorCode::ServiceUnavailable, "not available"),
        (Fault::CutAfter, "code=c", ErrorCode::NetworkUnreachable, "not reach"),
    ] {
        let (page, mut login) = page_after(fault, &format!("state=STATE&{query}")).await;
        assert_eq!(login.end().await.expect_err(cause).code(), code);
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
        assert!(page.contains("Login failed: ") && page.contains(cause), "{cause}: {page}");
        assert!(page.contains("Go back to the program that started the login"), "{page}");
        assert!(!page.contains("secret-words"), "{page}");
    }
}

#[tokio::test]
async fn login_succeeds_if_browser_tab_closes_after_the_redirect() {
    let mut login = start(Plan::default());
    let request = login.request().await;
    let mut browser = TcpStream::connect(request.host()).await.unwrap();
    let target = format!("/callback?code=c&state={}", request.params["state"]);
    let head = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", request.host());
    browser.write_all(head.as_bytes()).await.unwrap();
    drop(browser);
    login.end().await.expect("a login");
    assert!(login.world.record().is_some());
}

#[tokio::test]
async fn browser_page_says_unknown_result_if_login_is_not_saved() {
    let mut login = start(Plan::default());
    let request = login.request().await;
    // A file in place of the record's folder makes the save fail.
    let folder = login.world.record_path().parent().unwrap().to_owned();
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "").unwrap();
    let page = request.follow("state=STATE&code=c").await;
    login.end().await.expect_err("not saved");
    std::fs::remove_file(&folder).unwrap();
    assert!(page.contains("This page could not get the result of the login"), "{page}");
    assert!(!page.contains("Logged in"), "{page}");
}
