//! Backoff while another process has the lock.

use std::time::Duration;

use crate::{Error, ErrorCode, Result};

/// Pauses between two attempts to lock: short at first, because most exchanges are.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// After this time the user is told about the wait.
const TELL_AFTER: Duration = Duration::from_secs(2);

/// A wait with a limit.
pub(crate) struct Backoff {
    limit: Duration,
    waited: Duration,
    pause: Duration,
}

impl Backoff {
    /// Creates a wait of at most `limit`.
    pub(crate) fn up_to(limit: Duration) -> Self {
        Self { limit, waited: Duration::ZERO, pause: FIRST_PAUSE }
    }

    /// Returns the pause before the next attempt, and whether to tell the user now. Fails after the limit.
    pub(crate) fn next(&mut self, holder: &str) -> Result<(Duration, bool)> {
        if self.waited >= self.limit {
            return Err(lock_timeout(holder, self.limit));
        }
        let pause = self.pause;
        let tell = (self.waited..self.waited + pause).contains(&TELL_AFTER);
        self.waited += pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        Ok((pause, tell))
    }
}

/// Returns the error for a lock that `holder` did not release in time.
pub(crate) fn lock_timeout(holder: &str, limit: Duration) -> Error {
    let limit = humantime::format_duration(limit);
    Error::new(ErrorCode::LockTimeout, format!("{holder} has locked the record for more than {limit}"))
        .with_hint("it may be waiting for a login: complete or end it, then try again")
}
