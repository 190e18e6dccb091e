//! A world for a broker under test: environment, person, store and HTTP client.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use broker_core::{
    Broker, Context, DeviceCode, Entry, Env, Error, FileStore, Prompt, Provider, ReqwestHttp, Result, Secret,
    SystemEnv,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::TestClock;

/// An environment of these variables and no others.
#[derive(Debug, Clone, Default)]
pub struct TestEnv(BTreeMap<String, String>);

impl TestEnv {
    /// With a variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), value.to_owned());
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

type OnCode = Box<dyn Fn(&DeviceCode) + Send + Sync>;

/// A person who knows the answers, and remembers what was said. Clones are the same person.
#[derive(Clone, Default)]
pub struct TestPrompt {
    answers: Arc<Mutex<VecDeque<String>>>,
    told: Arc<Mutex<Vec<String>>>,
    on_code: Arc<Mutex<Option<OnCode>>>,
}

impl TestPrompt {
    /// Who answers this to the next question.
    #[must_use]
    pub fn answering(self, answer: &str) -> Self {
        self.answers.lock().unwrap().push_back(answer.to_owned());
        self
    }

    /// Who does this with a code that is shown.
    #[must_use]
    pub fn on_code(self, act: impl Fn(&DeviceCode) + Send + Sync + 'static) -> Self {
        *self.on_code.lock().unwrap() = Some(Box::new(act));
        self
    }

    /// What was said so far.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    fn answer(&self, question: &str) -> Result<String> {
        self.notify(question);
        let answer = self.answers.lock().unwrap().pop_front();
        answer.ok_or_else(|| Error::login_required("nobody answers"))
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
        if let Some(act) = &*self.on_code.lock().unwrap() {
            act(code);
        }
    }

    fn waiting(&self, _left: Duration) {}

    fn notify(&self, message: &str) {
        self.told.lock().unwrap().push(message.to_owned());
    }
}

/// A world with a folder for records; dropped, it is gone.
pub struct World {
    /// Its clock.
    pub clock: TestClock,
    /// Its environment.
    pub env: TestEnv,
    /// Who sits there.
    pub person: TestPrompt,
    /// How long a request may take.
    pub timeout: Duration,
    folder: TempDir,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// The name of the one provider of a broker in this world.
    pub const NAME: &str = "subject";

    /// An empty world.
    #[must_use]
    pub fn new() -> Self {
        Self {
            clock: TestClock::new(),
            env: TestEnv::default(),
            person: TestPrompt::default(),
            timeout: Duration::from_secs(20),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// What a provider sees of it.
    #[must_use]
    pub fn context(&self) -> Context {
        Context::new(
            Arc::new(ReqwestHttp::default()),
            Arc::new(self.clock.clone()),
            Arc::new(self.env.clone()),
            Arc::new(self.person.clone()),
        )
    }

    /// A broker of one provider, as a process that has just begun.
    #[must_use]
    pub fn broker(&self, provider: Arc<dyn Provider>) -> Broker {
        let entry = Entry { timeout: self.timeout, ..Entry::new(provider) };
        let catalog = BTreeMap::from([(Self::NAME.to_owned(), entry)]);
        Broker::builder(catalog, Arc::new(FileStore::new(self.folder.path())), self.context()).build()
    }

    /// The record file, if there is one.
    #[must_use]
    pub fn record(&self) -> Option<Value> {
        let bytes = std::fs::read(self.record_path()).ok()?;
        Some(serde_json::from_slice(&bytes).expect("a record in JSON"))
    }

    /// Where the record file is.
    #[must_use]
    pub fn record_path(&self) -> PathBuf {
        self.folder.path().join(format!("{}.json", Self::NAME))
    }
}
