//! Tests a whole login in headless Chromium, up to the page that the user sees.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use broker_e2e::Sandbox;
use serde_json::json;
use url::{Url, form_urlencoded};

use crate::http::{Request, respond};
use crate::oidc::code::seated;
use crate::oidc::service::Login;

/// Starts an authorization server that logs in every browser as `account`, or denies the login if `None`.
fn authorization_server(account: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Browsers open connections that they never use, so each connection has its own thread.
            std::thread::spawn(move || answer(stream, account));
        }
    });
    url
}

fn answer(stream: TcpStream, account: Option<&str>) -> Option<()> {
    let request = Request::read(&stream)?;
    if let Some(query) = request.target.strip_prefix("/authorize?") {
        let location = redirect(&form_urlencoded::parse(query.as_bytes()).into_owned().collect(), account);
        respond(stream, 302, &format!("location: {location}"), "");
    } else {
        let form: BTreeMap<_, _> = form_urlencoded::parse(request.body.as_bytes()).into_owned().collect();
        assert_eq!((form["code"].as_str(), form["code_verifier"].len()), ("the-code", 43));
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let id_token = format!("{}.{}.", part(json!({ "alg": "none" })), part(json!({ "email": account })));
        let tokens = json!({
            "access_token": "a", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "r", "id_token": id_token,
        });
        respond(stream, 200, "content-type: application/json", &tokens.to_string());
    }
    Some(())
}

/// Returns the broker's redirect URI with an authorization code, or with an error if `account` is `None`.
fn redirect(params: &BTreeMap<String, String>, account: Option<&str>) -> Url {
    let mut url = Url::parse(&params["redirect_uri"]).expect("a redirect URI");
    let result = if account.is_some() { ("code", "the-code") } else { ("error", "access_denied") };
    url.query_pairs_mut().extend_pairs([result, ("state", &params["state"])]);
    url
}

fn sandbox(server: &str) -> Sandbox {
    seated(Sandbox::new().with_config(&format!(
        "[providers.sea]\nkind = \"oauth2\"\nflow = \"authorization_code\"\nclient_id = \"native\"\n\
         authorization_url = \"{server}/authorize\"\ntoken_url = \"{server}/token\"\n"
    )))
}

/// Opens a URL in headless Chromium, and returns the text of the final page.
fn visit(sandbox: &Sandbox, url: &str) -> String {
    let home = sandbox.home();
    let [page, log] = ["page.html", "chromium.log"].map(|name| home.join(name));
    let status = Command::new("timeout")
        .args(["2m", "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"])
        .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
        .args(["--disable-sync", "--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", home.join("chromium").display()))
        .arg(url)
        .env("HOME", home)
        .stdout(File::create(&page).expect("a file"))
        .stderr(File::create(&log).expect("a file"))
        .stdin(Stdio::null())
        .status()
        .expect("`timeout` runs");
    let log = std::fs::read_to_string(log).expect("the log");
    assert!(status.success(), "chromium is missing (apt-get install chromium) or failed: {log}");
    assert!(!log.contains("Content Security Policy"), "the page violates its own policy: {log}");
    text(&std::fs::read_to_string(page).expect("the page"))
}

/// Returns the visible text of a page, with single spaces.
fn text(page: &str) -> String {
    let body = page.split_once("<body>").unwrap_or_else(|| panic!("no body: {page}")).1;
    let text: String =
        body.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text)).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
#[ignore = "needs chromium"]
fn browser_shows_the_account_after_a_successful_login() {
    let sandbox = sandbox(&authorization_server(Some("ada@example.org")));
    let login = Login::begin(&sandbox, &["login", "sea"]);
    let text = visit(&sandbox, &login.url);
    assert_eq!(text, "Login complete Logged in as ada@example.org. You can close this tab.");
    let _ = login.end().ends(0);
    assert_eq!(sandbox.record("sea")["account"], "ada@example.org");
    assert_eq!(sandbox.broker(&["token", "sea"]).token(), "a");
}

#[test]
#[ignore = "needs chromium"]
fn browser_shows_the_reason_of_a_failed_login() {
    let sandbox = sandbox(&authorization_server(None));
    let login = Login::begin(&sandbox, &["login", "sea"]);
    let text = visit(&sandbox, &login.url);
    let expected = "Not logged in Login failed: the service denied the login. Go back to ";
    assert!(text.starts_with(expected), "{text}");
    let _ = login.end().ends(6).fails_with("access_denied");
    let _ = sandbox.broker(&["token", "sea"]).ends(3).fails_with("login_required");
}
