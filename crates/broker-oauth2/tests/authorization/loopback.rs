//! Tests of the loopback listener that receives the browser's redirect.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use broker_core::{ErrorCode, Hint};
use broker_testkit::TestClock;
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpStream};

use super::login::{ISSUER, Plan, start};

#[tokio::test]
async fn authorization_code_is_exchanged_with_pkce_verifier() {
    let mut login = start(Plan::default());
    let request = login.request().await;
    // The configured `client_id` replaces the `client_id` in the query of the configured endpoint.
    assert!(request.url.as_str().starts_with("https://login.example.org/authorize?tenant=t&"));
    let fixed =
        [("response_type", "code"), ("client_id", "me"), ("scope", "openid data"), ("audience", "api")];
    for (name, value) in fixed.into_iter().chain([("code_challenge_method", "S256")]) {
        assert_eq!(request.params[name], value);
    }
    assert_eq!((request.redirect.host_str(), request.redirect.path()), (Some("127.0.0.1"), "/callback"));
    assert!(request.params["state"].len() >= 43);
    let page = request.follow("state=STATE&code=the%2Fcode").await;
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(page.contains("<p>Logged in. You can close this tab.</p>"), "{page}");
    assert!(login.end().await.unwrap().token.is_some());
    let form = login.form();
    assert_eq!((form["grant_type"].as_str(), form["code"].as_str()), ("authorization_code", "the/code"));
    assert_eq!(form["client_id"], "me");
    assert_eq!(form["redirect_uri"], request.redirect.as_str());
    assert_eq!(form["resource"], "https://api.example.org");
    let hashed = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
    assert_eq!(hashed, request.params["code_challenge"]);
    assert!(form["code_verifier"].len() >= 43 && form["code_verifier"] != request.params["state"]);
    assert!(TcpStream::connect(request.host()).await.is_err(), "the listener has stopped");
}

#[tokio::test]
async fn each_browser_login_has_new_state_challenge_and_port() {
    let (mut one, mut other) = (start(Plan::default()), start(Plan::default()));
    let (one, other) = (one.request().await, other.request().await);
    for name in ["state", "code_challenge", "redirect_uri"] {
        assert_ne!(one.params[name], other.params[name], "{name}");
    }
}

#[tokio::test]
async fn browser_page_repeats_no_query_value_and_loads_nothing() {
    let mut login = start(Plan::default());
    let request = login.request().await;
    let wrong = request.follow("state=%3Cscript%3E&code=abc123").await;
    let right = request.follow("state=STATE&code=abc123&error_description=%3Cscript%3E").await;
    for page in [wrong, right] {
        for part in ["abc123", "<script", "src=", "href=", request.params["state"].as_str()] {
            assert!(!page.contains(part), "{part}: {page}");
        }
    }
    login.end().await.expect("a login");
}

