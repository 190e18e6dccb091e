//! Operations in flight: between a request and the save of its response, a process must not exit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// Counts the operations whose request is sent and whose response is not yet saved.
#[derive(Debug, Clone, Default)]
pub(crate) struct InFlightOperations(Arc<watch::Sender<usize>>);

impl InFlightOperations {
    /// Creates an operation that is not in flight yet.
    pub(crate) fn operation(&self) -> InFlight {
        InFlight { operations: self.clone(), begun: AtomicBool::new(false) }
    }

    /// Waits until all exchanges have ended, so that their results are saved.
    pub(crate) async fn wait_idle(&self) {
        // An error would mean that the sender was dropped, but `self` owns the sender.
        let _ = self.0.subscribe().wait_for(|begun| *begun == 0).await;
    }
}

/// An operation that may be in flight. Dropping the value marks the operation as no longer in flight.
#[derive(Debug)]
pub(crate) struct InFlight {
    operations: InFlightOperations,
    begun: AtomicBool,
}

impl InFlight {
    /// Marks the operation as in flight: the response to its request may contain a token to save.
    pub(crate) fn begin(&self) {
        if !self.begun.swap(true, Ordering::SeqCst) {
            self.operations.0.send_modify(|begun| *begun += 1);
        }
    }

    /// Marks the operation as no longer in flight: the response is saved, or contains no token.
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
