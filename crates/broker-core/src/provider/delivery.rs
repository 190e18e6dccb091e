//! Whether an exchange's request was sent, and whether a response arrived. If a sent request gets no
//! response, the service may or may not have replaced the refresh token.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::context::{LoginCheck, Repeat, SendCheck};
use crate::error::Error;

#[derive(Default)]
pub(crate) struct DeliveryStatus {
    unanswered: AtomicBool,
    failed: AtomicBool,
    answered: AtomicBool,
    superseded: Arc<AtomicBool>,
    check: Mutex<Option<LoginCheck>>,
    /// Why the check failed, such as a login file that cannot be read.
    check_error: Arc<Mutex<Option<Error>>>,
}

impl DeliveryStatus {
    /// Begins an exchange. Unless `check` returns true, refresh tokens are not sent.
    pub(crate) fn begin(&self, check: Option<LoginCheck>) {
        for status in [&self.unanswered, &self.failed, &self.answered, &*self.superseded] {
            status.store(false, Ordering::SeqCst);
        }
        *self.check.lock().unwrap_or_else(PoisonError::into_inner) = check;
    }

    /// Returns the check of [`Self::begin`] for a request with a refresh token.
    pub(crate) fn check(&self, repeat: Repeat) -> Option<SendCheck> {
        let check = self.check.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let check = check.filter(|_| repeat == Repeat::SpendsGrant)?;
        let (superseded, check_error) = (self.superseded.clone(), self.check_error.clone());
        Some(SendCheck(Arc::new(move || {
            let checked = check();
            let is_current = matches!(checked, Ok(true));
            superseded.fetch_or(!is_current, Ordering::SeqCst);
            *check_error.lock().unwrap_or_else(PoisonError::into_inner) = checked.err();
            is_current
        })))
    }

    /// Whether a refresh token was not sent, because another program has replaced it, or may have.
    pub(crate) fn was_superseded(&self) -> bool {
        self.superseded.load(Ordering::SeqCst)
    }

    /// Returns the error of the last check, if that check failed.
    pub(crate) fn check_error(&self) -> Option<Error> {
        self.check_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records that a request got no response, although the service may have processed the request.
    pub(crate) fn lose_response(&self) {
        self.unanswered.store(true, Ordering::SeqCst);
    }

    /// Records an error response, although the service may have processed the request.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::SeqCst);
    }

    /// Records that a response with a success status arrived. The response may be malformed.
    pub(crate) fn answer(&self) {
        self.answered.store(true, Ordering::SeqCst);
    }

    /// Whether a sent request got no response: the service may still be processing it.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.unanswered.load(Ordering::SeqCst)
    }

    /// Whether a response with a new refresh token may be lost.
    pub(crate) fn lost_response(&self) -> bool {
        self.is_unanswered() || self.failed.load(Ordering::SeqCst)
    }

    pub(crate) fn was_answered(&self) -> bool {
        self.answered.load(Ordering::SeqCst)
    }
}
