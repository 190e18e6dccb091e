//! Whether an exchange's request was sent, and whether a response arrived. If a sent request gets no
//! response, the service may or may not have replaced the refresh token.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::context::{LoginCheck, Repeat, SendCheck};
use crate::error::{Error, ErrorCode, Hint};

/// What has become of the requests of the current exchange.
#[derive(Default, Clone)]
pub(crate) struct Delivery {
    /// A sent request got no response: the service may still be processing it.
    pub(crate) unanswered: bool,
    /// The response was an error, although the service may have processed the request.
    pub(crate) failed: bool,
    /// A response with a success status arrived. It may be malformed.
    pub(crate) answered: bool,
    /// Why a refresh token was not sent: another program has replaced it, or the login file cannot be read.
    pub(crate) superseded: Option<Error>,
    check: Option<LoginCheck>,
}

impl Delivery {
    /// Whether a response with a new refresh token may be lost.
    pub(crate) fn lost_response(&self) -> bool {
        self.unanswered || self.failed
    }
}

/// The [`Delivery`] of an operation's current exchange.
#[derive(Default)]
pub(crate) struct DeliveryStatus(Arc<Mutex<Delivery>>);

impl DeliveryStatus {
    /// Begins an exchange. Unless `check` returns true, refresh tokens are not sent.
    pub(crate) fn begin(&self, check: Option<LoginCheck>) {
        *self.get() = Delivery { check, ..Delivery::default() };
    }

    pub(crate) fn get(&self) -> MutexGuard<'_, Delivery> {
        lock(&self.0)
    }

    /// Returns the check of [`Self::begin`] for a request with a refresh token.
    pub(crate) fn check(&self, repeat: Repeat) -> Option<SendCheck> {
        let check = self.get().check.clone().filter(|_| repeat == Repeat::SpendsGrant)?;
        let delivery = self.0.clone();
        Some(SendCheck(Arc::new(move || {
            let checked = check();
            let is_current = matches!(checked, Ok(true));
            if !is_current {
                lock(&delivery).superseded = Some(checked.err().unwrap_or_else(superseded));
            }
            is_current
        })))
    }
}

fn lock(delivery: &Mutex<Delivery>) -> MutexGuard<'_, Delivery> {
    delivery.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn superseded() -> Error {
    let message = "another program replaced the refresh token before it was sent";
    Error::new(ErrorCode::LockTimeout, message).with_hint(Hint::RetryLater)
}
