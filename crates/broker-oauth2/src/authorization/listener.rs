//! The loopback redirect of a native app (RFC 8252 section 7.3): one good request, then it is gone.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use broker_core::{Error, Result, Secret, ServiceUrl};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::http::{Page, Request, read_head};
use super::response::{Expected, InvalidCallback};

/// How long a connection may take to send a request, and how long to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many connections are open at a time: browsers open some that they may never use.
const MOST_VISITS: usize = 16;

/// What is there for the browser to come back to.
pub(super) struct Listener {
    sockets: Vec<TcpListener>,
    redirect_uri: String,
    place: Arc<Place>,
    visits: JoinSet<Option<Result<Secret>>>,
}

/// What a request must be for.
struct Place {
    /// What the `Host` header may say. A page elsewhere can have its own name lead here (DNS rebinding).
    hosts: Vec<String>,
    path: String,
    expected: Expected,
}

impl Listener {
    /// Listens where `redirect_uri` leads to, on a free port if it has none, for what is expected.
    pub(super) async fn bind(redirect_uri: &ServiceUrl, expected: Expected) -> Result<Self> {
        let elsewhere = || {
            Error::configuration(format!("`redirect_uri` {redirect_uri} does not lead to this machine"))
                .with_hint("write http://127.0.0.1/PATH, with :PORT where the service asks for one")
        };
        let mut url = Url::parse(redirect_uri.as_str()).map_err(|_| elsewhere())?;
        let addresses = loopback(redirect_uri).ok_or_else(elsewhere)?;
        let wanted = url.port();
        let sockets = listen(addresses, wanted.unwrap_or(0)).await;
        let (sockets, port) = sockets.map_err(|error| cannot_listen(wanted, error))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let mut hosts = vec![format!("{host}:{port}")];
        if port == 80 {
            hosts.push(host);
        }
        url.set_port(Some(port)).map_err(|()| elsewhere())?;
        let place = Place { hosts, path: url.path().to_owned(), expected };
        Ok(Self { sockets, redirect_uri: url.into(), place: Arc::new(place), visits: JoinSet::new() })
    }

    /// Where the browser is to come back to, with the port.
    pub(super) fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Reads an address that a person pasted: see [`Expected::pasted`].
    pub(super) fn pasted(&self, text: &Secret) -> Result<Result<Secret>, InvalidCallback> {
        self.place.expected.pasted(text.expose())
    }

    /// Waits for the code, or for why there is none. A wait that is dropped can be begun again.
    pub(super) async fn answer(&mut self) -> Result<Secret> {
        loop {
            tokio::select! {
                Some(visit) = self.visits.join_next() => {
                    if let Ok(Some(code)) = visit {
                        return code;
                    }
                }
                came = accept(&self.sockets), if self.visits.len() < MOST_VISITS => match came {
                    Ok(stream) => {
                        self.visits.spawn(visit(stream, self.place.clone()));
                    }
                    // It was gone before it was let in.
                    Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                    Err(error) => {
                        let words = format!("{}: nobody can be let in: {error}", self.redirect_uri);
                        return Err(Error::failed(words).with_source(error));
                    }
                }
            }
        }
    }
}

/// What is listened on so that a browser can come back to `redirect_uri`; `None` if that does not lead to this machine.
pub(crate) fn loopback(redirect_uri: &ServiceUrl) -> Option<&'static [IpAddr]> {
    let url = Url::parse(redirect_uri.as_str()).ok()?;
    // No browser goes to port 0.
    match url.host().filter(|_| redirect_uri.is_plain() && url.port() != Some(0))? {
        Host::Ipv4(Ipv4Addr::LOCALHOST) => Some(&[IpAddr::V4(Ipv4Addr::LOCALHOST)]),
        Host::Ipv6(Ipv6Addr::LOCALHOST) => Some(&[IpAddr::V6(Ipv6Addr::LOCALHOST)]),
        // A browser may take either, so nobody else may have one of the two.
        Host::Domain("localhost") => {
            Some(&[IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)])
        }
        _ => None,
    }
}

/// Listens on the same port of all addresses that this machine has.
async fn listen(addresses: &[IpAddr], port: u16) -> io::Result<(Vec<TcpListener>, u16)> {
    let mut sockets: Vec<TcpListener> = Vec::new();
    let mut port = port;
    for address in addresses {
        match TcpListener::bind(SocketAddr::new(*address, port)).await {
            Ok(socket) => {
                port = socket.local_addr()?.port();
                sockets.push(socket);
            }
            // Not every machine has IPv6.
            Err(error) if error.kind() != ErrorKind::AddrInUse && !sockets.is_empty() => {}
            Err(error) => return Err(error),
        }
    }
    Ok((sockets, port))
}

fn cannot_listen(port: Option<u16>, error: io::Error) -> Error {
    let words = match port {
        Some(port) => format!("port {port} of `redirect_uri` cannot be listened on: {error}"),
        None => format!("no port can be listened on: {error}"),
    };
    let hint = match error.kind() {
        ErrorKind::AddrInUse => {
            "end the program that has it, or set `redirect_uri` to a port that is free and that the service takes"
        }
        ErrorKind::PermissionDenied => "set `redirect_uri` to a port above 1023 that the service takes",
        _ => "is there a loopback interface?",
    };
    // It may be free in a moment.
    let error = if error.kind() == ErrorKind::AddrInUse {
        Error::unavailable(words).with_source(error)
    } else {
        Error::failed(words).with_source(error)
    };
    error.with_hint(hint)
}

async fn accept(sockets: &[TcpListener]) -> io::Result<TcpStream> {
    poll_fn(|context| {
        let mut came = sockets.iter().map(|socket| socket.poll_accept(context));
        came.find_map(|came| match came {
            Poll::Ready(came) => Some(came.map(|(stream, _)| stream)),
            Poll::Pending => None,
        })
        .map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// One connection: what it sent, if that is the response; the rest gets a page and changes nothing.
async fn visit(mut stream: TcpStream, place: Arc<Place>) -> Option<Result<Secret>> {
    // Dropped as a secret is: the code is in it.
    let mut head = Zeroizing::new(Vec::new());
    let complete = timeout(PATIENCE, read_head(&mut stream, &mut head)).await.ok()?.ok()??;
    let (page, code) = if complete { place.answer(&head) } else { (Page::TooLong, None) };
    tracing::debug!(?page, "a browser came");
    // A browser that does not wait for the page has brought what it brought.
    let _ = timeout(PATIENCE, page.send(&mut stream)).await;
    code
}

impl Place {
    fn answer(&self, head: &[u8]) -> (Page, Option<Result<Secret>>) {
        let Some(request) = Request::read(head) else { return (Page::Broken, None) };
        if !self.hosts.iter().any(|host| host.eq_ignore_ascii_case(request.host)) {
            return (Page::OtherHost, None);
        }
        if request.path != self.path {
            return (Page::NotFound, None);
        }
        if request.method != "GET" {
            return (Page::NotAllowed, None);
        }
        match self.expected.read(request.query) {
            Ok(Ok(code)) => (Page::Done, Some(Ok(code))),
            Ok(Err(error)) => (Page::Failed, Some(Err(error))),
            Err(_) => (Page::NotThisLogin, None),
        }
    }
}
