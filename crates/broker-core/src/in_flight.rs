//! What must not be interrupted: from the moment a request goes out until its answer is saved (rule 5).

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

    /// A section that has not begun.
    pub(crate) fn section(&self) -> InFlight {
        InFlight { sections: self.clone(), begun: AtomicBool::new(false) }
    }

    /// Waits until none has begun.
    pub(crate) async fn wait_idle(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.subscribe().wait_for(|begun| *begun == 0).await;
    }
}

/// One operation's section. It ends when dropped, which is after the save.
#[derive(Debug)]
pub(crate) struct InFlight {
    sections: InFlightOperations,
    begun: AtomicBool,
}

impl InFlight {
    /// A request goes out: what comes back may be worth keeping.
    pub(crate) fn begin(&self) {
        if !self.begun.swap(true, Ordering::SeqCst) {
            self.sections.0.send_modify(|begun| *begun += 1);
        }
    }

    /// What came back, if anything, was nothing to keep, or it is saved.
    pub(crate) fn end(&self) {
        if self.begun.swap(false, Ordering::SeqCst) {
            self.sections.0.send_modify(|begun| *begun -= 1);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.end();
    }
}
