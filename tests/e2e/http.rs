//! A minimal HTTP server for tests, which handles one request per connection.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// A received request.
pub(crate) struct Request {
    pub(crate) method: String,
    /// The path with the query.
    pub(crate) target: String,
    /// The headers. The names are in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Request {
    /// Reads a request. Returns `None` if the client closes the connection before the end of the request.
    pub(crate) fn read(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut lines = reader.by_ref().lines().map_while(Result::ok);
        let first = lines.next()?;
        let (method, rest) = first.split_once(' ')?;
        let fields = lines.take_while(|line| !line.is_empty());
        let split = |line: String| {
            line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        };
        let headers: BTreeMap<_, _> = fields.filter_map(split).collect();
        let mut body = vec![0; headers.get("content-length").map_or(Some(0), |length| length.parse().ok())?];
        reader.read_exact(&mut body).ok()?;
        let target = rest.split(' ').next()?.to_owned();
        Some(Self { method: method.to_owned(), target, headers, body: String::from_utf8(body).ok()? })
    }
}

/// Sends a response with one header, and closes the connection.
pub(crate) fn respond(mut stream: TcpStream, status: u64, header: &str, body: &str) {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} x\r\n{header}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    // The client may have closed the connection.
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}
