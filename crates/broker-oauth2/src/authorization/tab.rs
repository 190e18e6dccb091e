//! The browser tab that waits for the result of a login.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::page::Page;

/// How long the page waits for the result.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

type Connection = Arc<Mutex<Option<TcpStream>>>;

/// The connection of a browser tab with the response of the login. It gets one page: the result, or after 10 s or when
/// dropped a page without it. Sending does not block, and its errors are ignored: a closed tab changes nothing.
pub(super) struct Tab(Connection);

impl Tab {
    /// Takes the connection. `None` if it is unusable, such as after a reset.
    pub(super) fn new(stream: tokio::net::TcpStream) -> Option<Self> {
        let connection = Arc::new(Mutex::new(Some(stream.into_std().ok()?)));
        let late = Arc::downgrade(&connection);
        tokio::spawn(async move {
            tokio::time::sleep(LONGEST_WAIT).await;
            if let Some(connection) = late.upgrade() {
                send(&connection, &Page::Pending);
            }
        });
        Some(Self(connection))
    }

    /// Shows the page.
    pub(super) fn show(self, page: &Page) {
        send(&self.0, page);
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        send(&self.0, &Page::Unknown);
    }
}

/// Sends the page, unless one was sent before.
fn send(connection: &Connection, page: &Page) {
    let stream = connection.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(mut stream) = stream {
        // The page fits in the empty send buffer of the connection, which is non-blocking.
        let sent =
            stream.write_all(page.response().as_bytes()).and_then(|()| stream.shutdown(Shutdown::Write));
        tracing::debug!(?page, ?sent, "answered the browser");
    }
}
