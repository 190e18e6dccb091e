use std::sync::Arc;

use broker_testkit::TestPrompt;
use earthbroker::blocking::{Broker, ProviderHandle};
use earthbroker::{ErrorKind, Prompt};

use super::lab::{Lab, NAME};

fn open(lab: &Lab) -> ProviderHandle {
    Broker::with(lab.setup()).expect("a broker").provider(NAME).expect("a provider")
}

#[test]
fn blocking_token_is_issued_once_for_all_threads() {
    let lab = Lab::new(true);
    let provider = open(&lab);
    let tokens: Vec<_> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..8).map(|_| scope.spawn(|| provider.token().expect("a token"))).collect();
        calls.into_iter().map(|call| call.join().expect("no panic")).collect()
    });
    assert!(tokens.iter().all(|token| token.secret().same_as(tokens[0].secret())));
    assert_eq!(lab.service.pairs(), 1);
    let stored = open(&lab).stored().expect("a readable store").expect("a stored token");
    assert!(stored.secret().same_as(tokens[0].secret()));
}

#[test]
fn blocking_call_inside_a_runtime_is_an_error() {
    let lab = Lab::new(true);
    let provider = open(&lab);
    let token = provider.token().expect("a token");
    for runtime in [tokio::runtime::Builder::new_current_thread().build(), tokio::runtime::Runtime::new()] {
        runtime.expect("a runtime").block_on(async {
            assert_eq!(provider.token().expect_err("no blocking").kind(), ErrorKind::Usage);
            assert_eq!(provider.logout().expect_err("no blocking").kind(), ErrorKind::Usage);
            let stored = provider.stored().expect("a readable store").expect("a stored token");
            assert!(stored.secret().same_as(token.secret()));
            // The last handle may be dropped in a runtime.
            drop(open(&lab));
        });
    }
    assert_eq!(lab.service.pairs(), 1);
}

#[test]
fn blocking_login_asks_the_prompt_of_the_call() {
    let lab = Lab::new(false);
    let provider = open(&lab);
    assert_eq!(provider.token().expect_err("no login").kind(), ErrorKind::LoginRequired);
    let asked = TestPrompt::default().answering("standin-password");
    let prompt: Arc<dyn Prompt> = Arc::new(asked.clone());
    assert_eq!(provider.login(&prompt).expect("a login").account.as_deref(), Some("ada@example.org"));
    assert_eq!(asked.told().len(), 1);
    assert!(provider.status().expect("a status").grant);
    assert!(provider.logout().expect("a logout").had_login);
    assert_eq!(provider.token().expect_err("no login").kind(), ErrorKind::LoginRequired);
}
