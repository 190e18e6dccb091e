//! The browser tab that waits for the result of a login.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::page::Page;

type Connection = Arc<Mutex<Option<TcpStream>>>;

/// The connection of the browser tab that waits for the login's result. The tab gets exactly one page, also after a
/// timeout and when this value is dropped. Errors are ignored, because a closed tab must not fail the login.
pub(super) struct Tab(Connection);

impl Tab {
    /// Takes over the browser's connection. Returns `None` if the connection is unusable.
    pub(super) fn new(stream: tokio::net::TcpStream, timeout: Duration) -> Option<Self> {
        let connection = Arc::new(Mutex::new(Some(stream.into_std().ok()?)));
        let late = Arc::downgrade(&connection);
        tokio::spawn(async move {
            tokio::time::sleep(timeout).await;
            if let Some(connection) = late.upgrade() {
                send(&connection, &Page::Pending);
            }
        });
        Some(Self(connection))
    }

    /// Shows the page in the browser tab.
    pub(super) fn show(self, page: &Page) {
        send(&self.0, page);
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        send(&self.0, &Page::Unknown);
    }
}

/// Sends the page, unless the browser tab already got a page.
fn send(connection: &Connection, page: &Page) {
    let stream = connection.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(mut stream) = stream {
        // One non-blocking write is enough: the page fits in the empty send buffer.
        let sent =
            stream.write_all(page.response().as_bytes()).and_then(|()| stream.shutdown(Shutdown::Write));
        tracing::debug!(?page, ?sent, "the browser tab gets this page as the login's result");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    async fn tab(timeout: Duration) -> (TcpStream, Tab) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let browser = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (browser, Tab::new(listener.accept().await.unwrap().0, timeout).unwrap())
    }

    async fn read(mut browser: TcpStream) -> String {
        let mut page = String::new();
        browser.read_to_string(&mut page).await.unwrap();
        page
    }

    #[tokio::test]
    async fn browser_tab_shows_the_result_of_the_login() {
        let (browser, tab) = tab(LONG).await;
        tab.show(&Page::LoggedIn(None));
        assert_eq!(read(browser).await, Page::LoggedIn(None).response());
    }

    #[tokio::test]
    async fn slow_login_shows_pending_page_in_browser_tab() {
        let (browser, tab) = tab(Duration::from_millis(20)).await;
        assert_eq!(read(browser).await, Page::Pending.response());
        tab.show(&Page::LoggedIn(None));
    }

    #[tokio::test]
    async fn browser_tab_shows_unknown_result_if_login_is_cancelled() {
        let (browser, tab) = tab(LONG).await;
        drop(tab);
        assert_eq!(read(browser).await, Page::Unknown.response());
    }

    #[tokio::test]
    async fn closed_browser_tab_causes_no_error() {
        let (browser, tab) = tab(LONG).await;
        drop(browser);
        tab.show(&Page::LoggedIn(None));
    }
}
