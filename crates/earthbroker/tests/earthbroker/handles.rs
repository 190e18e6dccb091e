use earthbroker::{ErrorCode, Lifetime, TokenRequest};

use super::lab::{Lab, NAME};

#[tokio::test]
async fn unknown_provider_has_no_handle() {
    let broker = Lab::new(true).setup().open().expect("a broker");
    let error = broker.provider("nobody").err().expect("no handle");
    assert_eq!(error.code(), ErrorCode::ProviderUnknown);
}

#[tokio::test]
async fn rejected_token_of_a_handle_is_replaced_once() {
    let lab = Lab::new(true);
    let provider = lab.setup().open().expect("a broker").provider(NAME).expect("a provider");
    let token = provider.token().await.expect("a token");
    lab.service.revoke_access_tokens();
    let other = provider.clone();
    let (one, two) = tokio::join!(provider.replace_rejected(&token), other.replace_rejected(&token));
    let (one, two) = (one.expect("another token"), two.expect("another token"));
    assert!(one.secret().same_as(two.secret()) && !one.secret().same_as(token.secret()));
    assert!(lab.service.access_is_live(one.secret().expose()));
    assert_eq!(lab.service.pairs() + lab.service.refreshes(), 2);
}

#[test]
fn async_call_without_a_runtime_is_an_error() {
    use std::task::{Context, Poll, Waker};

    let provider = Lab::new(true).setup().open().expect("a broker").provider(NAME).expect("a provider");
    let call = std::pin::pin!(provider.token());
    let Poll::Ready(token) = call.poll(&mut Context::from_waker(Waker::noop())) else { panic!("it waits") };
    assert_eq!(token.expect_err("no runtime").code(), ErrorCode::UsageInvalid);
}

#[tokio::test]
async fn calls_by_name_and_by_handle_share_tokens() {
    let lab = Lab::new(true);
    let broker = lab.setup().open().expect("a broker");
    let week = Lifetime::For(std::time::Duration::from_hours(7 * 24));
    let request = TokenRequest::new().scope("stac").expires(week);
    let token = broker.token(NAME, &request).await.expect("a token");
    let provider = broker.provider(NAME).expect("a provider");
    let stored = provider.stored_with(&request).expect("a readable store").expect("a stored token");
    assert!(stored.secret().same_as(token.secret()));
    assert_eq!(lab.service.mints(), 1);
    assert!(provider.offers_to(lab.service.url().trim_start_matches("http://")));
    assert!(!provider.offers_to("example.org"));
}

#[test]
fn broker_handle_and_token_are_send_sync_and_clone() {
    fn check<T: Send + Sync + Clone + 'static>() {}
    check::<earthbroker::Broker>();
    check::<earthbroker::ProviderHandle>();
    check::<earthbroker::blocking::Broker>();
    check::<earthbroker::Token>();
    check::<earthbroker::Secret>();
    check::<earthbroker::Error>();
}
