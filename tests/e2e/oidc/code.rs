//! Tests the authorization code flow. The tests act as the browser.

use std::net::TcpStream;

use broker_e2e::{Run, Sandbox, is_log, signal};

use super::browser::{self, Browser, Page};
use super::service::{Login, Options, Service};
use crate::stage::write_script;
use crate::terminal::Screen;

pub(super) const CODE: &str =
    "flow = \"authorization_code\"\nclient_id = \"broker-native\"\nscope = \"openid offline_access\"\n";

/// Sets `DISPLAY`, and a `BROWSER` that opens nothing because the test acts as the browser.
pub(crate) fn seated(sandbox: Sandbox) -> Sandbox {
    let browser = sandbox.home().join("browser");
    write_script(&sandbox, &browser, "#!/bin/sh\n");
    let browser = browser.display().to_string();
    sandbox.with_env("DISPLAY", ":99").with_env("BROWSER", &browser)
}

/// Starts the server, and a sandbox with a browser, whose provider `sea` uses the authorization code flow.
pub(super) fn code_flow() -> (Service, Sandbox) {
    let service = Service::start(&Options::default());
    let sandbox = seated(service.sandbox_of(CODE));
    (service, sandbox)
}

/// Logs in on the service's page. Returns the broker's final page, or the last page that the browser reached.
pub(super) fn sign_in(browser: &mut Browser, url: &str) -> Page {
    let sign_in = browser.open(url);
    let consent = browser.submit(&sign_in, &[("login", "anna"), ("password", "any")]);
    browser.submit(&consent, &[])
}

pub(super) fn log_in(sandbox: &Sandbox) -> Run {
    let login = Login::begin(sandbox, &["login", "sea"]);
    let page = sign_in(&mut Browser::default(), &login.url);
    assert!(page.status == 200 && page.shows("Logged in as anna. You can close this tab."), "{page:?}");
    login.end()
}

fn redirect_of(url: &str) -> (String, String) {
    let param = |name: &str| {
        let rest = url.split_once(&format!("&{name}=")).unwrap_or_else(|| panic!("no {name} in {url}")).1;
        rest.split('&').next().unwrap_or_default().replace("%3A", ":").replace("%2F", "/")
    };
    (param("redirect_uri"), param("state"))
}

fn host(address: &str) -> &str {
    address.trim_start_matches("http://").split('/').next().expect("a host")
}

#[test]
#[ignore = "needs node and npm"]
fn browser_on_this_machine_completes_the_login() {
    let (service, sandbox) = code_flow();
    let run = log_in(&sandbox).ends(0);
    assert_eq!(run.out, "", "a login prints nothing on stdout");
    assert!(!(run.err.clone() + &run.log).contains("code="), "{} {}", run.err, run.log);
    let token = sandbox.broker(&["token", "sea"]).token();
    assert_eq!(service.owner_of(&token), (Some("broker-native".to_owned()), Some("anna".to_owned())));
    assert_eq!(service.counts().token_requests, 1, "the stored token is used");
}

#[test]
#[ignore = "needs node and npm"]
fn invalid_callback_requests_do_not_end_the_login() {
    let (service, sandbox) = code_flow();
    let login = Login::begin(&sandbox, &["login", "sea"]);
    let (redirect, state) = redirect_of(&login.url);
    // Browsers open connections in advance and request icons. Such connections must not end the login.
    let _silent = TcpStream::connect(host(&redirect)).expect("a listener");
    assert_eq!(browser::get(&format!("http://{}/favicon.ico", host(&redirect))).status, 404);
    assert_eq!(browser::get(&format!("{redirect}?code=forged&state=forged")).status, 400);
    assert_eq!(browser::get(&format!("{redirect}?error=access_denied&state=forged")).status, 400);
    assert_eq!(browser::post(&format!("{redirect}?code=forged&state={state}"), &[("a", "b")]).status, 405);
    let page = sign_in(&mut Browser::default(), &login.url);
    assert!(page.shows("Logged in as anna. You can close this tab."), "{page:?}");
    let _ = login.end().ends(0);
    assert_eq!(service.counts().token_requests, 1);
    assert!(TcpStream::connect(host(&redirect)).is_err(), "the listener has stopped");
}

