//! A minimal HTTP client that also returns incomplete responses.

use std::io::{Error, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// A response. `body` is shorter than `content-length` if the server cut the connection.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON answer")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    pub(crate) fn promised(&self) -> usize {
        self.header("content-length").unwrap().parse().unwrap()
    }

    /// Returns the status and the field `error` of an OAuth error response.
    pub(crate) fn error(&self) -> (u16, String) {
        (self.status, self.json()["error"].as_str().unwrap().to_owned())
    }
}

/// Sends a request on a new connection and reads the response.
pub(crate) fn try_send(
    url: &str,
    method: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer, Error> {
    let mut stream = send_only(url, method, headers, body);
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw)?;
    let end = raw.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or(ErrorKind::UnexpectedEof)?;
    let head = String::from_utf8(raw[..end].to_vec()).unwrap();
    Ok(Answer { status: head[9..12].parse().unwrap(), head, body: raw[end + 4..].to_vec() })
}

/// Sends a request without reading the response.
pub(crate) fn send_only(url: &str, method: &str, headers: &[(&str, &str)], body: &str) -> TcpStream {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let mut stream = TcpStream::connect(host).unwrap();
    let line = |(name, value): &(&str, &str)| format!("{name}: {value}\r\n");
    let headers: String = headers.iter().map(line).collect();
    let len = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}Content-Length: {len}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

pub(crate) fn send(url: &str, method: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    try_send(url, method, headers, body).unwrap()
}

pub(crate) fn post_form(url: &str, body: &str) -> Answer {
    send(url, "POST", &[FORM], body)
}

pub(crate) fn post_json(url: &str, body: &Value) -> Answer {
    send(url, "POST", &[JSON], &body.to_string())
}

pub(crate) fn get(url: &str, bearer: &str) -> Answer {
    let value = format!("Bearer {bearer}");
    send(url, "GET", &[("Authorization", &value)], "")
}

pub(crate) const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
pub(crate) const JSON: (&str, &str) = ("Content-Type", "application/json");
