//! Measures azure_identity's token cache for client credentials, with an HTTP transport in this process.

use std::sync::Arc;

use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::headers::Headers;
use azure_core::http::{AsyncRawResponse, ClientOptions, HttpClient, Request, StatusCode, Transport};
use azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};

use super::{Contender, ready, repeat};
use crate::service::{PROVIDERS, secret};

struct Azure([Arc<ClientSecretCredential>; 2]);

#[derive(Debug)]
struct Service;

#[async_trait::async_trait]
impl HttpClient for Service {
    async fn execute_request(&self, _request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let body =
            serde_json::json!({ "access_token": secret(), "token_type": "Bearer", "expires_in": 86400 });
        Ok(AsyncRawResponse::from_bytes(StatusCode::Ok, Headers::new(), body.to_string()))
    }
}

pub(super) fn contender() -> Box<dyn Contender> {
    Box::new(Azure(PROVIDERS.map(|_| {
        let transport = Some(Transport::new(Arc::new(Service)));
        let client_options = ClientOptions { transport, ..ClientOptions::default() };
        let options = ClientSecretCredentialOptions { client_options };
        let secret = Secret::new("secret");
        ClientSecretCredential::new("tenant", "client".to_owned(), secret, Some(options))
            .expect("a credential")
    })))
}

impl Contender for Azure {
    fn name(&self) -> &'static str {
        "azure_identity token cache"
    }

    fn get(&self, token: usize, calls: u32) {
        repeat(calls, || {
            ready(self.0[token].get_token(&["https://example.org/.default"], None)).expect("a token")
        });
    }
}
