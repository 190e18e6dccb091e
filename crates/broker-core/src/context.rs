//! The world as a provider sees it: everything that is not the record comes from here.

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
    Repeat, RequestSent, Result, Token, TokenRequest,
};

/// A request that gets no answer within this time is given up, unless the configuration says another.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// A service that wants to be left alone for longer than this is told to the caller instead of waited for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(5);

/// HTTP client, clock, environment and the person, injected. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    world: Arc<World>,
    timeout: Duration,
    began_at: DateTime<Utc>,
    section: Arc<InFlight>,
    trail: Arc<DeliveryStatus>,
    told: Arc<Mutex<Vec<String>>>,
    cancelled: Option<watch::Receiver<()>>,
    others: Option<Arc<dyn OtherProviders>>,
}

/// The tokens of other providers, for one whose tokens are had with another's.
#[async_trait]
pub(crate) trait OtherProviders: Send + Sync {
    /// A token, as any caller gets it.
    async fn token(&self, provider: &str, request: &TokenRequest) -> Result<Token>;
}

struct World {
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
    env: Arc<dyn Env>,
    person: Arc<dyn Prompt>,
}

impl Context {
    /// A context of these parts.
    pub fn new(
        http: Arc<dyn Http>,
        clock: Arc<dyn Clock>,
        env: Arc<dyn Env>,
        person: Arc<dyn Prompt>,
    ) -> Self {
        let section = Arc::new(InFlightOperations::new().section());
        let began_at = clock.now();
        let world = Arc::new(World { http, clock, env, person });
        let (trail, told) = (Arc::default(), Arc::default());
        Self {
            world,
            timeout: DEFAULT_TIMEOUT,
            began_at,
            section,
            trail,
            told,
            cancelled: None,
            others: None,
        }
    }

    /// The context of one operation: it ends early when the sender of `cancelled` is dropped, but not in its
    /// section.
    pub(crate) fn of_operation(
        &self,
        timeout: Duration,
        section: Arc<InFlight>,
        trail: Arc<DeliveryStatus>,
        cancelled: watch::Receiver<()>,
        others: Arc<dyn OtherProviders>,
    ) -> Self {
        let (world, began_at, told) = (self.world.clone(), self.now(), Arc::default());
        let (cancelled, others) = (Some(cancelled), Some(others));
        Self { world, timeout, began_at, section, trail, told, cancelled, others }
    }

    /// The wall clock.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.world.clock.now()
    }

    /// When the operation began: what was issued since then is of its own making, or was made while it waited.
    #[must_use]
    pub fn began_at(&self) -> DateTime<Utc> {
        self.began_at
    }

    /// The environment.
    #[must_use]
    pub fn env(&self) -> &dyn Env {
        self.world.env.as_ref()
    }

    /// A name for a token that a service lists, which a person recognises there: `broker-HOST-DATE-RANDOM`.
    #[must_use]
    pub fn token_name(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let host = self.env().host_name();
        let host: String = host.split('.').next().unwrap_or_default().chars().map(plain).take(24).collect();
        format!("broker-{host}-{}-{:06x}", self.now().format("%Y%m%d"), fastrand::u32(..1 << 24))
    }

    /// The person who may sit there.
    #[must_use]
    pub fn person(&self) -> &dyn Prompt {
        self.world.person.as_ref()
    }

    /// Whether nobody waits for the operation any more.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.as_ref().is_some_and(|cancelled| cancelled.has_changed().is_err())
    }

    /// The token of another provider, as any caller gets it: held, or had and saved under that provider's own lock.
    pub async fn token_of(&self, provider: &str, request: &TokenRequest) -> Result<Token> {
        match &self.others {
            Some(others) => others.token(provider, request).await,
            None => {
                Err(Error::failed("tokens of other providers are had in an operation of the broker only"))
            }
        }
    }

    /// The bound of one exchange: the `timeout` of the configuration.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Waits, or returns at once with [`crate::ErrorKind::Cancelled`] when nobody waits for the operation any more.
    pub async fn pause(&self, duration: Duration) -> Result<()> {
        tokio::select! {
            () = self.world.clock.sleep(duration) => Ok(()),
            error = self.gone() => Err(error),
        }
    }

    /// Waits until nobody waits for the operation any more, and says so.
    pub(crate) async fn gone(&self) -> Error {
        match self.cancelled.clone() {
            // Nothing is ever sent: a change is the sender's end.
            Some(mut cancelled) => while cancelled.changed().await.is_ok() {},
            None => std::future::pending().await,
        }
        cancelled()
    }

    /// An error if nobody waits for the operation any more. What is done without a wait lets nobody notice that a signal
    /// has come: here somebody can.
    pub(crate) async fn check_not_cancelled(&self) -> Result<()> {
        tokio::task::yield_now().await;
        if self.is_cancelled() { Err(cancelled()) } else { Ok(()) }
    }

    /// Sends a request and gives the answer whatever its status, but for redirects: they are not followed, so
    /// that a secret goes only where the configuration says.
    ///
    /// This is the one owner of retries: see [`Repeat`]. From here until the broker has saved what came of
    /// it, or the provider says [`Context::nothing_issued`], a signal waits.
    pub async fn send(&self, request: &HttpRequest) -> Result<HttpResponse> {
        self.check_not_cancelled().await?;
        self.section.begin();
        let sleeper = self.clone();
        let policy = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(250))
            .with_factor(4.0)
            .with_max_times(2)
            .with_jitter();
        let mut cuts = 0;
        let outcome = (|| self.attempt(request))
            .retry(policy)
            .sleep(move |wait| {
                let context = sleeper.clone();
                // A cancelled wait ends at once, and the attempt after it sends nothing.
                async move { drop(context.pause(wait).await) }
            })
            .when(|miss| {
                cuts += usize::from(miss.is_cut());
                miss.may_repeat(request.repeat(), cuts)
            })
            .adjust(|miss, wait| match miss.retry_after() {
                Some(asked) if asked > LONGEST_RETRY_AFTER => None,
                Some(asked) => wait.map(|wait| wait.max(asked)),
                None if request.repeat() == Repeat::SpendsGrant && miss.is_cut() => {
                    wait.map(|_| Duration::ZERO)
                }
                None => wait,
            })
            .await;
        match outcome {
            Ok(response) if (300..400).contains(&response.status) => Err(redirected(request, &response)),
            Ok(response) | Err(AttemptFailure::Answer(response)) => Ok(response),
            Err(AttemptFailure::Cancelled) => Err(cancelled()),
            Err(AttemptFailure::Fault(fault)) => {
                let message = format!("cannot reach {}: {fault}", request.url());
                Err(Error::new(fault.code, message).with_hint(network_hint(&fault)).with_source(fault))
            }
        }
    }

    /// Sends it once, and notes how far it came.
    async fn attempt(&self, request: &HttpRequest) -> Result<HttpResponse, AttemptFailure> {
        if self.is_cancelled() {
            return Err(AttemptFailure::Cancelled);
        }
        let sent_at = self.now();
        tracing::debug!(?request, "sending");
        let mut response = match self.world.http.send(request, self.timeout).await {
            Ok(response) => response,
            Err(fault) => {
                tracing::debug!(%fault, "no answer");
                if fault.sent == RequestSent::Maybe {
                    self.trail.lose_answer();
                }
                return Err(AttemptFailure::Fault(fault));
            }
        };
        response.sent_at = sent_at;
        tracing::debug!(status = response.status, "answered");
        match response.status {
            200..300 => self.trail.answer(),
            // Not even looked at.
            429 | 503 => {}
            // The service broke down on the way, or a gateway waits no longer while the service acts.
            500.. => self.trail.lose_answer(),
            _ => {}
        }
        if response.is_transient() { Err(AttemptFailure::Answer(response)) } else { Ok(response) }
    }

    /// Does an exchange that is no HTTP request: from here until the broker has saved what came of it, or the provider
    /// says [`Context::nothing_issued`], a signal waits. An error of `work` means that something may have been given
    /// and its answer is lost, unless it is a refusal.
    pub async fn exchange<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.check_not_cancelled().await?;
        self.section.begin();
        let done = work.await;
        match &done {
            Ok(_) => self.trail.answer(),
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Failed) => {
                self.trail.lose_answer();
            }
            Err(_) => {}
        }
        done
    }

    /// Says something to the person once what the exchange brought is saved: a terminal that stands still must not stand
    /// between an answer and its save.
    pub fn notify_after_save(&self, message: String) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    }

    /// Says what waits to be said.
    pub(crate) fn flush_notices(&self) {
        let told = std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner));
        for message in told {
            self.person().notify(&message);
        }
    }

    /// The last answer gave nothing that has to be saved (a poll that is still pending, say): from here a
    /// signal need not wait.
    pub fn nothing_issued(&self) {
        self.section.end();
    }
}