#[test]
#[ignore = "needs node and npm"]
fn denied_browser_login_fails() {
    let (_service, sandbox) = code_flow();
    let login = Login::begin(&sandbox, &["login", "sea"]);
    let mut browser = Browser::default();
    let sign_in = browser.open(&login.url);
    let page = browser.click(&sign_in, "[ Cancel ]");
    assert!(page.shows("Login failed: the service denied the login"), "{page:?}");
    let _ = login.end().ends(6).fails_with("access_denied");
    let _ = sandbox.broker(&["token", "sea"]).ends(3).fails_with("login_required");
}

#[test]
#[ignore = "needs node and npm"]
fn authorization_code_of_another_issuer_is_not_used() {
    let (service, sandbox) = code_flow();
    for (iss, data) in [("", "`iss`"), ("&iss=http://evil.example", "evil.example")] {
        let login = Login::begin(&sandbox, &["login", "sea"]);
        let (redirect, state) = redirect_of(&login.url);
        let page = browser::get(&format!("{redirect}?code=mixed-up&state={state}{iss}"));
        assert!(page.shows("Login failed"), "{page:?}");
        let _ = login.end().ends(6).fails_with("request_refused").says(data);
    }
    assert_eq!(service.counts().token_requests, 0);
}

#[test]
#[ignore = "needs node and npm"]
fn unknown_authorization_code_fails_the_login() {
    let (service, sandbox) = code_flow();
    let login = Login::begin(&sandbox, &["login", "sea"]);
    let (redirect, state) = redirect_of(&login.url);
    let issuer = service.url();
    let page = browser::get(&format!("{redirect}?code=unknown&state={state}&iss={issuer}"));
    assert!(page.status == 200 && page.shows("Login failed"), "{page:?}");
    let _ = login.end().ends(3).fails_with("login_required");
}

#[test]
#[ignore = "needs node and npm"]
fn occupied_redirect_port_is_named_in_the_error() {
    let service = Service::start(&Options::default());
    let used = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = used.local_addr().expect("an address").port();
    let lines = format!("{CODE}redirect_uri = \"http://127.0.0.1:{port}/callback\"\n");
    let sandbox = seated(service.sandbox_of(&lines));
    let _ = sandbox.broker(&["login", "sea"]).ends(4).says(&format!("port {port} "));
    drop(used);
    let login = Login::begin(&sandbox, &["login", "sea"]);
    assert_eq!(redirect_of(&login.url).0, format!("http://127.0.0.1:{port}/callback"));
    sign_in(&mut Browser::default(), &login.url);
    let _ = login.end().ends(0);
}

#[test]
#[ignore = "needs node and npm"]
fn ctrl_c_during_login_leaves_no_lock_or_partial_login() {
    let (_service, sandbox) = code_flow();
    let login = Login::begin(&sandbox, &["login", "sea"]);
    let (redirect, _) = redirect_of(&login.url);
    TcpStream::connect(host(&redirect)).expect("a listener");
    signal(&login.child, "INT");
    let _ = login.end().ends(130);
    assert!(TcpStream::connect(host(&redirect)).is_err(), "the listener has stopped");
    let _ = sandbox.broker(&["token", "sea"]).ends(3);
    // The interrupted login has left no lock and no partial state, so a new login works.
    let _ = log_in(&sandbox).ends(0);
}

/// Returns the URL that is alone on a line of the screen.
fn page_on(screen: &str) -> String {
    let line = screen.lines().map(str::trim).find(|line| line.starts_with("http://"));
    line.unwrap_or_else(|| panic!("no page on the screen: {screen}")).to_owned()
}

