//! The authorization code flow: the real binary, a service that nobody here wrote, and a test that plays the browser.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use broker_e2e::{Run, Sandbox, is_log, signal};

use super::browser::{self, Browser, Page};
use super::service::{Login, Options, Service};
use crate::terminal::Screen;

pub(super) const CODE: &str =
    "flow = \"authorization_code\"\nclient_id = \"broker-native\"\nscope = \"openid offline_access\"\n";

/// A home with a screen, and a browser that does nothing: the test has its own.
pub(super) fn seated(sandbox: Sandbox) -> Sandbox {
    let browser = sandbox.home().join("browser");
    std::fs::write(&browser, "#!/bin/sh\n").expect("a script");
    std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let browser = browser.display().to_string();
    sandbox.with_env("DISPLAY", ":99").with_env("BROWSER", &browser)
}

/// What a person does who wants to log in: the page after the last is the broker's own, if it can be had.
pub(super) fn sign_in(browser: &mut Browser, url: &str) -> Page {
    let sign_in = browser.open(url);
    let consent = browser.submit(&sign_in, &[("login", "anna"), ("password", "any")]);
    browser.submit(&consent, &[])
}

/// Logs in with a browser on this machine.
pub(super) fn log_in(sandbox: &Sandbox) -> Run {
    let login = Login::begin(sandbox, &["login", "sea"]);
    let page = sign_in(&mut Browser::default(), &login.url);
    assert!(page.status == 200 && page.shows("Back to the terminal"), "{page:?}");
    login.end()
}

