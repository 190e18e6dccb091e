//! A server on loopback that records each `Authorization` header.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A response: status, one header, body.
pub(super) struct Answer(pub(super) u16, pub(super) &'static str, pub(super) String);

/// A server that runs until the test process ends.
pub(super) struct Place {
    /// `127.0.0.1:PORT`.
    pub(super) host: String,
    seen: Arc<Mutex<Vec<(String, String)>>>,
}

impl Place {
    /// Starts the server. `answer` gets the path with the query, and the value of `Authorization` or an empty string.
    pub(super) fn start(answer: impl Fn(&str, &str) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let seen = Arc::<Mutex<Vec<_>>>::default();
        let recorded = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let Some((path, authorization)) = read(&stream) else { continue };
                let Answer(status, header, body) = answer(&path, &authorization);
                recorded.lock().expect("a list").push((path, authorization));
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status} x\r\n{header}\r\nContent-Length: {length}\r\nConnection: close"
                );
                // The client may have closed the connection.
                let _ = stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes());
            }
        });
        Self { host, seen }
    }

    pub(super) fn authorizations(&self) -> Vec<String> {
        self.seen.lock().expect("a list").iter().map(|(_, authorization)| authorization.clone()).collect()
    }
}

fn read(stream: &TcpStream) -> Option<(String, String)> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    let authorization = head.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("authorization").then(|| value.to_owned())
    });
    Some((path, authorization.unwrap_or_default()))
}
