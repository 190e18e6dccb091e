//! TCP connections to which a request handler can write without the HTTP server.

use std::future::pending;
use std::net::Shutdown;
use std::sync::Arc;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use socket2::{SockRef, Socket};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// A second handle to the connection that the HTTP server serves.
#[derive(Clone)]
pub(super) struct Connection(Arc<Socket>);

impl Connection {
    /// Sends `rest` instead of the HTTP server's response, and closes the connection. With `stays_open`, waits until
    /// the server stops.
    pub(super) async fn replace(&self, rest: &[u8], stays_open: bool) {
        let handle = self.0.try_clone().and_then(|socket| TcpStream::from_std(socket.into()));
        // The client may have disconnected.
        let _ = handle.expect("a handle").write_all(rest).await;
        if stays_open {
            pending::<()>().await;
        }
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Connected<IncomingStream<'_, TcpListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        let socket = SockRef::from(stream.io());
        // Disables Nagle's algorithm, with which a response may wait 40 ms for the client's delayed ACK.
        let _ = socket.set_tcp_nodelay(true);
        Self(Arc::new(socket.try_clone().expect("a handle")))
    }
}
