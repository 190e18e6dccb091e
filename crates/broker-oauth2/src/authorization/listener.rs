//! The loopback listener of a native app (RFC 8252 section 7.3), which receives the authorization response.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use broker_core::{Error, ErrorCode, Result, Secret, ServiceUrl};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::page::Page;
use super::response::Expected;
use super::tab::Tab;

/// How long a browser may take to send a request, and then to read the page.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the browser tab waits for the result of the login.
const PAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// The limit of open connections. Browsers open extra connections that they may never use. One more connection closes
/// the oldest, so that idle connections do not delay the browser's redirect.
const MOST_CONNECTIONS: usize = 64;

/// The limit of a request head, which may contain cookies of other programs on this host.
const LONGEST_HEAD: usize = 32 * 1024;

/// How many bytes after a too long request head are discarded, so that the browser can read the error page.
const MAX_DISCARDED: u64 = 256 * 1024;

/// The authorization code or the service's error, and the browser tab that waits for the result.
pub(super) type Arrival = (Result<Secret>, Option<Tab>);

pub(super) struct Listener {
    sockets: Vec<TcpListener>,
    /// The redirect URI, including the port.
    pub(super) redirect_uri: String,
    pub(super) callback: Arc<Callback>,
    connections: JoinSet<Option<Arrival>>,
    /// The open connections, the oldest first.
    oldest: VecDeque<AbortHandle>,
}

/// The values that a valid redirect has.
pub(super) struct Callback {
    /// The accepted `Host` headers. Requests with other headers may be DNS rebinding attacks.
    hosts: Vec<String>,
    path: String,
    pub(super) expected: Expected,
}

impl Listener {
    /// Listens at `redirect_uri`, or on any free port if the URI has none.
    pub(super) async fn bind(redirect_uri: &ServiceUrl, expected: Expected) -> Result<Self> {
        let not_local = || {
            let message = format!("`redirect_uri` {redirect_uri} is not an address of this machine");
            Error::new(ErrorCode::ConfigInvalidValue, message).with_hint(
                "set `redirect_uri` to http://127.0.0.1/PATH, with :PORT if the service requires one",
            )
        };
        let mut url = Url::parse(redirect_uri.as_str()).map_err(|_| not_local())?;
        let addresses = loopback(redirect_uri).ok_or_else(not_local)?;
        let requested = url.port();
        let sockets = listen(addresses, requested.unwrap_or(0)).await;
        let (sockets, port) = sockets.map_err(|error| cannot_listen(requested, error))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let mut hosts = vec![format!("{host}:{port}")];
        if port == 80 {
            hosts.push(host);
        }
        url.set_port(Some(port)).map_err(|()| not_local())?;
        let callback = Callback { hosts, path: url.path().to_owned(), expected };
        Ok(Self {
            sockets,
            redirect_uri: url.into(),
            callback: Arc::new(callback),
            connections: JoinSet::new(),
            oldest: VecDeque::new(),
        })
    }

    /// Waits for the authorization response. This function is cancel safe.
    pub(super) async fn wait(&mut self) -> Arrival {
        loop {
            tokio::select! {
                Some(done) = self.connections.join_next() => {
                    if let Ok(Some(arrival)) = done {
                        return arrival;
                    }
                }
                accepted = accept(&self.sockets) => match accepted {
                    Ok(stream) => {
                        self.serve(stream);
                        // Reads the request before more connections are accepted, which may close this one.
                        tokio::task::yield_now().await;
                    }
                    // The browser closed the connection before it was accepted.
                    Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                    // Idle connections may use up all file descriptors of this process.
                    Err(_) if self.close_oldest() => tokio::task::yield_now().await,
                    Err(error) => {
                        let message = format!("cannot accept connections at {}: {error}", self.redirect_uri);
                        return (Err(Error::new(ErrorCode::Internal, message).with_source(error)), None);
                    }
                }
            }
        }
    }

    fn serve(&mut self, stream: TcpStream) {
        self.oldest.retain(|connection| !connection.is_finished());
        if self.oldest.len() >= MOST_CONNECTIONS {
            self.close_oldest();
        }
        self.oldest.push_back(self.connections.spawn(serve(stream, self.callback.clone())));
    }

    /// Closes the connection that has been open for the longest time. Returns false if no connection is open.
    fn close_oldest(&mut self) -> bool {
        self.oldest.retain(|connection| !connection.is_finished());
        self.oldest.pop_front().inspect(AbortHandle::abort).is_some()
    }
}

