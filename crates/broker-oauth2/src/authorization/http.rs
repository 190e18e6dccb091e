//! As much of an HTTP server as a browser needs that comes back from a login.

use std::fmt::Write as _;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// More than any browser sends: cookies of other programs on this host may be among it.
const LONGEST_HEAD: usize = 32 * 1024;

/// What is read of a request that is too long, so that its sender gets to see the answer.
const LONGEST_REST: u64 = 256 * 1024;

/// The head of a request, as far as it matters.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) host: &'a str,
}

impl<'a> Request<'a> {
    /// Reads a head (RFC 9112). `None`: it is none, or has not exactly one host.
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

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    /// The code is here; whether it is good only the exchange tells.
    Done,
    /// The service sent no code.
    Failed,
    /// Another login's.
    NotThisLogin,
    NotFound,
    NotAllowed,
    /// Sent under another name than this server's: a page elsewhere may have had that name lead here.
    OtherHost,
    TooLong,
    Broken,
}

impl Page {
    const fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Done => (
                "200 OK",
                "Back to the terminal",
                "The login has reached broker, which says in the terminal how it ended. This window can be closed.",
            ),
            Self::Failed => (
                "200 OK",
                "Not signed in",
                "The login did not work: broker says in the terminal why. This window can be closed.",
            ),
            Self::NotThisLogin => (
                "400 Bad Request",
                "Not this login",
                "This page does not belong to the login that broker waits for, which goes on waiting. Use the address \
                 that the terminal shows.",
            ),
            Self::NotFound => ("404 Not Found", "Not found", "There is nothing here."),
            Self::NotAllowed => ("405 Method Not Allowed", "Not allowed", "Only GET is answered here."),
            Self::OtherHost => {
                ("421 Misdirected Request", "Not here", "This is not the server of that name.")
            }
            Self::TooLong => {
                ("431 Request Header Fields Too Large", "Too long", "The request is longer than any login.")
            }
            Self::Broken => ("400 Bad Request", "Not understood", "That is no request of a browser."),
        }
    }

    /// The whole answer: without scripts, without anything from elsewhere, and nowhere in it what the request said.
    fn answer(self) -> String {
        let (status, title, words) = self.words();
        let body = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>broker: {title}</title>\n<h1>{title}</h1>\n<p>{words}</p>\n</html>\n"
        );
        let mut head = format!("HTTP/1.1 {status}\r\n");
        let length = body.len().to_string();
        for (name, value) in [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", &length),
            ("Connection", "close"),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
            ("Allow", "GET"),
        ] {
            // Writing to a text does not fail.
            let _ = write!(head, "{name}: {value}\r\n");
        }
        format!("{head}\r\n{body}")
    }

    /// Answers, and ends the connection.
    pub(super) async fn send(self, stream: &mut TcpStream) -> io::Result<()> {
        stream.write_all(self.answer().as_bytes()).await?;
        stream.shutdown().await?;
        if self == Self::TooLong {
            // A connection that is closed with something unread in it is cut, and the answer is lost with it.
            tokio::io::copy(&mut stream.take(LONGEST_REST), &mut tokio::io::sink()).await?;
        }
        Ok(())
    }
}

/// Reads the head of a request into `head`: whether it is there, or too long; `None` if the connection ended before.
pub(super) async fn read_head(stream: &mut TcpStream, head: &mut Vec<u8>) -> io::Result<Option<bool>> {
    // Room for all of it, so that no copy with a code in it is left behind.
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
    fn a_head_has_a_method_a_target_and_one_host() {
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
