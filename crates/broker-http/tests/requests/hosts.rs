use std::convert::Infallible;

use broker_http::TokenLayer;
use broker_testkit::{EarthDaily, EarthDailyOptions};
use earthbroker::{ErrorCode, TokenRequest};
use http::{Request, Response};
use tower::{Layer, ServiceExt, service_fn};

use super::client::{CLIENTS, Lab, data_requests, stac};

#[tokio::test]
async fn token_goes_to_hosts_of_its_provider() {
    for client in CLIENTS {
        let lab = Lab::new();
        assert_eq!(client.send(&lab.provider, lab.request("GET")).await, Ok(200), "{client:?}");
        assert_eq!(client.send(&lab.provider, lab.request("GET")).await, Ok(200), "{client:?}");
        assert_eq!(lab.service.exchanges(), 1, "{client:?}");
    }
}

#[tokio::test]
async fn other_hosts_get_no_token() {
    for client in CLIENTS {
        // Another port of this machine is another host, because `hosts` names a port.
        let (lab, other) = (Lab::new(), EarthDaily::start(EarthDailyOptions::default()));
        let request = Request::get(stac(&other)).body(String::new()).unwrap();
        assert_eq!(client.send(&lab.provider, request).await, Ok(401), "{client:?}");
        assert_eq!(data_requests(&other)[0].header("authorization"), None, "{client:?}");
        assert_eq!(lab.service.exchanges(), 0, "{client:?}");
    }
}

#[tokio::test]
async fn token_goes_by_https_or_to_this_machine_only() {
    let hosts = "[providers.lab]\nkind = \"static\"\ntoken = \"abc\"\nhosts = [\"example.org\", \"*.example.org\", \"localhost\", \"[::1]:8080\"]\n";
    let lab = Lab::with(hosts);
    let provider = lab.broker.provider("lab").unwrap();
    let has_token = async |uri: &str| {
        let echo = service_fn(async |request: Request<String>| {
            Ok::<_, Infallible>(Response::new(request.headers().get("authorization").cloned()))
        });
        let request = Request::get(uri).body(String::new()).unwrap();
        let header =
            TokenLayer::new(provider.clone()).layer(echo).oneshot(request).await.unwrap().into_body();
        header.is_some_and(|value| value == "Bearer abc" && value.is_sensitive())
    };
    for uri in
        ["https://example.org/", "https://Data.Example.org:8443/", "http://localhost/", "http://[::1]:8080/"]
    {
        assert!(has_token(uri).await, "{uri}");
    }
    for uri in [
        "http://example.org/", "https://example.org.evil.net/", "https://example.org@evil.net/",
        "https://evilexample.org/", "http://localhost.evil.net/", "http://[::1]/", "ftp://example.org/",
        "/path",
    ] {
        assert!(!has_token(uri).await, "{uri}");
    }
}

#[tokio::test]
async fn header_of_the_request_is_kept() {
    for client in CLIENTS {
        let lab = Lab::new();
        let request = lab.with_header("authorization", "Basic YTpi");
        assert_eq!(client.send(&lab.provider, request).await, Ok(401), "{client:?}");
        let seen = data_requests(&lab.service);
        assert_eq!(seen.len(), 1, "{client:?}");
        assert_eq!(seen[0].header("authorization"), Some("Basic YTpi"), "{client:?}");
        assert_eq!(lab.service.exchanges(), 0, "{client:?}");
    }
}

#[tokio::test]
async fn token_goes_in_the_header_of_the_provider() {
    for client in CLIENTS {
        let lab = Lab::with("header = \"X-Auth-Token\"\nprefix = \"api-key\"\n");
        assert_eq!(client.send(&lab.provider, lab.request("GET")).await, Ok(401), "{client:?}");
        let seen = data_requests(&lab.service);
        assert_eq!(seen[0].header("authorization"), None, "{client:?}");
        let value = seen[0].header("x-auth-token").unwrap();
        assert!(lab.service.access_is_live(value.strip_prefix("api-key ").unwrap()), "{client:?}");
    }
}

#[tokio::test]
async fn error_of_the_broker_reaches_the_caller() {
    for client in CLIENTS {
        let lab = Lab::new();
        lab.service.set_secret("another");
        let sent = client.send(&lab.provider, lab.request("GET")).await;
        assert_eq!(sent, Err(ErrorCode::ClientRefused), "{client:?}");
        assert!(data_requests(&lab.service).is_empty(), "{client:?}");
    }
}

#[tokio::test]
async fn layer_uses_the_chosen_token_request() {
    let lab = Lab::new();
    let unused = service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(())));
    let layer = TokenLayer::new(lab.provider.clone()).token(TokenRequest::new().scope("stac"));
    let error = layer.layer(unused).oneshot(lab.request("GET")).await.unwrap_err();
    let error = error.downcast_ref::<earthbroker::Error>().unwrap();
    assert_eq!(error.code(), ErrorCode::ScopeUnsupported);
}
