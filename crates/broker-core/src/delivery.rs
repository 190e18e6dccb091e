//! Whether the request of an exchange was sent and answered. If not, the service may or may not have replaced the
//! grant.

use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug, Default)]
pub(crate) struct DeliveryStatus {
    lost: AtomicBool,
    answered: AtomicBool,
}

impl DeliveryStatus {
    pub(crate) fn begin(&self) {
        self.lost.store(false, Ordering::SeqCst);
        self.answered.store(false, Ordering::SeqCst);
    }

    /// Records that the service may have acted, but the response is lost.
    pub(crate) fn lose_response(&self) {
        self.lost.store(true, Ordering::SeqCst);
    }

    /// Records a response with a success status, even if the response is malformed.
    pub(crate) fn answer(&self) {
        self.answered.store(true, Ordering::SeqCst);
    }

    pub(crate) fn lost_response(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
    }

    pub(crate) fn was_answered(&self) -> bool {
        self.answered.load(Ordering::SeqCst)
    }
}
