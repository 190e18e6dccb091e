//! The context of a provider: HTTP client, clock, environment and user prompt.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable};
use chrono::{DateTime, Utc};
use tokio::sync::watch;
use url::Url;

use crate::delivery::DeliveryStatus;
use crate::in_flight::{InFlight, InFlightOperations};
use crate::{
    Clock, Env, Error, ErrorCode, ErrorKind, Hint, Http, HttpFault, HttpRequest, HttpResponse, Prompt,
    Repeat, RequestSent, Result, Token, TokenRequest, bounds, salvage,
};

/// The timeout of an HTTP request, unless the configuration sets another.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest `Retry-After` pause for which a request waits. With a longer one, the request fails at once.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(5);

/// The HTTP client, clock, environment and user prompt of the process. Clones are cheap.
#[derive(Clone)]
pub struct Context {
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
    env: Arc<dyn Env>,
    prompt: Arc<dyn Prompt>,
    timeout: Duration,
    began_at: DateTime<Utc>,
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) delivery: Arc<DeliveryStatus>,
    notices: Arc<Mutex<Vec<String>>>,
    after_save: Arc<Mutex<Vec<AfterSave>>>,
    caller: Option<watch::Receiver<()>>,
    others: Option<Arc<dyn OtherProviders>>,
}

/// Gets tokens of other providers, for a provider that exchanges another provider's token for its own.
#[async_trait]
pub(crate) trait OtherProviders: Send + Sync {
    async fn token(&self, provider: &str, request: &TokenRequest) -> Result<Token>;
}

type AfterSave = Box<dyn FnOnce() + Send>;

impl Context {
    /// Creates a context from its parts.
    pub fn new(
        http: Arc<dyn Http>,
        clock: Arc<dyn Clock>,
        env: Arc<dyn Env>,
        prompt: Arc<dyn Prompt>,
    ) -> Self {
        Self {
            timeout: DEFAULT_TIMEOUT,
            began_at: clock.now(),
            in_flight: Arc::new(InFlightOperations::new().operation()),
            delivery: Arc::default(),
            notices: Arc::default(),
            after_save: Arc::default(),
            caller: None,
            others: None,
            http,
            clock,
            env,
            prompt,
        }
    }

    /// Creates the context of one operation. Dropping the sender of `caller` cancels the operation, except while
    /// a response may still have to be saved.
    pub(crate) fn of_operation(
        &self,
        timeout: Duration,
        in_flight: InFlight,
        caller: watch::Receiver<()>,
        others: Arc<dyn OtherProviders>,
    ) -> Self {
        Self {
            // Prevents overflows of deadlines.
            timeout: timeout.min(bounds::LONGEST.to_std().unwrap_or_default()),
            began_at: self.now(),
            in_flight: Arc::new(in_flight),
            delivery: Arc::default(),
            notices: Arc::default(),
            after_save: Arc::default(),
            caller: Some(caller),
            others: Some(others),
            ..self.clone()
        }
    }

