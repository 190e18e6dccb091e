//! How far the requests of one exchange came: what the journal of a grant that was sent is closed by.

use std::sync::atomic::{AtomicBool, Ordering};

/// How far the requests of one exchange came.
#[derive(Debug, Default)]
pub(crate) struct DeliveryStatus {
    lost: AtomicBool,
    answered: AtomicBool,
}

impl DeliveryStatus {
    /// A new exchange: nothing was sent yet.
    pub(crate) fn begin(&self) {
        self.lost.store(false, Ordering::SeqCst);
        self.answered.store(false, Ordering::SeqCst);
    }

    /// A request may have been acted on, and its answer will not come.
    pub(crate) fn lose_answer(&self) {
        self.lost.store(true, Ordering::SeqCst);
    }

    /// A request was answered with success, sensibly or not.
    pub(crate) fn answer(&self) {
        self.answered.store(true, Ordering::SeqCst);
    }

    pub(crate) fn lost_answer(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
    }

    pub(crate) fn was_answered(&self) -> bool {
        self.answered.load(Ordering::SeqCst)
    }
}
