//! The environment, prompt, store and HTTP client of a broker under test.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Bytes;
use axum::http::{HeaderValue, Request, Response};
use broker_core::{
    Broker, Context, DeviceCode, Entry, Env, Error, ErrorCode, FileStore, Http, HttpFault, Prompt, Provider,
    RequestSent, ReqwestHttp, Result, Secret, SystemEnv,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::TestClock;
use crate::fake::HANG_HEADER;

/// An environment that contains only the variables that a test sets.
#[derive(Debug, Clone, Default)]
pub struct TestEnv(BTreeMap<String, String>, Vec<String>);

impl TestEnv {
    /// Sets an environment variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Adds an environment variable that the broker must not pass to child processes. See [`Env::withheld`].
    #[must_use]
    pub fn withholding(mut self, name: &str) -> Self {
        self.1.push(name.to_owned());
        self
    }
}

#[async_trait]
impl Env for TestEnv {
    fn var(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    fn vars(&self, prefix: &str) -> Vec<(String, String)> {
        let ours = self.0.iter().filter(|(name, _)| name.starts_with(prefix));
        ours.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn withheld(&self) -> Vec<String> {
        self.1.clone()
    }

    fn home(&self) -> Option<PathBuf> {
        self.var("HOME").map(PathBuf::from)
    }

    fn host_name(&self) -> String {
        "testhost.example.org".to_owned()
    }

    fn read_secret(&self, path: &Path) -> std::io::Result<Secret> {
        SystemEnv.read_secret(path)
    }

    async fn run_secret(&self, command: &[String], without: &[String]) -> std::io::Result<Secret> {
        SystemEnv.run_secret(command, without).await
    }
}

/// A prompt that gives prepared answers and records all messages. Clones share answers and messages.
#[derive(Clone, Default)]
pub struct TestPrompt {
    answers: Arc<Mutex<VecDeque<String>>>,
    messages: Arc<Mutex<Vec<String>>>,
}

impl TestPrompt {
    /// Adds an answer. The broker's questions get the answers in order.
    #[must_use]
    pub fn answering(self, answer: &str) -> Self {
        self.answers.lock().unwrap().push_back(answer.to_owned());
        self
    }

    /// Returns all questions and messages that the broker has shown.
    pub fn told(&self) -> Vec<String> {
        self.messages.lock().unwrap().clone()
    }

    fn answer(&self, question: &str) -> Result<String> {
        self.notify(question);
        let answer = self.answers.lock().unwrap().pop_front();
        answer.ok_or_else(|| Error::new(ErrorCode::PromptUnavailable, "the test has no answer"))
    }
}

#[async_trait]
impl Prompt for TestPrompt {
    async fn ask(&self, question: &str) -> Result<String> {
        self.answer(question)
    }

    async fn ask_hidden(&self, question: &str) -> Result<Secret> {
        self.answer(question).map(Secret::new)
    }

    fn show_code(&self, code: &DeviceCode) {
        self.notify(&format!("code {}", code.user_code));
    }

    fn waiting(&self, _left: Duration) {}

    fn notify(&self, message: &str) {
        self.messages.lock().unwrap().push(message.to_owned());
    }
}

/// Clock, environment, prompt and HTTP client of a broker under test, with a temporary folder for records.
pub struct World {
    /// The clock of the broker.
    pub clock: TestClock,
    /// The broker's environment variables.
    pub env: TestEnv,
    /// The prompt that answers for the user.
    pub person: TestPrompt,
    /// The timeout of a token exchange. If a fake server hangs, the broker gets the error without waiting.
    pub timeout: Duration,
    folder: TempDir,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// The name of the provider under test.
    pub const NAME: &str = "subject";

    /// Creates a test setup with no environment variables, no prompt answers and no records.
    #[must_use]
    pub fn new() -> Self {
        Self {
            clock: TestClock::default(),
            env: TestEnv::default(),
            person: TestPrompt::default(),
            timeout: Duration::from_secs(20),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Returns the context that a broker passes to its provider.
    pub fn context(&self) -> Context {
        Context::new(
            Arc::new(TestHttp::default()),
            Arc::new(self.clock.clone()),
            Arc::new(self.env.clone()),
            Arc::new(self.person.clone()),
        )
    }

    /// Creates a broker with one provider and nothing cached in memory, like a new process.
    pub fn broker(&self, provider: Arc<dyn Provider>) -> Broker {
        let mut entry = Entry::new(provider);
        entry.timeout = self.timeout;
        let registry = BTreeMap::from([(Self::NAME.to_owned(), entry)]);
        Broker::builder(registry, Arc::new(FileStore::new(self.folder.path())), self.context()).build()
    }

    /// Reads the record file, if it exists.
    pub fn record(&self) -> Option<Value> {
        let bytes = std::fs::read(self.record_path()).ok()?;
        Some(serde_json::from_slice(&bytes).expect("a record in JSON"))
    }

    /// Returns the path of the record file.
    pub fn record_path(&self) -> PathBuf {
        self.folder.path().join(format!("{}.json", Self::NAME))
    }
}

/// The timeout of a request in real time. Even on a busy machine, only a broken test takes this long.
const LONGEST: Duration = Duration::from_mins(2);

/// An HTTP client for tests. If a fake server hangs, the client returns a timeout error without waiting.
#[derive(Debug, Default)]
struct TestHttp(ReqwestHttp);

#[async_trait]
impl Http for TestHttp {
    async fn send(
        &self,
        mut request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, HttpFault> {
        request.headers_mut().insert(HANG_HEADER, HeaderValue::from_static("report"));
        let response = self.0.send(request, LONGEST).await?;
        if !response.headers().contains_key(HANG_HEADER) {
            return Ok(response);
        }
        let what = format!("no response within {timeout:?}");
        Err(HttpFault::new(RequestSent::Maybe, ErrorCode::Timeout, what))
    }
}