    /// Returns the current wall-clock time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        bounds::limit(self.clock.now())
    }

    /// Returns when the operation began. A token that was issued later comes from this operation, or from an
    /// operation for which this operation waited.
    #[must_use]
    pub fn began_at(&self) -> DateTime<Utc> {
        self.began_at
    }

    /// Returns the environment variables and files.
    #[must_use]
    pub fn env(&self) -> &dyn Env {
        self.env.as_ref()
    }

    /// Returns a name for a new token, which identifies this host in the service's list of tokens:
    /// `broker-HOST-DATE-RANDOM`.
    #[must_use]
    pub fn token_name(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let host = self.env().host_name();
        let host: String = host.split('.').next().unwrap_or_default().chars().map(plain).take(24).collect();
        format!("broker-{host}-{}-{:06x}", self.now().format("%Y%m%d"), fastrand::u32(..1 << 24))
    }

    /// Returns the user prompt.
    #[must_use]
    pub fn prompt(&self) -> &dyn Prompt {
        self.prompt.as_ref()
    }

    /// Whether the caller no longer waits for the operation's result.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.has_changed().is_err())
    }

    /// Returns another provider's stored token, or gets a new one under that provider's lock.
    pub async fn token_of(&self, provider: &str, request: &TokenRequest) -> Result<Token> {
        match &self.others {
            Some(others) => others.token(provider, request).await,
            None => Err(Error::new(
                ErrorCode::Internal,
                "cannot get another provider's token: the context was not created by a call of the broker",
            )),
        }
    }

    /// Returns the configured timeout of an HTTP request.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sleeps for `duration`. Fails at once with [`crate::ErrorKind::Cancelled`] when the caller stops waiting.
    pub async fn pause(&self, duration: Duration) -> Result<()> {
        tokio::select! {
            () = self.clock.sleep(duration) => Ok(()),
            error = self.cancelled() => Err(error),
        }
    }

    /// Completes when the caller stops waiting, and returns the error for the cancelled operation.
    pub(crate) async fn cancelled(&self) -> Error {
        match self.caller.clone() {
            // `changed` fails once the caller's future is dropped, because that also drops the sender.
            Some(mut caller) => while caller.changed().await.is_ok() {},
            None => std::future::pending().await,
        }
        cancelled()
    }

    /// Fails if the caller no longer waits. Yields first, because the runtime may have to handle a
    /// termination signal.
    pub(crate) async fn check_not_cancelled(&self) -> Result<()> {
        tokio::task::yield_now().await;
        if self.is_cancelled() { Err(cancelled()) } else { Ok(()) }
    }

    /// Sends a request and returns the response, whatever its status. Fails on a redirect, because secrets are sent
    /// only to configured URLs.
    ///
    /// Retries a failed request as its [`Repeat`] allows. Termination signals are delayed until the broker has saved
    /// the result, or the provider calls [`Context::nothing_issued`].
    pub async fn send(&self, request: &HttpRequest) -> Result<HttpResponse> {
        self.check_not_cancelled().await?;
        self.in_flight.begin();
        let this = self.clone();
        let policy = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(250))
            .with_factor(4.0)
            .with_max_times(2)
            .with_jitter();
        let mut cuts = 0;
        let outcome = (|| self.attempt(request))
            .retry(policy)
            .sleep(move |wait| {
                let context = this.clone();
                // If the caller stops waiting during the pause, `attempt` fails before it sends the request.
                async move { drop(context.pause(wait).await) }
            })
            .when(|failure| {
                cuts += usize::from(failure.is_cut());
                failure.may_repeat(request.repeat, cuts)
            })
            .adjust(|failure, wait| match failure.retry_after() {
                Some(asked) if asked > LONGEST_RETRY_AFTER => None,
                Some(asked) => wait.map(|wait| wait.max(asked)),
                None if request.repeat == Repeat::SpendsGrant && failure.is_cut() => {
                    wait.map(|_| Duration::ZERO)
                }
                None => wait,
            })
            .await;
        match outcome {
            Ok(response) if (300..400).contains(&response.status) && !has_salvage(request, &response) => {
                Err(redirected(request, &response))
            }
            Ok(response) | Err(AttemptFailure::Response(response)) => Ok(response),
            Err(AttemptFailure::Cancelled) => Err(cancelled()),
            Err(AttemptFailure::Superseded) => Err(self.delivery.check_error().unwrap_or_else(superseded)),
            Err(AttemptFailure::Fault(fault)) => {
                let message = format!("cannot reach {}: {fault}", request.url);
                let hint = fault.hint.clone().map_or_else(|| network_hint(&fault), Hint::from);
                Err(Error::new(fault.code, message).with_hint(hint).with_source(fault))
            }
        }
    }

    /// Sends the request once, and records whether the service may have acted on the request.
    async fn attempt(&self, request: &HttpRequest) -> Result<HttpResponse, AttemptFailure> {
        if self.is_cancelled() {
            return Err(AttemptFailure::Cancelled);
        }
        let sent_at = self.now();
        tracing::debug!(?request, "sending");
        let request = &self.delivery.checked(request);
        // Not every HTTP client checks the request itself.
        if !request.may_send() {
            return Err(AttemptFailure::Superseded);
        }
        let answered = self.http.send(request, self.timeout).await.and_then(|response| match &response.cut {
            // A transient status and its pause count without the body.
            Some(fault) if !response.is_transient() && !has_salvage(request, &response) => Err(fault.clone()),
            _ => Ok(response),
        });
        let mut response = match answered {
            Ok(response) => response,
            Err(fault) if fault.sent == RequestSent::No && self.delivery.was_superseded() => {
                return Err(AttemptFailure::Superseded);
            }
            Err(fault) => {
                tracing::debug!(%fault, "no response");
                if fault.sent == RequestSent::Maybe {
                    self.delivery.lose_response();
                }
                return Err(AttemptFailure::Fault(fault));
            }
        };
        response.sent_at = sent_at;
        tracing::debug!(status = response.status, "answered");
        let is_salvaged = !response.is_success() && has_salvage(request, &response);
        match response.status {
            _ if is_salvaged => self.delivery.answer(),
            200..300 => self.delivery.answer(),
            // With 503, the service refused to process the request. With another 5xx status, the service may have
            // processed the request before the error.
            500.. if response.status != 503 => self.delivery.fail(),
            _ => {}
        }
        if response.is_transient() && !is_salvaged {
            return Err(AttemptFailure::Response(response));
        }
        Ok(response)
    }

    /// Whether the service may have acted on a request of this operation whose response is lost.
    #[must_use]
    pub fn lost_response(&self) -> bool {
        self.delivery.lost_response()
    }

    /// Gets a token with `work`, which uses something other than HTTP, such as a program. After an error that is no
    /// refusal, the broker assumes that a token may exist. Delays termination signals like [`Context::send`].
    pub async fn exchange<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.check_not_cancelled().await?;
        self.in_flight.begin();
        let done = work.await;
        match &done {
            Ok(_) => self.delivery.answer(),
            Err(error) if error.kind() == ErrorKind::Failed || error.code() == ErrorCode::Timeout => {
                self.delivery.lose_response();
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => self.delivery.fail(),
            Err(_) => {}
        }
        done
    }

    /// Shows a message to the user after the record is saved, because a blocked terminal must not delay the save.
    pub fn notify_after_save(&self, message: String) {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    }

    /// Runs `work` after the record is saved; `work` must not block. If nothing is saved, `work` does not run.
    pub fn after_save(&self, work: impl FnOnce() + Send + 'static) {
        self.after_save.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(work));
    }

    /// Runs the work of [`Context::after_save`], then shows the messages of [`Context::notify_after_save`].
    pub(crate) fn run_after_save(&self) {
        for work in std::mem::take(&mut *self.after_save.lock().unwrap_or_else(PoisonError::into_inner)) {
            work();
        }
        for message in std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner)) {
            self.prompt.notify(&message);
        }
    }

    /// Reports that the last response contains no token to save, for example a pending login. Termination
    /// signals are then handled at once.
    pub fn nothing_issued(&self) {
        self.in_flight.end();
    }
}

