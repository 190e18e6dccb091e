//! The device authorization grant (RFC 8628): the user approves the login in any browser.

use std::time::Duration;

use broker_core::{
    Context, DeviceCode, Error, ErrorCode, Hint, HttpFault, Problem, Repeat, RequestSent, Result, Secret,
    ServiceUrl, read_object, seconds,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use crate::answer::text;
use crate::token::Polled;
use crate::{Approved, TokenEndpoint};

/// The poll interval if the service names none (RFC 8628 section 3.2).
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);

/// The added poll interval after each `slow_down` (RFC 8628 section 3.5).
const SLOW_DOWN: Duration = Duration::from_secs(5);

/// The lifetime of a device code without `expires_in`, which RFC 8628 requires.
const DEFAULT_CODE_LIFETIME: TimeDelta = TimeDelta::minutes(10);

/// The limit of a device code's lifetime, which is the longest wait for the user's approval.
const LONGEST_CODE_LIFETIME: TimeDelta = TimeDelta::hours(1);

/// How often the remaining time is shown.
const TICK: Duration = Duration::from_secs(1);

/// The longest pause between polls that time out.
const LONGEST_BACKOFF: Duration = Duration::from_mins(1);

/// A login by the device authorization grant.
#[derive(Debug, Clone, Copy)]
pub struct DeviceFlow<'a> {
    /// The device authorization endpoint.
    pub url: &'a ServiceUrl,
    /// The token endpoint that is polled, and the client.
    pub token: TokenEndpoint<'a>,
    /// Fields of the device authorization request, such as `scope` and `audience`, without the client's.
    pub fields: &'a [(&'a str, &'a str)],
    /// Extra fields of the polls.
    pub token_fields: &'a [(&'a str, &'a str)],
}

/// A device code that waits for the user's approval.
struct Pending {
    device_code: Secret,
    expires_at: DateTime<Utc>,
    interval: Duration,
    /// The number of consecutive polls that timed out.
    timeouts: u32,
    /// The error of the last poll, if that poll failed.
    fault: Option<Error>,
    /// Whether a poll's response was lost. The lost response may have contained the tokens.
    lost: bool,
}

enum Poll {
    Approved(Approved),
    /// The user has not approved the login yet. The next poll must wait at least this long.
    Again(Duration),
}

impl DeviceFlow<'_> {
    /// Shows the user code and polls until the user approves the login or the code expires. Transient errors do not stop the polls.
    pub async fn run(&self, context: &Context) -> Result<Approved> {
        let mut pending = self.begin(context).await?;
        let mut pause = pending.interval;
        loop {
            wait(context, pause, pending.expires_at).await?;
            if context.now() >= pending.expires_at {
                return Err(pending.timed_out());
            }
            match self.poll(context, &mut pending).await? {
                Poll::Approved(approved) => return Ok(approved),
                Poll::Again(at_least) => {
                    context.nothing_issued();
                    pause = at_least;
                }
            }
        }
    }

    /// Requests a device code (RFC 8628 section 3.1). The request issues no token, so it can be repeated.
    async fn begin(&self, context: &Context) -> Result<Pending> {
        let response = self.token.send_to(context, self.url, self.fields, Repeat::Safe).await?;
        context.nothing_issued();
        let object = read_object(&response, self.url, self.token.client.secret().as_slice())
            .map_err(|problem| self.token.error(problem, "the service refused to start a login"))?;
        let lifetime = object
            .get("expires_in")
            .and_then(seconds)
            .unwrap_or(DEFAULT_CODE_LIFETIME)
            .min(LONGEST_CODE_LIFETIME);
        if lifetime <= TimeDelta::zero() {
            let message = format!("{} sent a device code that has already expired (`expires_in`)", self.url);
            return Err(Error::new(ErrorCode::BadResponse, message).with_hint(Hint::RetryLater));
        }
        let (code, device_code) = read_code(&object, lifetime).ok_or_else(|| {
            Error::new(ErrorCode::BadResponse, format!("{} answered without a device code", self.url))
        })?;
        context.prompt().show_code(&code);
        let interval = object.get("interval").and_then(seconds).and_then(|interval| interval.to_std().ok());
        Ok(Pending {
            device_code,
            expires_at: response.sent_at.checked_add_signed(lifetime).unwrap_or(DateTime::<Utc>::MAX_UTC),
            interval: interval.map_or(DEFAULT_INTERVAL, |interval| interval.max(Duration::from_secs(1))),
            timeouts: 0,
            fault: None,
            lost: false,
        })
    }

    async fn poll(&self, context: &Context, pending: &mut Pending) -> Result<Poll> {
        match self.token.poll(context, &pending.device_code, self.token_fields).await {
            Ok(polled) => {
                pending.timeouts = 0;
                pending.read(polled)
            }
            Err(error) if error.is_transient() => {
                tracing::info!(%error, "a poll of the device login failed; the login continues");
                let pause = pending.backoff(&error);
                pending.lost |= may_have_been_answered(&error);
                pending.fault = Some(error);
                Ok(Poll::Again(pause))
            }
            Err(error) => Err(error),
        }
    }
}

