use std::io::Read;
use std::time::Duration;

use broker_testkit::{EarthScope, EarthScopeOptions, Fault, Rotation};
use chrono::{DateTime, Utc};

use super::client::{Answer, FORM, send_only, try_send};
use super::earthscope::{CLIENT_ID, refresh, with};
use super::{Moved, claims};

const SOON: Duration = Duration::from_secs(10);

fn rotating() -> EarthScope {
    with(Rotation::RotateDetectReuse)
}

fn refresh_form(token: &str) -> String {
    format!("grant_type=refresh_token&client_id={CLIENT_ID}&refresh_token={token}")
}

fn try_refresh(service: &EarthScope, token: &str) -> std::io::Result<Answer> {
    let url = format!("{}/oauth/token", service.url());
    try_send(&url, "POST", &[FORM], &refresh_form(token))
}

/// Injects a fault into a refresh request. Checks by `acted` whether the service has processed the request.
fn refresh_under(fault: Fault, acted: bool) -> Answer {
    let service = rotating();
    let token = service.issue_refresh_token();
    service.fault("token", fault);
    let answer = refresh(&service, &token);
    assert_eq!(service.is_live(&token), !acted);
    assert_eq!(service.refreshes(), usize::from(acted));
    assert_eq!(service.seen().len(), 1);
    let next = refresh(&service, &token);
    assert_eq!(next.status, if acted { 403 } else { 200 });
    answer
}

#[test]
fn injected_fault_replaces_the_response_of_the_service() {
    let answer = refresh_under(Fault::Status(503), false);
    assert_eq!((answer.status, answer.text().as_str()), (503, "Service Unavailable"));
    assert!(answer.header("date").is_some());
    let headers = vec![("retry-after".to_owned(), "7".to_owned())];
    let body = "slow".to_owned();
    let answer = refresh_under(Fault::Answer { status: 429, headers, body }, false);
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("7")));
    assert_eq!(answer.text(), "slow");
    let answer = refresh_under(Fault::Garbage, false);
    assert!(answer.status == 200 && std::str::from_utf8(&answer.body).is_err());
    let answer = refresh_under(Fault::Html(502), false);
    assert!(answer.status == 502 && answer.text().contains("<h1>Bad Gateway</h1>"));
    let answer = refresh_under(Fault::Empty(200), false);
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    let answer = refresh_under(Fault::Huge(3 << 20), false);
    assert_eq!((answer.status, answer.body.len()), (200, 3 << 20));
    let answer = refresh_under(Fault::Redirect("http://elsewhere/".to_owned()), false);
    assert_eq!((answer.status, answer.header("location")), (302, Some("http://elsewhere/")));
}

#[test]
fn service_processes_requests_whose_response_is_lost() {
    let answer = refresh_under(Fault::Delay(Duration::from_millis(20)), true);
    assert_eq!(answer.status, 200);
    let answer = refresh_under(Fault::Truncated, true);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body.len(), answer.promised() / 2);
    assert!(answer.text().starts_with('{'));
    let answer = refresh_under(Fault::edit(|json| json["expires_in"] = 5.into()), true);
    assert_eq!(answer.json()["expires_in"], 5);
}

#[test]
fn cut_faults_close_the_connection_without_a_response() {
    for (fault, acted) in [(Fault::CutBefore, false), (Fault::CutAfter, true)] {
        let service = rotating();
        let token = service.issue_refresh_token();
        service.fault("token", fault);
        let error = try_refresh(&service, &token).err().unwrap();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
        assert_eq!(service.is_live(&token), !acted);
        assert_eq!(service.count("token"), 1);
    }
}

#[test]
fn hanging_request_ends_when_the_fake_server_stops() {
    for (fault, acted) in [(Fault::Hang, false), (Fault::HangAfter, true)] {
        let service = rotating();
        let token = service.issue_refresh_token();
        service.fault("token", fault);
        let url = format!("{}/oauth/token", service.url());
        let mut stream = send_only(&url, "POST", &[FORM], &refresh_form(&token));
        assert!(service.wait_for("token", 1, SOON));
        assert_eq!(service.is_live(&token), !acted);
        drop(service);
        let mut rest = Vec::new();
        let _closed_or_reset = stream.read_to_end(&mut rest);
        assert!(rest.is_empty());
    }
}

#[test]
fn delayed_request_is_processed_after_client_disconnects() {
    let service = rotating();
    let token = service.issue_refresh_token();
    service.fault("token", Fault::Delay(Duration::from_millis(50)));
    let url = format!("{}/oauth/token", service.url());
    let stream = send_only(&url, "POST", &[FORM], &refresh_form(&token));
    assert!(service.wait_for("token", 1, SOON));
    drop(stream);
    // The revocation takes longer than the aborted refresh. When it ends, the service has processed both.
    service.fault("revoke", Fault::Delay(Duration::from_millis(200)));
    let revoke = format!("{}/oauth/revoke", service.url());
    let _ = try_send(&revoke, "POST", &[], "").unwrap();
    assert!(!service.is_live(&token));
}

#[test]
fn queued_faults_precede_permanent_faults() {
    let service = rotating();
    service.fault("token", Fault::Status(500));
    service.fault("token", Fault::Status(501));
    service.fault_always("*", Fault::Status(503));
    service.fault_always("token", Fault::Status(504));
    let status = || try_refresh(&service, "x").unwrap().status;
    assert_eq!([status(), status(), status(), status()], [500, 501, 504, 504]);
    let elsewhere = format!("{}/elsewhere", service.url());
    let answer = || try_send(&elsewhere, "GET", &[], "").unwrap().status;
    assert_eq!(answer(), 503);
    service.clear_faults();
    assert_eq!((status(), answer()), (403, 404));
    assert_eq!((service.count("token"), service.count("none")), (5, 2));
    service.forget_seen();
    assert!(service.seen().is_empty());
    assert!(!service.wait_for("token", 1, Duration::ZERO));
}

#[test]
fn clock_skew_changes_date_header_and_token_expiry() {
    let clock = Moved::default();
    let service = EarthScope::start(EarthScopeOptions { now: clock.now(), ..EarthScopeOptions::default() });
    service.set_date_skew(-3600);
    let answer = refresh(&service, &service.issue_refresh_token());
    let date = DateTime::parse_from_rfc2822(answer.header("date").unwrap()).unwrap();
    let wrong: DateTime<Utc> = "2030-01-01T11:00:00Z".parse().unwrap();
    assert_eq!(date, wrong);
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(claims(&token)["iat"], wrong.timestamp());
    assert_eq!(claims(&token)["exp"], wrong.timestamp() + 86_400);
    clock.forward(86_400);
    assert!(!service.access_is_live(&token));
}

#[test]
fn fake_server_can_start_inside_a_tokio_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(async {
        let service = rotating();
        assert_eq!(refresh(&service, &service.issue_refresh_token()).status, 200);
    });
}
