//! Waits for a lock of another process, with growing pauses.

use std::time::Duration;

use crate::error::{Error, ErrorCode, Result};

/// The first pause is short, because most processes release the lock quickly.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// The user sees a message after the call has waited this long for the lock.
pub(crate) const TELL_AFTER: Duration = Duration::from_secs(2);

pub(crate) struct Backoff {
    limit: Duration,
    waited: Duration,
    pause: Duration,
}

impl Backoff {
    pub(crate) fn up_to(limit: Duration) -> Self {
        Self { limit, waited: Duration::ZERO, pause: FIRST_PAUSE }
    }

    /// Returns the pause before the next attempt, and the message for the user after a long wait. Fails after `limit`.
    pub(crate) fn next(
        &mut self,
        provider: &str,
        holder: Option<String>,
    ) -> Result<(Duration, Option<String>)> {
        let holder = holder.unwrap_or_else(|| "another process".to_owned());
        if self.waited >= self.limit {
            return Err(lock_timeout(&holder, self.limit));
        }
        let pause = self.pause;
        let is_long = (self.waited..self.waited + pause).contains(&TELL_AFTER);
        self.waited += pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        let message = || format!("waiting for {holder} to renew the token of {provider} or to log in");
        Ok((pause, is_long.then(message)))
    }
}

pub(crate) fn lock_timeout(holder: &str, limit: Duration) -> Error {
    let limit = humantime::format_duration(limit);
    Error::new(ErrorCode::LockTimeout, format!("{holder} has locked the record for more than {limit}"))
        .with_hint(
            "the other process may be waiting for a login: finish or cancel that login, then try again",
        )
}