#[test]
#[ignore = "needs node and npm"]
fn address_pasted_from_a_remote_browser_completes_login() {
    let service = Service::start(&Options::default());
    // Without colour, the output has no control sequences.
    let sandbox = service.sandbox_of(CODE).with_env("TERM", "xterm").with_env("NO_COLOR", "1");
    let mut screen = Screen::run(&sandbox, "login sea --no-browser");
    screen.wait_for("Address in the browser: ");
    let seen = screen.seen().to_owned();
    let mut browser = Browser::remote();
    let end = sign_in(&mut browser, &page_on(&seen)).location().expect("an address");
    let state = end.split("state=").nth(1).and_then(|rest| rest.split('&').next()).expect("a state");
    screen.types("\n");
    screen.wait_for("the pasted text is not the address");
    screen.types(&format!("{}\n", end.replace(state, "forged")));
    screen.wait_for("the pasted address belongs to another login");
    screen.types(&format!("{end}\n"));
    let (code, seen) = screen.ends();
    assert_eq!(code, Some(0), "{seen}");
    let token = sandbox.broker(&["token", "sea"]).token();
    assert_eq!(service.owner_of(&token).1.as_deref(), Some("anna"));
}

#[test]
#[ignore = "needs node and npm"]
fn login_without_terminal_and_browser_fails_at_once() {
    let service = Service::start(&Options::default());
    let sandbox = service.sandbox_of(CODE);
    let _ = sandbox.broker(&["login", "sea", "--no-browser"]).ends(3).fails_with("prompt_unavailable");
}

#[test]
#[ignore = "needs node and npm"]
fn login_url_is_not_broken_on_a_narrow_terminal() {
    let service = Service::start(&Options::default());
    let sandbox = seated(service.sandbox_of(CODE)).with_env("TERM", "xterm");
    let plain = seated(service.sandbox_of(CODE)).with_env("TERM", "xterm").with_env("NO_COLOR", "1");
    for (columns, rows) in [(80, 24), (40, 8), (200, 50)] {
        for (sandbox, bold, end) in [(&sandbox, "\u{1b}[1m", "\u{1b}[0m"), (&plain, "", "")] {
            let mut screen = Screen::sized(sandbox, columns, rows, "login sea");
            screen.wait_for("Waiting, ");
            let seen = screen.seen().replace('\r', "");
            let mut lines = seen.lines().filter_map(|line| line.strip_prefix(bold)?.strip_suffix(end));
            let page = lines.find(|line| line.starts_with("http://"));
            let page = page.unwrap_or_else(|| panic!("{columns}x{rows}: {seen}"));
            assert!(page.contains("code_challenge=") && page.contains("&scope=openid"), "{page}");
            assert!(seen.contains("To log in, use the browser"), "{seen}");
            assert!(!seen.contains(['█', '╭']), "no QR code, since a telephone cannot return: {seen}");
            let height =
                seen.lines().take_while(|line| !line.contains("Waiting")).filter(|line| !is_log(line));
            let height: usize = height.map(|line| line.chars().count().div_ceil(columns).max(1)).sum();
            assert!(rows < 24 || height < rows, "{columns}x{rows}: {height} rows: {seen}");
            screen.types("\u{3}");
            assert_eq!(screen.ends().0, Some(130));
        }
    }
}

#[test]
#[ignore = "needs node and npm"]
fn ctrl_c_at_the_prompt_for_the_redirect_url_ends_login() {
    let service = Service::start(&Options::default());
    let sandbox = service.sandbox_of(CODE).with_env("TERM", "xterm");
    let mut screen = Screen::run(&sandbox, "login sea --no-browser");
    screen.wait_for("Address in the browser: ");
    screen.types("\u{3}");
    let (code, seen) = screen.ends();
    assert_eq!(code, Some(130), "{seen}");
    assert_eq!(service.counts().token_requests, 0);
    let _ = sandbox.broker(&["token", "sea"]).ends(3);
}