/// Returns the loopback addresses of `redirect_uri`, or `None` if the URI is not a loopback URI.
pub(crate) fn loopback(redirect_uri: &ServiceUrl) -> Option<&'static [IpAddr]> {
    let url = Url::parse(redirect_uri.as_str()).ok()?;
    // Browsers refuse connections to port 0.
    match url.host().filter(|_| redirect_uri.is_plain() && url.port() != Some(0))? {
        Host::Ipv4(Ipv4Addr::LOCALHOST) => Some(&[IpAddr::V4(Ipv4Addr::LOCALHOST)]),
        Host::Ipv6(Ipv6Addr::LOCALHOST) => Some(&[IpAddr::V6(Ipv6Addr::LOCALHOST)]),
        // A browser may resolve `localhost` to 127.0.0.1 or `::1`, so the broker listens on both addresses.
        Host::Domain("localhost") => {
            Some(&[IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)])
        }
        _ => None,
    }
}

/// Listens on all addresses with the same port.
async fn listen(addresses: &[IpAddr], mut port: u16) -> io::Result<(Vec<TcpListener>, u16)> {
    let mut sockets: Vec<TcpListener> = Vec::new();
    for address in addresses {
        match TcpListener::bind(SocketAddr::new(*address, port)).await {
            Ok(socket) => {
                port = socket.local_addr()?.port();
                sockets.push(socket);
            }
            // A machine without IPv6 cannot listen on `::1`, so 127.0.0.1 is enough. But if another program listens on
            // one of the addresses, that program could receive the authorization code.
            Err(error) if error.kind() != ErrorKind::AddrInUse && !sockets.is_empty() => {}
            Err(error) => return Err(error),
        }
    }
    Ok((sockets, port))
}

fn cannot_listen(port: Option<u16>, error: io::Error) -> Error {
    let message = match port {
        Some(port) => format!("cannot listen on port {port} of `redirect_uri`: {error}"),
        None => format!("cannot listen on any port: {error}"),
    };
    let (code, hint) = match error.kind() {
        // A port that is in use may become free, so this error is transient.
        ErrorKind::AddrInUse => (
            ErrorCode::ServiceUnavailable,
            "stop the program that uses this port, or change the port of `redirect_uri` to a free one that the service accepts",
        ),
        ErrorKind::PermissionDenied => (
            ErrorCode::Internal,
            "change the port of `redirect_uri` to one above 1023 that the service accepts",
        ),
        _ => (ErrorCode::Internal, "check that this machine has a loopback interface (127.0.0.1)"),
    };
    Error::new(code, message).with_source(error).with_hint(hint)
}

async fn accept(sockets: &[TcpListener]) -> io::Result<TcpStream> {
    let accepted = poll_fn(|context| {
        let mut polls = sockets.iter().map(|socket| socket.poll_accept(context));
        polls.find(Poll::is_ready).unwrap_or(Poll::Pending)
    });
    Ok(accepted.await?.0)
}

/// Answers one request. For the authorization response, the connection stays open until the login's result is known.
async fn serve(mut stream: TcpStream, callback: Arc<Callback>) -> Option<Arrival> {
    // Zeroized because the request head contains the authorization code.
    let mut head = Zeroizing::new(Vec::new());
    let complete = timeout(CONNECTION_TIMEOUT, read_head(&mut stream, &mut head)).await.ok()?.ok()??;
    let page = match if complete { callback.read(&head) } else { Err(Page::TooLong) } {
        Ok(code) => return Some((code, Tab::new(stream, PAGE_TIMEOUT))),
        Err(page) => page,
    };
    tracing::debug!(?page, "the listener rejected a request that is not the redirect of this login");
    let _ = timeout(CONNECTION_TIMEOUT, send(&page, &mut stream)).await;
    None
}

impl Callback {
    /// Reads the authorization response. For any other request, returns an error page for the browser.
    fn read(&self, head: &[u8]) -> Result<Result<Secret>, Page> {
        let request = Request::read(head).ok_or(Page::Malformed)?;
        if !self.hosts.iter().any(|host| host.eq_ignore_ascii_case(request.host)) {
            return Err(Page::OtherHost);
        }
        if request.path != self.path {
            return Err(Page::NotFound);
        }
        if request.method != "GET" {
            return Err(Page::MethodNotAllowed);
        }
        self.expected.read(request.query).map_err(|_| Page::OtherLogin)
    }
}

struct Request<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    host: &'a str,
}

impl<'a> Request<'a> {
    /// Parses a request head (RFC 9112). Returns `None` if the head is malformed or has not exactly one host.
    fn read(head: &'a [u8]) -> Option<Self> {
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
async fn send(page: &Page, stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(page.response().as_bytes()).await?;
    stream.shutdown().await?;
    if *page == Page::TooLong {
        // Closing a connection with unread data resets it, and the browser would lose the page.
        tokio::io::copy(&mut stream.take(MAX_DISCARDED), &mut tokio::io::sink()).await?;
    }
    Ok(())
}

/// Reads a request head. Returns whether the head is complete, or `None` if the connection ended first.
async fn read_head(stream: &mut TcpStream, head: &mut Vec<u8>) -> io::Result<Option<bool>> {
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
