//! One operation of the broker: a renewal, a login or a logout.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::watch;

use crate::context::{Context, Env, Problem, Prompt};
use crate::error::{Error, ErrorCode, ErrorKind, Result};
use crate::provider::delivery::DeliveryStatus;
use crate::provider::in_flight::{InFlight, InFlightOperations};
use crate::record::RecordUpdate;
use crate::token::{ScopeKey, Token, TokenRequest, bounds};

/// The timeout of an HTTP request, unless the configuration sets another.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// One operation of the broker for one caller, such as a renewal or a login: its world, its timeout, and what has
/// become of its requests. Providers send their requests with it.
pub struct Operation {
    context: Context,
    timeout: Duration,
    began_at: DateTime<Utc>,
    pub(crate) in_flight: InFlight,
    pub(crate) delivery: DeliveryStatus,
    notices: Mutex<Vec<String>>,
    after_save: Mutex<Vec<AfterSave>>,
    caller: Option<watch::Receiver<()>>,
    others: Option<Arc<dyn OtherProviders>>,
}

/// Gets tokens of other providers, for a provider that exchanges another provider's token for its own.
#[async_trait]
pub(crate) trait OtherProviders: Send + Sync {
    async fn token(&self, provider: &str, request: &TokenRequest) -> Result<Token>;
}

type AfterSave = Box<dyn FnOnce() + Send>;

impl Operation {
    /// Creates an operation outside a broker, for tests of providers.
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self {
            timeout: DEFAULT_TIMEOUT,
            began_at: context.now(),
            in_flight: InFlightOperations::default().operation(),
            delivery: DeliveryStatus::default(),
            notices: Mutex::default(),
            after_save: Mutex::default(),
            caller: None,
            others: None,
            context,
        }
    }

    /// Creates an operation for a caller. Dropping the sender of `caller` cancels the operation, except while a response
    /// may still have to be saved.
    pub(crate) fn of_caller(
        context: Context,
        timeout: Duration,
        in_flight: InFlight,
        caller: watch::Receiver<()>,
        others: Arc<dyn OtherProviders>,
    ) -> Self {
        // Prevents overflows of deadlines.
        let timeout = timeout.min(bounds::LONGEST.to_std().unwrap_or_default());
        Self { timeout, in_flight, caller: Some(caller), others: Some(others), ..Self::new(context) }
    }

    /// Returns the world of the operation.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Returns the current wall-clock time.
    pub fn now(&self) -> DateTime<Utc> {
        self.context.now()
    }

    /// Returns the environment variables and files.
    pub fn env(&self) -> &dyn Env {
        self.context.env()
    }

    /// Returns the user prompt.
    pub fn prompt(&self) -> &dyn Prompt {
        self.context.prompt()
    }

    /// Returns when the operation began. A token that was issued later comes from this operation, or from an
    /// operation for which this operation waited.
    pub fn began_at(&self) -> DateTime<Utc> {
        self.began_at
    }

    /// Drops the default access token if the service refused it (HTTP 401) and the token is older than this operation. The
    /// broker then gets a new token and repeats the request. Fails with any other problem.
    pub fn drop_refused(&self, token: &Token, problem: Problem) -> Result<RecordUpdate, Problem> {
        let is_refused = matches!(&problem, Problem::Refused(refusal) if refusal.status == 401);
        if is_refused && token.issued_at() <= self.began_at {
            return Ok(RecordUpdate::drop_token(&ScopeKey::default()));
        }
        Err(problem)
    }

    /// Returns a name for a new token, which identifies this host in the service's list of tokens:
    /// `broker-HOST-DATE-RANDOM`.
    pub fn token_name(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let host = self.env().host_name();
        let host: String = host.split('.').next().unwrap_or_default().chars().map(plain).take(24).collect();
        format!("broker-{host}-{}-{:06x}", self.now().format("%Y%m%d"), fastrand::u32(..1 << 24))
    }

    /// Whether the caller no longer waits for the operation's result.
    pub fn is_cancelled(&self) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.has_changed().is_err())
    }

    /// Returns another provider's stored token, or gets a new one under that provider's lock.
    pub async fn token_of(&self, provider: &str, request: &TokenRequest) -> Result<Token> {
        match &self.others {
            Some(others) => others.token(provider, request).await,
            None => Err(Error::new(
                ErrorCode::Internal,
                "cannot get another provider's token: the operation was not created by a call of the broker",
            )),
        }
    }

    /// Returns the configured timeout of an HTTP request.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sleeps for `duration`. Fails at once with [`crate::error::ErrorKind::Cancelled`] when the caller stops waiting.
    pub async fn pause(&self, duration: Duration) -> Result<()> {
        tokio::select! {
            () = self.context.clock().sleep(duration) => Ok(()),
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

    /// Whether the service may have acted on a request of this operation whose response is lost.
    pub fn lost_response(&self) -> bool {
        self.delivery.get().lost_response()
    }

    /// Gets a token with `work`, which uses something other than HTTP, such as a program. After an error that is no
    /// refusal, the broker assumes that a token may exist. Delays termination signals like [`Operation::send`].
    pub async fn exchange<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.check_not_cancelled().await?;
        self.in_flight.begin();
        let done = work.await;
        let mut delivery = self.delivery.get();
        match &done {
            Ok(_) => delivery.answered = true,
            Err(error) if error.kind() == ErrorKind::Failed || error.code() == ErrorCode::Timeout => {
                delivery.unanswered = true;
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => delivery.failed = true,
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

    /// Runs the work of [`Operation::after_save`], then shows the messages of [`Operation::notify_after_save`].
    pub(crate) fn run_after_save(&self) {
        for work in std::mem::take(&mut *self.after_save.lock().unwrap_or_else(PoisonError::into_inner)) {
            work();
        }
        for message in std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner)) {
            self.prompt().notify(&message);
        }
    }

    /// Reports that the last response contains no token to save, for example a pending login. Termination
    /// signals are then handled at once.
    pub fn nothing_issued(&self) {
        self.in_flight.end();
    }
}

pub(super) fn cancelled() -> Error {
    Error::new(ErrorCode::Cancelled, "the call was cancelled: the caller stopped waiting")
}
