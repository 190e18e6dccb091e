//! TCP connections that a fake server can close in the middle of a response.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::locked;

/// Lets a request handler close its connection before the response is complete.
#[derive(Clone, Debug, Default)]
pub(super) struct CutHandle(Arc<Mutex<Option<Replacement>>>);

/// The bytes that a connection still sends instead of the HTTP server's response.
#[derive(Debug)]
struct Replacement {
    rest: Vec<u8>,
    stays_open: bool,
}

impl CutHandle {
    /// Makes the connection send `rest` instead of the HTTP server's response, and then close. With `stays_open`, the
    /// connection neither sends more nor closes.
    pub(super) fn replace(&self, rest: Vec<u8>, stays_open: bool) {
        *locked(&self.0) = Some(Replacement { rest, stays_open });
    }
}

/// A listener whose connections a request handler can close.
pub(super) struct CuttableListener(pub(super) TcpListener);

impl Listener for CuttableListener {
    type Io = Connection;
    type Addr = CutHandle;

    async fn accept(&mut self) -> (Connection, CutHandle) {
        let (stream, _) = Listener::accept(&mut self.0).await;
        // Disables Nagle's algorithm, with which a response may wait 40 ms for the client's delayed ACK.
        let _ = stream.set_nodelay(true);
        let cut = CutHandle::default();
        let connection = Connection { stream, cut: cut.clone() };
        (connection, cut)
    }

    fn local_addr(&self) -> io::Result<CutHandle> {
        Ok(CutHandle::default())
    }
}

impl Connected<IncomingStream<'_, CuttableListener>> for CutHandle {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        stream.remote_addr().clone()
    }
}

/// A connection that its [`CutHandle`] can close.
pub(super) struct Connection {
    stream: TcpStream,
    cut: CutHandle,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { stream, cut } = self.get_mut();
        let mut pending = locked(&cut.0);
        let Some(Replacement { rest, stays_open }) = pending.as_mut() else {
            return Pin::new(stream).poll_write(cx, buf);
        };
        while !rest.is_empty() {
            let sent = ready!(Pin::new(&mut *stream).poll_write(cx, rest))?;
            rest.drain(..sent);
        }
        if *stays_open {
            return Poll::Pending;
        }
        Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