fn network_hint(fault: &HttpFault) -> Hint {
    match fault.code {
        ErrorCode::TlsUntrusted => Hint::from(
            "check the date of this machine; behind a proxy that inspects TLS, set SSL_CERT_FILE to its certificate",
        ),
        _ if fault.sent == RequestSent::No => {
            Hint::from("check the network; behind a proxy set HTTPS_PROXY, then try again")
        }
        _ => Hint::RetryLater,
    }
}

fn cancelled() -> Error {
    Error::new(ErrorCode::Cancelled, "the caller stopped waiting")
}

fn redirected(request: &HttpRequest, response: &HttpResponse) -> Error {
    // Only where to: the rest may repeat what was sent.
    let to = response.header("location").and_then(|to| Url::parse(to).ok());
    let to = to.map_or_else(|| "another page".to_owned(), |to| to.origin().ascii_serialization());
    Error::unavailable(format!(
        "{} answered with a redirect to {to}, which is not followed: a secret goes only where the configuration says",
        request.url()
    ))
    .with_hint("if the service has moved, correct its URL in the configuration; if this is a network's sign-in page, sign in there")
}

/// An attempt without the answer that was hoped for.
enum AttemptFailure {
    /// Nobody waits for the operation any more: it was not sent.
    Cancelled,
    Fault(HttpFault),
    Answer(HttpResponse),
}

impl AttemptFailure {
    /// `cuts`: how often the connection was cut so far, this time included.
    fn may_repeat(&self, repeat: Repeat, cuts: usize) -> bool {
        match (repeat, self) {
            (Repeat::Never, _) | (_, Self::Cancelled) => false,
            (_, Self::Fault(fault)) if fault.sent == RequestSent::No => !fault.timed_out(),
            (_, Self::Answer(response)) if response.status == 429 => true,
            (Repeat::SpendsGrant, miss) => miss.is_cut() && cuts == 1,
            (Repeat::IfNotActed, _) => false,
            (Repeat::Safe, Self::Fault(fault)) => !fault.timed_out(),
            (Repeat::Safe, Self::Answer(_)) => true,
        }
    }

    /// Whether the connection was cut after the request was sent.
    fn is_cut(&self) -> bool {
        matches!(self, Self::Fault(fault) if fault.sent == RequestSent::Maybe && !fault.timed_out())
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answer(response) => response.retry_after(),
            Self::Fault(_) | Self::Cancelled => None,
        }
    }
}
