//! A minimal HTTP server for the redirect of the browser.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::page::Page;

/// The limit of a request head, which may contain cookies of other programs on this host.
const LONGEST_HEAD: usize = 32 * 1024;

/// How many bytes after a too long request head are discarded, so that the browser can read the error page.
const MAX_DISCARDED: u64 = 256 * 1024;

pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) host: &'a str,
}

impl<'a> Request<'a> {
    /// Parses a request head (RFC 9112). Returns `None` if the head is malformed or has not exactly one host.
    pub(super) fn read(head: &'a [u8]) -> Option<Self> {
        let mut lines = str::from_utf8(head).ok()?.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        if words.next().is_some() || !target.starts_with('/') || !version.starts_with("HTTP/1.") {
            return None;
        }
        let mut hosts = lines.filter_map(|line| line.split_once(':'));
        let mut hosts = hosts.by_ref().filter(|(name, _)| name.eq_ignore_ascii_case("host"));
        let host = hosts.next()?.1.trim();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        hosts.next().is_none().then_some(Self { method, path, query, host })
    }
}

/// Sends a page and closes the connection.
pub(super) async fn send(page: &Page, stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(page.response().as_bytes()).await?;
    stream.shutdown().await?;
    if *page == Page::TooLong {
        // Closing a connection with unread data resets it, and the browser would lose the page.
        tokio::io::copy(&mut stream.take(MAX_DISCARDED), &mut tokio::io::sink()).await?;
    }
    Ok(())
}

/// Reads a request head. Returns whether the head is complete, or `None` if the connection ended first.
pub(super) async fn read_head(stream: &mut TcpStream, head: &mut Vec<u8>) -> io::Result<Option<bool>> {
    // A reallocation would leave a copy of the authorization code in memory.
    head.reserve_exact(LONGEST_HEAD);
    while head.len() < LONGEST_HEAD {
        let room = LONGEST_HEAD - head.len();
        if (&mut *stream).take(room as u64).read_buf(head).await? == 0 {
            return Ok(None);
        }
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            head.truncate(end);
            return Ok(Some(true));
        }
    }
    Ok(Some(false))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn request_head_needs_method_target_and_one_host() {
        let head = b"GET /callback?code=c HTTP/1.1\r\nAccept: */*\r\nhOST:  127.0.0.1:1 ";
        let request = Request::read(head).unwrap();
        assert_eq!((request.method, request.path, request.query), ("GET", "/callback", "code=c"));
        assert_eq!(request.host, "127.0.0.1:1");
        for head in [
            "",
            "GET /callback",
            "GET /callback HTTP/1.1",
            "GET /callback HTTP/2\r\nHost: a",
            "GET callback HTTP/1.1\r\nHost: a",
            "GET http://127.0.0.1/callback HTTP/1.1\r\nHost: a",
            "GET /call back HTTP/1.1\r\nHost: a",
            "GET /callback HTTP/1.1\r\nHost: a\r\nHost: a",
            "\u{16}\u{3}\u{1}",
        ] {
            assert!(Request::read(head.as_bytes()).is_none(), "{head:?}");
        }
    }
}
