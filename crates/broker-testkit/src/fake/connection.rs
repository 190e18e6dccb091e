//! TCP connections to which a request handler can write without the HTTP server.

use std::future::pending;
use std::io;
use std::net::{Shutdown, TcpStream as StdStream};
use std::sync::Arc;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// A second handle to the connection that the HTTP server serves.
#[derive(Clone, Debug)]
pub(super) struct Connection(Arc<StdStream>);

impl Connection {
    /// Sends `rest` instead of the HTTP server's response, and closes the connection. With `stays_open`, waits until
    /// the server stops.
    pub(super) async fn replace(&self, rest: &[u8], stays_open: bool) {
        let handle = self.0.try_clone().and_then(TcpStream::from_std);
        // The client may have disconnected.
        let _ = handle.expect("a handle").write_all(rest).await;
        if stays_open {
            pending::<()>().await;
        }
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// A listener that gives request handlers a second handle to their connection.
pub(super) struct SharingListener(pub(super) TcpListener);

impl Listener for SharingListener {
    type Io = TcpStream;
    type Addr = Connection;

    async fn accept(&mut self) -> (TcpStream, Connection) {
        let (stream, _) = Listener::accept(&mut self.0).await;
        // Disables Nagle's algorithm, with which a response may wait 40 ms for the client's delayed ACK.
        let _ = stream.set_nodelay(true);
        let stream = stream.into_std().expect("a connection");
        let handle = stream.try_clone().expect("a second handle");
        (TcpStream::from_std(stream).expect("a connection"), Connection(Arc::new(handle)))
    }

    fn local_addr(&self) -> io::Result<Connection> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Connected<IncomingStream<'_, SharingListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, SharingListener>) -> Self {
        stream.remote_addr().clone()
    }
}
