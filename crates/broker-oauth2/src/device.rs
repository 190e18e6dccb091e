//! The device authorization grant (RFC 8628): a person approves in a browser, wherever that is.

use std::time::Duration;

use broker_core::{
    Context, DeviceCode, Error, ErrorCode, HttpFault, Problem, Repeat, RequestSent, Result, Secret,
    ServiceUrl, read_object, seconds,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use crate::answer::text;
use crate::token::Polled;
use crate::{Approved, TokenEndpoint};

/// If the service names none (RFC 8628 section 3.2).
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);

/// How much slower every poll gets after a `slow_down` (RFC 8628 section 3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// If the service names none, although it must.
const DEFAULT_CODE_LIFE: TimeDelta = TimeDelta::minutes(10);

/// Nobody waits longer for an approval.
const LONGEST_CODE_LIFE: TimeDelta = TimeDelta::hours(1);

/// How often a person sees the time that is left.
const TICK: Duration = Duration::from_secs(1);

/// The longest pause after polls that found no connection.
const LONGEST_BACKOFF: Duration = Duration::from_mins(1);

/// A device flow about to begin.
#[derive(Debug, Clone, Copy)]
pub struct DeviceFlow<'a> {
    /// The device authorization endpoint.
    pub url: &'a ServiceUrl,
    /// Where to poll, and who asks.
    pub token: TokenEndpoint<'a>,
    /// `scope`, `audience` and the like: the fields of the first request, beside the client's own.
    pub fields: &'a [(&'a str, &'a str)],
    /// Extra fields of the polls.
    pub token_fields: &'a [(&'a str, &'a str)],
}

/// Where a flow stands.
struct Pending {
    device_code: Secret,
    expires_at: DateTime<Utc>,
    interval: Duration,
    /// Polls in a row that timed out.
    timeouts: u32,
    /// Why the last poll got no answer of use, if so.
    fault: Option<Error>,
    /// Whether the answer to a poll was lost: it may have been the approval.
    lost: bool,
}

/// What a poll means.
enum Poll {
    Approved(Approved),
    /// Not yet: wait at least this long.
    Again(Duration),
}

impl DeviceFlow<'_> {
    /// Shows a person the code and waits for the approval. Network faults, 429, 5xx and web pages are waited out
    /// until the code expires.
    pub async fn run(&self, context: &Context) -> Result<Approved> {
        let mut pending = self.begin(context).await?;
        let mut pause = pending.interval;
        loop {
            wait(context, pause, pending.expires_at).await?;
            if context.now() >= pending.expires_at {
                return Err(pending.ran_out());
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

    /// Asks for a code (RFC 8628 section 3.1): it gives nothing yet, so it may be repeated.
    async fn begin(&self, context: &Context) -> Result<Pending> {
        let response = self.token.send_to(context, self.url, self.fields, Repeat::Safe).await?;
        context.nothing_issued();
        let object = read_object(&response, self.url, self.token.client.secret().as_slice())
            .map_err(|problem| self.token.error(problem, "the service refused to begin a login"))?;
        let life =
            object.get("expires_in").and_then(seconds).unwrap_or(DEFAULT_CODE_LIFE).min(LONGEST_CODE_LIFE);
        if life <= TimeDelta::zero() {
            let url = self.url;
            return Err(Error::unavailable(format!("the code of {url} is over as it comes (`expires_in`)"))
                .with_hint("try again later"));
        }
        let (code, device_code) = read_code(&object, life)
            .ok_or_else(|| Error::unavailable(format!("{} answered without a code", self.url)))?;
        context.prompt().show_code(&code);
        let interval = object.get("interval").and_then(seconds).and_then(|interval| interval.to_std().ok());
        Ok(Pending {
            device_code,
            expires_at: response.sent_at.checked_add_signed(life).unwrap_or(DateTime::<Utc>::MAX_UTC),
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
                tracing::info!(%error, "a poll failed, the login goes on");
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
    /// What the service says, by its error code, whatever the HTTP status (RFC 8628 section 3.5; Auth0 sends
    /// 403 and 429).
    fn read(&mut self, polled: Polled) -> Result<Poll> {
        let Polled { response, answer, refresh_token } = polled;
        self.fault = None;
        let (code, words, fault) = match answer {
            Ok(answer) => return Ok(Poll::Approved(Approved::Granted(Box::new(answer)))),
            Err(Problem::Refused(refusal)) => (refusal.code, refusal.words, None),
            // A 429 or 5xx may still say what it means; half an answer may hold the login.
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
                self.interval += SLOWER;
                Ok(Poll::Again(self.interval))
            }
            Some("access_denied") => {
                Err(Error::new(ErrorCode::AccessDenied, "the login was denied on its page"))
            }
            Some("expired_token") => Err(expired()),
            Some("invalid_grant") if self.lost => Err(Error::login_required(
                "the login was approved, it seems, but the answer that said so was lost on the way",
            )),
            _ if fault.is_some() => {
                // These were not even looked at.
                self.lost |= !matches!(response.status, 429 | 503);
                tracing::info!(status = response.status, "a poll got no answer of use, the login goes on");
                self.fault = fault;
                Ok(Poll::Again(self.interval.max(response.retry_after().unwrap_or_default())))
            }
            _ => Err(Error::refused(format!("the login failed: {words}"))),
        }
    }

    /// The code has expired: because nobody approved it, or because nobody could be asked.
    fn ran_out(&self) -> Error {
        match &self.fault {
            Some(fault) => {
                Error::unavailable(format!("the code expired while there was no answer: {}", fault.message()))
                    .with_hint("approved or not, log in again")
            }
            None => expired(),
        }
    }

    /// Polls that time out get rarer (RFC 8628 section 3.5).
    fn backoff(&mut self, error: &Error) -> Duration {
        if fault(error).is_some_and(HttpFault::timed_out) {
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

/// Whether a poll without an answer may have been the one that was granted.
fn may_have_been_answered(error: &Error) -> bool {
    fault(error).is_some_and(|fault| fault.sent == RequestSent::Maybe)
}

fn read_code(object: &Map<String, Value>, life: TimeDelta) -> Option<(DeviceCode, Secret)> {
    let code = DeviceCode {
        // `verification_url` is what it was called before the RFC, and still is here and there.
        verification_uri: text(object, "verification_uri")
            .or_else(|| text(object, "verification_url"))?
            .to_owned(),
        verification_uri_complete: text(object, "verification_uri_complete").map(str::to_owned),
        user_code: text(object, "user_code")?.to_owned(),
        expires_in: life.to_std().ok()?,
    };
    Some((code, Secret::new(text(object, "device_code")?)))
}

/// Waits in steps, so that a person sees the time pass.
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
    Error::new(ErrorCode::LoginTimeout, "the code expired before the login was approved")
}