/// Where the browser is to come back to, and the `state` it has to bring.
fn way_back(url: &str) -> (String, String) {
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
fn a_browser_on_this_machine_brings_the_login_back() {
    let Some(service) = Service::start(&Options::default()) else { return };
    let sandbox = seated(service.sandbox_of(CODE));
    let run = log_in(&sandbox).ends(0).says("sea: logged in");
    assert_eq!(run.out, "", "nothing for programs");
    assert!(!(run.err.clone() + &run.log).contains("code="), "{} {}", run.err, run.log);
    let token = sandbox.broker(&["token", "sea"]).token();
    assert_eq!(service.whose(&token), (Some("broker-native".to_owned()), Some("anna".to_owned())));
    assert_eq!(service.counts().token_requests, 1, "what is held is used");
}

#[test]
#[ignore = "needs node and npm"]
fn what_else_comes_to_the_door_does_not_end_the_login() {
    let Some(service) = Service::start(&Options::default()) else { return };
    let sandbox = seated(service.sandbox_of(CODE));
    let login = Login::begin(&sandbox, &["login", "sea"]);
    let (redirect, state) = way_back(&login.url);
    // A browser connects before it has anything to ask, and asks for what nobody told it of.
    let _silent = TcpStream::connect(host(&redirect)).expect("somebody listens");
    assert_eq!(browser::get(&format!("http://{}/favicon.ico", host(&redirect))).status, 404);
    assert_eq!(browser::get(&format!("{redirect}?code=forged&state=forged")).status, 400);
    assert_eq!(browser::get(&format!("{redirect}?error=access_denied&state=forged")).status, 400);
    assert_eq!(browser::post(&format!("{redirect}?code=forged&state={state}"), &[("a", "b")]).status, 405);
    let page = sign_in(&mut Browser::default(), &login.url);
    assert!(page.shows("Back to the terminal"), "{page:?}");
    let _ = login.end().ends(0);
    assert_eq!(service.counts().token_requests, 1);
    assert!(TcpStream::connect(host(&redirect)).is_err(), "the listener is gone");
}

#[test]
#[ignore = "needs node and npm"]
fn a_denied_login_is_refused() {
    let Some(service) = Service::start(&Options::default()) else { return };
    let sandbox = seated(service.sandbox_of(CODE));
    let login = Login::begin(&sandbox, &["login", "sea"]);
    let mut browser = Browser::default();
    let sign_in = browser.open(&login.url);
    let page = browser.click(&sign_in, "[ Cancel ]");
    assert!(page.shows("Not signed in"), "{page:?}");
    let _ = login.end().ends(6).says("the login was denied");
    let _ = sandbox.broker(&["token", "sea"]).ends(3).says("broker login sea");
}

#[test]
#[ignore = "needs node and npm"]
fn an_answer_of_nobody_or_of_another_issuer_is_not_used() {
    let Some(service) = Service::start(&Options::default()) else { return };
    let sandbox = seated(service.sandbox_of(CODE));
    for (iss, words) in [("", "does not say which service"), ("&iss=http://evil.example", "evil.example")] {
        let login = Login::begin(&sandbox, &["login", "sea"]);
        let (redirect, state) = way_back(&login.url);
        let page = browser::get(&format!("{redirect}?code=mixed-up&state={state}{iss}"));
        assert!(page.shows("Not signed in"), "{page:?}");
        let _ = login.end().ends(6).says(words);
    }
    assert_eq!(service.counts().token_requests, 0);
}

#[test]
#[ignore = "needs node and npm"]
fn a_code_that_the_service_does_not_know_needs_another_login() {
    let Some(service) = Service::start(&Options::default()) else { return };
    let sandbox = seated(service.sandbox_of(CODE));
    let login = Login::begin(&sandbox, &["login", "sea"]);
    let (redirect, state) = way_back(&login.url);
    let issuer = service.url();
    assert_eq!(browser::get(&format!("{redirect}?code=unknown&state={state}&iss={issuer}")).status, 200);
    let _ = login.end().ends(3).says("the service does not take the code").says("log in again");
}

#[test]
#[ignore = "needs node and npm"]
fn a_port_that_is_taken_is_named() {
    let Some(service) = Service::start(&Options::default()) else { return };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let lines = format!("{CODE}redirect_uri = \"http://127.0.0.1:{port}/callback\"\n");
    let sandbox = seated(service.sandbox_of(&lines));
    let _ = sandbox.broker(&["login", "sea"]).ends(4).says(&format!("port {port} of `redirect_uri`"));
    drop(taken);
    let login = Login::begin(&sandbox, &["login", "sea"]);
    assert_eq!(way_back(&login.url).0, format!("http://127.0.0.1:{port}/callback"));
    sign_in(&mut Browser::default(), &login.url);
    let _ = login.end().ends(0);
}

#[test]
#[ignore = "needs node and npm"]
fn ctrl_c_while_it_waits_leaves_nothing_behind() {
    let Some(service) = Service::start(&Options::default()) else { return };
    let sandbox = seated(service.sandbox_of(CODE));
    let login = Login::begin(&sandbox, &["login", "sea"]);
    let (redirect, _) = way_back(&login.url);
    TcpStream::connect(host(&redirect)).expect("somebody listens");
    signal(&login.child, "INT");
    let _ = login.end().ends(130);
    assert!(TcpStream::connect(host(&redirect)).is_err(), "nobody listens any more");
    let _ = sandbox.broker(&["token", "sea"]).ends(3);
    // Neither a lock is left nor half a login: another one goes on at once.
    let _ = log_in(&sandbox).ends(0);
}

/// The page that stands on a screen, in a line of its own.
fn page_on(screen: &str) -> String {
    let line = screen.lines().map(str::trim).find(|line| line.starts_with("http://"));
    line.unwrap_or_else(|| panic!("no page on the screen: {screen}")).to_owned()
}

#[test]
#[ignore = "needs node and npm"]
fn from_afar_the_address_is_pasted() {
    let Some(service) = Service::start(&Options::default()) else { return };
    // A plain terminal: what stands there is what is written.
    let sandbox = service.sandbox_of(CODE).with_env("TERM", "xterm").with_env("NO_COLOR", "1");
    let mut screen = Screen::run(&sandbox, "login sea --no-browser");
    screen.wait_for("ended at: ");
    let seen = screen.seen().to_owned();
    assert!(seen.contains("copy the whole address"), "{seen}");
    let mut browser = Browser::far();
    let end = sign_in(&mut browser, &page_on(&seen)).leads_to().expect("an address");
    let state = end.split("state=").nth(1).and_then(|rest| rest.split('&').next()).expect("a state");
    screen.types("\n");
    screen.wait_for("no login is in that");
    screen.types(&format!("{}\n", end.replace(state, "forged")));
    screen.wait_for("belongs to another login");
    screen.types(&format!("{end}\n"));
    let (code, seen) = screen.ends();
    assert_eq!(code, Some(0), "{seen}");
    let token = sandbox.broker(&["token", "sea"]).token();
    assert_eq!(service.whose(&token).1.as_deref(), Some("anna"));
}

#[test]
#[ignore = "needs node and npm"]
fn where_nobody_can_paste_the_login_ends_at_once() {
    let Some(service) = Service::start(&Options::default()) else { return };
    let sandbox = service.sandbox_of(CODE);
    let _ = sandbox
        .broker(&["login", "sea", "--no-browser"])
        .ends(3)
        .says("not a terminal")
        .says("at a terminal");
}

#[test]
#[ignore = "needs node and npm"]
fn the_page_stands_in_one_piece_on_any_terminal() {
    let Some(service) = Service::start(&Options::default()) else { return };
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
            assert!(!seen.contains(['█', '╭']), "a phone could not come back: {seen}");
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
fn ctrl_c_at_the_question_for_the_address_ends_it() {
    let Some(service) = Service::start(&Options::default()) else { return };
    let sandbox = service.sandbox_of(CODE).with_env("TERM", "xterm");
    let mut screen = Screen::run(&sandbox, "login sea --no-browser");
    screen.wait_for("ended at: ");
    screen.types("\u{3}");
    let (code, seen) = screen.ends();
    assert_eq!(code, Some(130), "{seen}");
    assert_eq!(service.counts().token_requests, 0);
    let _ = sandbox.broker(&["token", "sea"]).ends(3);
}
