//! Operations in flight: from a request until its response is saved, nothing may interrupt them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// Counts the operations that are between a request and its save.
#[derive(Debug, Clone)]
pub(crate) struct InFlightOperations(Arc<watch::Sender<usize>>);

impl InFlightOperations {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// Creates an operation that has not begun.
    pub(crate) fn operation(&self) -> InFlight {
        InFlight { operations: self.clone(), begun: AtomicBool::new(false) }
    }

    /// Waits until no operation is in flight.
    pub(crate) async fn wait_idle(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.subscribe().wait_for(|begun| *begun == 0).await;
    }
}

/// One operation. It ends when dropped, which is after the save.
#[derive(Debug)]
pub(crate) struct InFlight {
    operations: InFlightOperations,
    begun: AtomicBool,
}

impl InFlight {
    /// Begins: a request is sent whose response may have to be saved.
    pub(crate) fn begin(&self) {
        if !self.begun.swap(true, Ordering::SeqCst) {
            self.operations.0.send_modify(|begun| *begun += 1);
        }
    }

    /// Ends: the response is saved, or contains nothing to save.
    pub(crate) fn end(&self) {
        if self.begun.swap(false, Ordering::SeqCst) {
            self.operations.0.send_modify(|begun| *begun -= 1);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.end();
    }
}
