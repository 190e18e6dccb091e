//! Whether an exchange's request was sent, and whether a response arrived. If a sent request gets no
//! response, the service may or may not have replaced the refresh token.

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

    /// Records that the response is lost, although the service may have processed the request.
    pub(crate) fn lose_response(&self) {
        self.lost.store(true, Ordering::SeqCst);
    }

    /// Records that a response with a success status arrived. The response may be malformed.
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
