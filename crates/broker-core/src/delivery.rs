//! The delivery status of one exchange: whether its request was sent and answered. It decides whether a sent grant may
//! be spent.

use std::sync::atomic::{AtomicBool, Ordering};

/// The delivery status of the requests of one exchange.
#[derive(Debug, Default)]
pub(crate) struct DeliveryStatus {
    lost: AtomicBool,
    answered: AtomicBool,
}

impl DeliveryStatus {
    /// Begins a new exchange.
    pub(crate) fn begin(&self) {
        self.lost.store(false, Ordering::SeqCst);
        self.answered.store(false, Ordering::SeqCst);
    }

    /// Notes that the service may have acted and its response is lost.
    pub(crate) fn lose_response(&self) {
        self.lost.store(true, Ordering::SeqCst);
    }

    /// Notes a response with a success status, even if it is malformed.
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
