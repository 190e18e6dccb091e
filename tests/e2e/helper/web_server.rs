//! A server on loopback that records each `Authorization` header.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use crate::http::{Request, respond};

/// A response: status, one header, body.
pub(super) struct Answer(pub(super) u64, pub(super) &'static str, pub(super) String);

/// A running web server. Its thread runs until the test process ends.
pub(super) struct WebServer {
    /// The server's address, `127.0.0.1:PORT`.
    pub(super) host: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl WebServer {
    /// Starts the server. `answer` gets the path with the query, and the `Authorization` header or an empty string.
    pub(super) fn start(answer: impl Fn(&str, &str) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let seen = Arc::<Mutex<Vec<_>>>::default();
        let recorded = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                let Some(request) = Request::read(&stream) else { continue };
                let authorization = request.headers.get("authorization").cloned().unwrap_or_default();
                let Answer(status, header, body) = answer(&request.target, &authorization);
                recorded.lock().expect("a list").push(authorization);
                respond(stream, status, header, &body);
            }
        });
        Self { host, seen }
    }

    pub(super) fn authorizations(&self) -> Vec<String> {
        self.seen.lock().expect("a list").clone()
    }
}