impl Pending {
    /// Reads a poll's response by its error code, because services differ in the status (Auth0 sends 403 and 429).
    fn read(&mut self, polled: Polled) -> Result<Poll> {
        let Polled { response, answer, refresh_token } = polled;
        self.fault = None;
        let (code, reason, fault) = match answer {
            Ok(answer) => return Ok(Poll::Approved(Approved::Granted(Box::new(answer)))),
            Err(Problem::Refused(refusal)) => (refusal.code, refusal.words, None),
            // A 429 or 5xx may contain an error code, and a malformed response may contain the refresh token.
            Err(Problem::Transient(fault)) => {
                if let Some(refresh_token) = refresh_token {
                    let only = Approved::OnlyRefreshToken(refresh_token, response.sent_at);
                    return Ok(Poll::Approved(only));
                }
                let code = response.json().and_then(|body| text(&body, "error").map(str::to_owned));
                (code, String::new(), Some(fault))
            }
        };
        match code.as_deref() {
            Some("authorization_pending") => Ok(Poll::Again(self.interval)),
            Some("slow_down") => {
                self.interval += SLOW_DOWN;
                Ok(Poll::Again(self.interval))
            }
            Some("access_denied") => Err(Error::new(ErrorCode::AccessDenied, "the login was denied")),
            Some("expired_token") => Err(expired()),
            Some("invalid_grant") if self.lost => Err(Error::login_required(
                "the response with the tokens was lost on the network, and the service sends it only once",
            )),
            _ if fault.is_some() => {
                // A service that answers 429 or 503 has not processed the request, so no tokens were lost.
                self.lost |= !matches!(response.status, 429 | 503);
                tracing::info!(
                    status = response.status,
                    "a poll of the device login got no usable response; the login continues"
                );
                self.fault = fault;
                Ok(Poll::Again(self.interval.max(response.retry_after().unwrap_or_default())))
            }
            _ => Err(Error::refused(format!("the service refused the login: {reason}"))),
        }
    }

    /// Returns the error for an expired code, which depends on whether the service answered the polls.
    fn timed_out(&self) -> Error {
        match &self.fault {
            Some(fault) => {
                let message =
                    format!("the device code expired while the service did not answer: {}", fault.message());
                Error::new(fault.code(), message)
                    .with_hint("log in again, even if you have approved the login")
            }
            None => expired(),
        }
    }

    /// Doubles the pause between polls after each timeout (RFC 8628 section 3.5).
    fn backoff(&mut self, error: &Error) -> Duration {
        if fault(error).is_some_and(|fault| fault.code == ErrorCode::Timeout) {
            self.timeouts += 1;
            return (self.interval * 2_u32.saturating_pow(self.timeouts))
                .min(LONGEST_BACKOFF.max(self.interval));
        }
        self.interval
    }
}

fn fault(error: &Error) -> Option<&HttpFault> {
    std::error::Error::source(error)?.downcast_ref()
}

/// Whether the response to a failed poll may have contained the tokens.
fn may_have_been_answered(error: &Error) -> bool {
    fault(error).is_some_and(|fault| fault.sent == RequestSent::Maybe)
}

fn read_code(object: &Map<String, Value>, lifetime: TimeDelta) -> Option<(DeviceCode, Secret)> {
    let code = DeviceCode {
        // Some services use the older name `verification_url`.
        verification_uri: text(object, "verification_uri")
            .or_else(|| text(object, "verification_url"))?
            .to_owned(),
        verification_uri_complete: text(object, "verification_uri_complete").map(str::to_owned),
        user_code: text(object, "user_code")?.to_owned(),
        expires_in: lifetime.to_std().ok()?,
    };
    Some((code, Secret::new(text(object, "device_code")?)))
}

/// Waits until the next poll, and shows the remaining time.
async fn wait(context: &Context, pause: Duration, expires_at: DateTime<Utc>) -> Result<()> {
    let mut rest = pause;
    while !rest.is_zero() {
        let left = (expires_at - context.now()).to_std().unwrap_or_default();
        if left.is_zero() {
            return Ok(());
        }
        context.prompt().waiting(left);
        let step = rest.min(TICK).min(left);
        context.pause(step).await?;
        rest = rest.saturating_sub(step);
    }
    Ok(())
}

fn expired() -> Error {
    Error::new(ErrorCode::LoginTimeout, "the device code expired before the user approved the login")
}
