use broker_testkit::Fault;
use earthbroker::ErrorCode;

use super::client::{CLIENTS, Client, Lab, data_requests};

#[tokio::test]
async fn rejected_token_is_replaced_and_safe_request_repeated() {
    for client in CLIENTS {
        let lab = Lab::new();
        lab.provider.token().await.unwrap();
        lab.service.revoke_access_tokens();
        assert_eq!(client.send(&lab.provider, lab.request("GET")).await, Ok(200), "{client:?}");
        assert_eq!(lab.service.exchanges(), 2, "{client:?}");
        assert_eq!(data_requests(&lab.service).len(), 2, "{client:?}");
    }
}

#[tokio::test]
async fn unsafe_request_is_not_repeated() {
    for client in CLIENTS {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let lab = Lab::new();
            lab.service.fault("stac", Fault::Status(401));
            assert_eq!(client.send(&lab.provider, lab.request(method)).await, Ok(401), "{client:?} {method}");
            assert_eq!(data_requests(&lab.service).len(), 1, "{client:?} {method}");
            // The next request gets the new token.
            assert_eq!(lab.service.exchanges(), 2, "{client:?} {method}");
        }
    }
}

#[tokio::test]
async fn second_401_is_returned() {
    for client in CLIENTS {
        let lab = Lab::new();
        lab.service.fault_always("stac", Fault::Status(401));
        assert_eq!(client.send(&lab.provider, lab.request("GET")).await, Ok(401), "{client:?}");
        assert_eq!(data_requests(&lab.service).len(), 2, "{client:?}");
        // The broker replaces a new token no earlier than 30 s later.
        assert_eq!(client.send(&lab.provider, lab.request("GET")).await, Ok(401), "{client:?}");
        assert_eq!(data_requests(&lab.service).len(), 3, "{client:?}");
        assert_eq!(lab.service.exchanges(), 2, "{client:?}");
    }
}

#[tokio::test]
async fn concurrent_401s_share_one_replacement() {
    for client in CLIENTS {
        let lab = Lab::new();
        lab.provider.token().await.unwrap();
        lab.service.revoke_access_tokens();
        let (one, two) = tokio::join!(
            client.send(&lab.provider, lab.request("GET")),
            client.send(&lab.provider, lab.request("HEAD")),
        );
        assert_eq!((one, two), (Ok(200), Ok(405)), "{client:?}");
        assert_eq!(lab.service.exchanges(), 2, "{client:?}");
    }
}

#[tokio::test]
async fn safe_request_reports_a_failed_replacement() {
    for client in CLIENTS {
        let lab = Lab::new();
        lab.provider.token().await.unwrap();
        lab.service.revoke_access_tokens();
        lab.service.set_secret("another");
        lab.service.fault("stac", Fault::Status(401));
        assert_eq!(client.send(&lab.provider, lab.request("POST")).await, Ok(401), "{client:?}");
        let sent = client.send(&lab.provider, lab.request("GET")).await;
        assert_eq!(sent, Err(ErrorCode::ClientRefused), "{client:?}");
    }
}

#[tokio::test]
async fn layer_does_not_repeat_a_request_with_a_body() {
    let lab = Lab::new();
    lab.service.fault("stac", Fault::Status(401));
    let request = lab.request("GET").map(|_| "{}".to_owned());
    assert_eq!(Client::Tower.send(&lab.provider, request).await, Ok(401));
    assert_eq!(data_requests(&lab.service).len(), 1);
}
