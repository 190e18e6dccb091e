//! Measures the token cache of google-cloud-auth, with user credentials from a token service on loopback.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use google_cloud_auth::credentials::AccessTokenCredentials;
use google_cloud_auth::credentials::user_account::Builder;
use serde_json::json;
use tokio::runtime::Runtime;

use super::{Contender, ready, repeat};
use crate::service::{PROVIDERS, secret};

struct Google([AccessTokenCredentials; 2]);

pub(super) fn contender(runtime: &Runtime) -> Box<dyn Contender> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/token", listener.local_addr().expect("an address"));
    std::thread::spawn(move || listener.incoming().flatten().for_each(answer));
    // The HTTP client of google-cloud-auth needs a TLS provider, even for loopback.
    rustls::crypto::ring::default_provider().install_default().expect("the first");
    // The credentials renew their token in a background task, which needs a tokio runtime.
    let _entered = runtime.enter();
    Box::new(Google(PROVIDERS.map(|_| {
        let user = json!({ "type": "authorized_user", "client_id": "id", "client_secret": "secret",
                           "refresh_token": "refresh", "token_uri": url });
        let credentials = Builder::new(user).build_access_token_credentials().expect("credentials");
        runtime.block_on(credentials.access_token()).expect("a token");
        credentials
    })))
}

fn answer(mut stream: TcpStream) {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    // Reads the request until its headers end and the body's `refresh_token` field has arrived.
    while !read.windows(4).any(|end| end == b"\r\n\r\n") || !read.windows(7).any(|text| text == b"refresh") {
        match stream.read(&mut buffer) {
            Ok(1..) => read.extend_from_slice(&buffer),
            Ok(0) | Err(_) => break,
        }
    }
    let body = json!({ "access_token": secret(), "token_type": "Bearer", "expires_in": 86400 }).to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    // If the write fails, the client under test reports an error.
    drop(stream.write_all((head + &body).as_bytes()));
}

impl Contender for Google {
    fn name(&self) -> &'static str {
        "google-cloud-auth cached token"
    }

    fn get(&self, token: usize, calls: u32) {
        repeat(calls, || ready(self.0[token].access_token()).expect("a token"));
    }
}
