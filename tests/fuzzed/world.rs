//! Replacements for network, clock, environment and prompt, which make fuzzing fast and deterministic.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use broker_core::{
    Clock, Context, DeviceCode, Env, Error, ErrorCode, Http, HttpFault, HttpResponse, Prompt, RequestSent,
    Result, Secret,
};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderName, HeaderValue};
use tokio::sync::Notify;

/// The byte that separates the parts of a fuzz input.
pub(super) const PART: u8 = 0x1e;

/// Splits a fuzz input at the first separator byte. Without a separator, the second part is empty.
pub(super) fn split_at_part(input: &[u8]) -> (&[u8], &[u8]) {
    let end = input.iter().position(|byte| *byte == PART).unwrap_or(input.len());
    (&input[..end], input.get(end + 1..).unwrap_or_default())
}

/// Returns the clock's time at the start of each fuzz input.
pub(super) fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_348_800, 0).expect("2026-11-22T12:00:00Z")
}

/// Parses a fuzz input as a response that was sent at [`start`].
pub(super) fn response(bytes: &[u8]) -> HttpResponse {
    HttpResponse::new(http_response(bytes), start())
}

/// Parses a fuzz input as a response: status, header lines, an empty line, the body. Missing parts are empty.
fn http_response(bytes: &[u8]) -> http::Response<Bytes> {
    let end = bytes.windows(2).position(|two| two == b"\n\n").unwrap_or(bytes.len());
    let body = bytes.get(end + 2..).unwrap_or_default();
    let mut lines = bytes[..end].split(|byte| *byte == b'\n').map(String::from_utf8_lossy);
    // An HTTP client never returns an informational (1xx) status.
    let status = lines.next().and_then(|line| line.trim().parse().ok());
    let status = status.filter(|status| (200..1000).contains(status)).unwrap_or(200);
    let mut response = http::Response::builder().status(status);
    for line in lines {
        if let Some((name, value)) = line.split_once(':')
            && let (Ok(name), Ok(value)) =
                (name.trim().parse::<HeaderName>(), HeaderValue::from_str(value.trim()))
        {
            response = response.header(name, value);
        }
    }
    response.body(Bytes::copy_from_slice(body)).expect("a response")
}

/// An HTTP client that returns these responses in order, then timeouts.
#[derive(Default)]
pub(super) struct Answers {
    left: Mutex<VecDeque<Vec<u8>>>,
    clock: WorldClock,
}

#[async_trait]
impl Http for Answers {
    async fn send(
        &self,
        _request: http::Request<Bytes>,
        _timeout: Duration,
    ) -> Result<http::Response<Bytes>, HttpFault> {
        self.clock.advance(TimeDelta::milliseconds(1300));
        match self.left.lock().unwrap().pop_front() {
            Some(bytes) => Ok(http_response(&bytes)),
            None => Err(HttpFault::new(RequestSent::Maybe, ErrorCode::Timeout, "no response".to_owned())),
        }
    }
}

/// The maximum number of sleeps per fuzz input. Without a limit, a login could poll for years of the fake clock.
const MOST_SLEEPS: usize = 300;

/// A clock whose sleeps return at once and advance its time.
#[derive(Clone, Default)]
pub(super) struct WorldClock(Arc<Time>);

#[derive(Default)]
struct Time {
    since_start: Mutex<TimeDelta>,
    sleeps: AtomicUsize,
    enough: Notify,
}

impl WorldClock {
    pub(super) fn advance(&self, by: TimeDelta) {
        *self.0.since_start.lock().unwrap() += by;
    }

    /// Runs a future, and cancels the future after too many sleeps of the fake clock.
    pub(super) async fn bounded<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            ended = work => ended,
            () = self.0.enough.notified() => Err(Error::new(ErrorCode::Cancelled, "too many sleeps")),
        }
    }
}

#[async_trait]
impl Clock for WorldClock {
    fn now(&self) -> DateTime<Utc> {
        start() + *self.0.since_start.lock().unwrap()
    }

    async fn sleep(&self, duration: Duration) {
        if self.0.sleeps.fetch_add(1, Ordering::SeqCst) >= MOST_SLEEPS {
            self.0.enough.notify_one();
            std::future::pending::<()>().await;
        }
        self.advance(TimeDelta::from_std(duration).unwrap_or_default().min(TimeDelta::days(365)));
    }
}

/// The broker's environment in fuzz tests: these variables. All files have one content, all commands one output.
#[derive(Default)]
pub(super) struct WorldEnv(pub(super) BTreeMap<String, String>);

#[async_trait]
impl Env for WorldEnv {
    fn var(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|value| !value.is_empty()).cloned()
    }

    fn vars(&self, prefix: &str) -> Vec<(String, String)> {
        let ours = self.0.iter().filter(|(name, _)| name.starts_with(prefix));
        ours.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn home(&self) -> Option<PathBuf> {
        None
    }

    fn host_name(&self) -> String {
        "fuzzed.example.org".to_owned()
    }

    fn read_secret(&self, path: &Path) -> std::io::Result<Secret> {
        // The fuzz environment has no login files of EarthScope's and EarthDaily's own tools.
        if path.components().any(|part| part.as_os_str().to_string_lossy().contains("earth")) {
            return Err(std::io::ErrorKind::NotFound.into());
        }
        Ok(Secret::new("from-a-file"))
    }

    async fn run_secret(&self, _command: &[String], _without: &[String]) -> std::io::Result<Secret> {
        Ok(Secret::new("from-a-command"))
    }
}

/// A prompt that records the messages to the user.
#[derive(Default)]
pub(super) struct Notices(pub(super) Mutex<Vec<String>>);

#[async_trait]
impl Prompt for Notices {
    async fn ask(&self, _question: &str) -> Result<String> {
        Ok("someone@example.org".to_owned())
    }

    async fn ask_hidden(&self, _question: &str) -> Result<Secret> {
        Ok(Secret::new("a-password"))
    }

    fn show_code(&self, _code: &DeviceCode) {}

    fn waiting(&self, _left: Duration) {}

    fn notify(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

/// A provider context whose HTTP client returns prepared responses.
pub(super) struct World {
    pub(super) clock: WorldClock,
    pub(super) prompt: Arc<Notices>,
    pub(super) context: Context,
}

impl World {
    pub(super) fn new<'a>(answers: impl Iterator<Item = &'a [u8]>) -> Self {
        let (clock, prompt) = (WorldClock::default(), Arc::new(Notices::default()));
        let left = Mutex::new(answers.map(<[u8]>::to_vec).collect());
        let http = Arc::new(Answers { left, clock: clock.clone() });
        let env = Arc::new(WorldEnv::default());
        let context = Context::new(http, Arc::new(clock.clone()), env, prompt.clone());
        Self { clock, prompt, context }
    }
}

pub(super) fn block_on<T>(work: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    }
    RUNTIME.with(|runtime| runtime.block_on(work))
}

/// Calls `work` with a folder for all fuzz inputs of a thread. The folder is in memory where possible.
pub(super) fn in_folder<T>(work: impl FnOnce(&Path) -> T) -> T {
    thread_local! {
        static FOLDER: tempfile::TempDir = {
            let memory = Path::new("/dev/shm");
            tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap()
        };
    }
    FOLDER.with(|folder| work(folder.path()))
}