#[tokio::test]
async fn invalid_requests_to_the_listener_do_not_end_the_login() {
    let mut login = start(Plan::default());
    let request = login.request().await;
    let good = format!("/callback?state={}&code=good", request.params["state"]);
    let port = request.redirect.port().unwrap();
    // A browser may open connections that send no request.
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(request.host()).await.unwrap());
    }
    let (host, began) = (request.host(), std::time::Instant::now());
    for (method, target, host, status) in [
        ("GET", "/favicon.ico", host.as_str(), 404),
        ("GET", "/", &host, 404),
        ("GET", "/callback", &host, 400),
        ("GET", "/callback?code=bad&state=wrong", &host, 400),
        ("GET", "/callback?error=access_denied&state=wrong", &host, 400),
        ("GET", "/callback?code=bad", &host, 400),
        ("HEAD", &good, &host, 405),
        ("POST", &good, &host, 405),
        ("OPTIONS", &good, &host, 405),
        ("GET", &good, "evil.example", 421),
        ("GET", &good, &format!("evil.example:{port}"), 421),
        ("GET", &good, &format!("localhost:{port}"), 421),
        ("GET", &good, "127.0.0.1", 421),
    ] {
        let page = request.send(method, target, host).await;
        assert!(page.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {target} {host}: {page}");
    }
    let long = format!("GET {good}&x={} HTTP/1.1\r\nHost: {host}\r\n\r\n", "x".repeat(60_000));
    assert!(request.send_raw(&long).await.starts_with("HTTP/1.1 431 "));
    assert!(request.send_raw("\u{16}\u{3}\u{1} hello\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    assert!(began.elapsed().as_secs() < 5, "open connections delay nothing");
    assert!(login.service.seen().is_empty() && !login.result.is_finished());
    request.send("GET", &good, &host).await;
    login.end().await.expect("a login");
    assert_eq!(login.form()["code"], "good");
}

#[tokio::test]
async fn idle_connections_do_not_delay_the_redirect() {
    use tokio::io::AsyncWriteExt;
    let mut login = start(Plan::default());
    let request = login.request().await;
    let began = std::time::Instant::now();
    let mut open = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(request.host()).await.unwrap();
        match number % 3 {
            0 => stream.write_all(b"GET /callback HTTP/1.1\r\nHost: ").await.unwrap(),
            1 => stream.write_all(b"\x16\x03\x01").await.unwrap(),
            _ => {}
        }
        open.push(stream);
    }
    let page = request.follow("state=STATE&code=c").await;
    assert!(page.starts_with("HTTP/1.1 200 OK"), "{page}");
    login.end().await.expect("a login");
    // If each waited for its timeout of 5 s, the redirect would be read after more than 20 s.
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

#[tokio::test]
async fn callback_request_sent_byte_by_byte_is_read() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut login = start(Plan::default());
    let request = login.request().await;
    let mut stream = TcpStream::connect(request.host()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let good = format!("/callback?state={}&code=good", request.params["state"]);
    let head = format!("GET {good} HTTP/1.1\r\nHost: {}\r\n\r\n", request.host());
    for byte in head.as_bytes() {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    assert!(page.starts_with("HTTP/1.1 200 OK"), "{page}");
    login.end().await.expect("a login");
}

#[tokio::test]
async fn login_fails_on_authorization_response_of_wrong_issuer() {
    let iss = url::form_urlencoded::byte_serialize(ISSUER.as_bytes()).collect::<String>();
    for (query, code) in [
        (format!("state=STATE&code=c&iss={iss}"), None),
        ("state=STATE&code=c&iss=https%3A%2F%2Fevil.example".to_owned(), Some(ErrorCode::RequestRefused)),
        ("state=STATE&code=c".to_owned(), Some(ErrorCode::RequestRefused)),
        (format!("state=STATE&error=access_denied&iss={iss}"), Some(ErrorCode::AccessDenied)),
        (format!("state=STATE&error=server_error&iss={iss}"), Some(ErrorCode::ServiceUnavailable)),
    ] {
        let mut login = start(Plan { sends_issuer: true, ..Plan::default() });
        let page = login.request().await.follow(&query).await;
        let result = login.end().await;
        assert_eq!(result.as_ref().err().map(broker_core::Error::code), code, "{query}: {result:?}");
        assert_eq!(page.contains("Login failed"), code.is_some(), "{page}");
        assert_eq!(login.service.seen().len(), usize::from(code.is_none()), "{query}");
    }
}

#[tokio::test]
async fn login_error_names_redirect_port_already_in_use() {
    let used = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = used.local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost"] {
        let mut login =
            start(Plan { redirect_uri: format!("http://{host}:{port}/callback"), ..Plan::default() });
        let error = login.end().await.expect_err("the port is in use");
        assert_eq!(error.code(), ErrorCode::ServiceUnavailable);
        assert!(error.message().contains(&port.to_string()), "{error}");
        assert!(error.hint().unwrap().to_string().contains("`redirect_uri`"), "{error:?}");
    }
    drop(used);
    let mut login = start(Plan { redirect_uri: format!("http://127.0.0.1:{port}/cb"), ..Plan::default() });
    let request = login.request().await;
    assert_eq!(request.params["redirect_uri"], format!("http://127.0.0.1:{port}/cb"));
    request.follow("state=STATE&code=c").await;
    login.end().await.expect("a login");
}

#[tokio::test]
async fn localhost_redirect_listens_on_ipv4_and_ipv6_loopback() {
    let mut login = start(Plan { redirect_uri: "http://localhost/".to_owned(), ..Plan::default() });
    let request = login.request().await;
    let port = request.redirect.port().unwrap();
    let has_ipv6 = TcpListener::bind(("::1", 0)).await.is_ok();
    assert_eq!(TcpStream::connect(("::1", port)).await.is_ok(), has_ipv6);
    TcpStream::connect(("127.0.0.1", port)).await.expect("a listener");
    request.follow("state=STATE&code=c").await;
    login.end().await.expect("a login");
    for elsewhere in ["https://127.0.0.1/callback", "https://example.org/callback"] {
        let mut login = start(Plan { redirect_uri: elsewhere.to_owned(), ..Plan::default() });
        let error = login.end().await.expect_err(elsewhere);
        assert_eq!(error.code(), ErrorCode::ConfigInvalidValue, "{error}");
    }
}

#[tokio::test]
async fn listener_stops_when_the_login_is_cancelled() {
    let mut login = start(Plan::default());
    let request = login.request().await;
    TcpStream::connect(request.host()).await.expect("a listener");
    login.result.abort();
    assert!((&mut login.result).await.unwrap_err().is_cancelled());
    // The cancelled login closes the listener asynchronously. The loop ends when a connection is refused.
    while TcpStream::connect(request.host()).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn browser_login_times_out_after_ten_minutes() {
    // The test clock sleeps without waiting, so the test does not take ten minutes.
    let clock = TestClock::default();
    let mut login = start(Plan { clock: Arc::new(clock.clone()), ..Plan::default() });
    let error = login.end().await.expect_err("the login has timed out");
    assert_eq!(error.code(), ErrorCode::LoginTimeout, "{error}");
    assert_eq!(error.hint(), Some(&Hint::LogInWithoutBrowser));
    assert_eq!(clock.slept().iter().sum::<std::time::Duration>().as_secs(), 600);
}
