//! Backoff for a lock that somebody else has.

use std::time::Duration;

use crate::{Error, Result};

/// Between two looks at a lock that somebody else has: short at first, since most exchanges are.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// After this long a person is told what is being waited for.
const TELL_AFTER: Duration = Duration::from_secs(2);

/// A wait that has a limit.
pub(crate) struct Backoff {
    limit: Duration,
    waited: Duration,
    pause: Duration,
}

impl Backoff {
    /// A wait of at most `limit`.
    pub(crate) fn up_to(limit: Duration) -> Self {
        Self { limit, waited: Duration::ZERO, pause: FIRST_PAUSE }
    }

    /// How long to pause before the next look, and whether it is time to tell a person; an error once `holder` was
    /// waited for long enough.
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

/// Who held a lock for too long.
pub(crate) fn lock_timeout(holder: &str, limit: Duration) -> Error {
    let limit = humantime::format_duration(limit);
    Error::unavailable(format!("{holder} has held the lock for longer than {limit}"))
        .with_hint("it may wait for a login or hang: end it, or try again")
}
