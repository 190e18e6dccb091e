//! Decides whether a failed request may be sent again.

use std::time::Duration;

use crate::context::{HttpFault, HttpResponse, Repeat, RequestSent};
use crate::error::ErrorCode;

/// The longest `Retry-After` pause for which a request waits. With a longer one, the request fails at once.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Why an attempt to send a request brought no usable response.
pub(crate) enum AttemptFailure {
    /// The caller stopped waiting, so the request was not sent.
    Cancelled,
    /// Another program replaced the refresh token, or may have, so the request was not sent.
    Superseded,
    Fault(HttpFault),
    /// A response with a transient HTTP status, such as 429 or 503.
    Response(HttpResponse),
}

impl AttemptFailure {
    /// Returns how long to wait before the request is sent again, by default `wait`; `None` if it may not be repeated.
    /// `cuts` counts the lost connections, including this attempt's.
    pub(crate) fn wait_to_repeat(&self, repeat: Repeat, cuts: usize, wait: Duration) -> Option<Duration> {
        if !self.may_repeat(repeat, cuts) {
            return None;
        }
        let retry_after = match self {
            Self::Response(response) => response.retry_after(),
            _ => None,
        };
        match retry_after {
            Some(asked) if asked > LONGEST_RETRY_AFTER => None,
            Some(asked) => Some(wait.max(asked)),
            None if repeat == Repeat::SpendsGrant && self.is_cut() => Some(Duration::ZERO),
            None => Some(wait),
        }
    }

    /// Whether the request may be sent again.
    fn may_repeat(&self, repeat: Repeat, cuts: usize) -> bool {
        match (repeat, self) {
            (Repeat::Never, _) | (_, Self::Cancelled | Self::Superseded) => false,
            (_, Self::Fault(fault)) if fault.is_permanent() => false,
            (_, Self::Fault(fault)) if fault.sent == RequestSent::No => fault.code != ErrorCode::Timeout,
            (_, Self::Response(response)) if response.status == 429 => true,
            (Repeat::SpendsGrant, failure) => failure.is_cut() && cuts == 1,
            (Repeat::IfNotActed, _) => false,
            (Repeat::Safe, Self::Fault(fault)) => fault.code != ErrorCode::Timeout,
            (Repeat::Safe, Self::Response(_)) => true,
        }
    }

    /// Whether the connection was lost after the request was sent. After an unreadable response, it was not lost.
    pub(crate) fn is_cut(&self) -> bool {
        matches!(self, Self::Fault(fault) if fault.sent == RequestSent::Maybe
            && !matches!(fault.code, ErrorCode::Timeout | ErrorCode::BadResponse))
    }
}