/// Whether an incomplete response contains the value that must not be lost.
fn has_salvage(request: &HttpRequest, response: &HttpResponse) -> bool {
    request.salvage().is_some_and(|path| salvage(response, path).is_some())
}

fn network_hint(fault: &HttpFault) -> Hint {
    match fault.sent {
        RequestSent::No => Hint::from("check the network; behind a proxy set HTTPS_PROXY, then try again"),
        RequestSent::Maybe => Hint::RetryLater,
    }
}

fn cancelled() -> Error {
    Error::new(ErrorCode::Cancelled, "the call was cancelled: the caller stopped waiting")
}

fn superseded() -> Error {
    let message = "another program replaced the refresh token before it was sent";
    Error::new(ErrorCode::LockTimeout, message).with_hint(Hint::RetryLater)
}

fn redirected(request: &HttpRequest, response: &HttpResponse) -> Error {
    // The target may repeat a secret of the request: the path and query, and even the host.
    let to = response.header("location").and_then(|to| Url::parse(to).ok());
    let to = match to {
        Some(to) if request.is_bare() => to.origin().ascii_serialization(),
        Some(_) => "another address".to_owned(),
        None => "another page".to_owned(),
    };
    Error::new(
        ErrorCode::RedirectRefused,
        format!("{} answered with a redirect to {to}, which is not followed", request.url),
    )
    .with_hint("if the redirect leads to a network's sign-in page, sign in there; if the service has moved, correct its URL in the configuration")
}

enum AttemptFailure {
    /// The caller stopped waiting, so the request was not sent.
    Cancelled,
    /// Another program replaced the refresh token, or may have, so the request was not sent.
    Superseded,
    Fault(HttpFault),
    /// A response with a transient HTTP status, such as 429 or 503.
    Response(HttpResponse),
}

impl AttemptFailure {
    /// Whether the request may be sent again. `cuts` counts the lost connections, including this attempt's.
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
    fn is_cut(&self) -> bool {
        matches!(self, Self::Fault(fault) if fault.sent == RequestSent::Maybe
            && !matches!(fault.code, ErrorCode::Timeout | ErrorCode::BadResponse))
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Response(response) => response.retry_after(),
            Self::Fault(_) | Self::Cancelled | Self::Superseded => None,
        }
    }
}
