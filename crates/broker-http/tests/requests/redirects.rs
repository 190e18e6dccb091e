//! reqwest follows redirects below its middleware.

use broker_http::TokenMiddleware;
use broker_testkit::{EarthDaily, EarthDailyOptions, Fault};
use earthbroker::ErrorCode;
use reqwest_middleware::ClientBuilder;

use super::client::{Client, Lab, code_of, data_requests, reqwest_builder, stac};

const OWN_HEADER: &str = "header = \"X-Auth-Token\"\n";

#[tokio::test]
async fn redirect_to_another_host_carries_no_token() {
    let (lab, other) = (Lab::new(), EarthDaily::start(EarthDailyOptions::default()));
    lab.service.fault("stac", Fault::Redirect(stac(&other)));
    assert_eq!(Client::Reqwest.send(&lab.provider, lab.request("GET")).await, Ok(401));
    assert_eq!(data_requests(&other)[0].header("authorization"), None);
    // The other host rejected a request without the token.
    assert_eq!(lab.service.exchanges(), 1);
}

#[tokio::test]
async fn redirect_with_other_header_stops_before_another_host() {
    let (lab, other) = (Lab::with(OWN_HEADER), EarthDaily::start(EarthDailyOptions::default()));
    lab.service.fault("stac", Fault::Redirect(stac(&other)));
    assert_eq!(Client::Reqwest.send(&lab.provider, lab.request("GET")).await, Ok(302));
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn redirect_within_the_host_is_followed() {
    for lines in ["", OWN_HEADER] {
        let lab = Lab::with(lines);
        lab.service.fault("stac", Fault::Redirect(stac(&lab.service) + "items"));
        let sent = Client::Reqwest.send(&lab.provider, lab.request("GET")).await;
        assert_eq!(sent, Ok(if lines.is_empty() { 200 } else { 401 }));
        let header = if lines.is_empty() { "authorization" } else { "x-auth-token" };
        assert!(data_requests(&lab.service)[1].header(header).is_some());
    }
}

#[tokio::test]
async fn client_without_redirect_policy_refuses_other_header() {
    let lab = Lab::with(OWN_HEADER);
    let client = ClientBuilder::new(reqwest_builder().build().unwrap());
    let client = client.with(TokenMiddleware::new(lab.provider.clone())).build();
    let error = client.get(stac(&lab.service)).send().await.unwrap_err();
    assert_eq!(code_of(&error), ErrorCode::UsageInvalid);
    assert!(lab.service.seen().is_empty());
}
