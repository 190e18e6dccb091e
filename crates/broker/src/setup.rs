//! From nothing to a broker.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use broker_core::{
    Broker, Clock, Context, Env, Error, Http, Kind, NonInteractive, Prompt, Result, Store, SystemClock,
    SystemEnv, platform,
};

use crate::config::{Config, Files};
use crate::env_file::EnvFile;
use crate::kinds::BUILT_IN;
use crate::probe::Prober;
#[cfg(feature = "file")]
use crate::records::Records;

/// Opens a [`Broker`]: with the configuration and the state of the command line, unless told otherwise.
#[must_use]
pub struct Setup {
    config_file: Option<PathBuf>,
    state_dir: Option<PathBuf>,
    env_file: Option<PathBuf>,
    only: Option<BTreeSet<String>>,
    kinds: Vec<Kind>,
    env: Arc<dyn Env>,
    clock: Arc<dyn Clock>,
    person: Arc<dyn Prompt>,
    http: Option<Arc<dyn Http>>,
    store: Option<Arc<dyn Store>>,
    wait_limit: Option<Duration>,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// A setup as the command line has it, with nobody to ask.
    pub fn new() -> Self {
        Self {
            config_file: None,
            state_dir: None,
            env_file: None,
            only: None,
            kinds: BUILT_IN.to_vec(),
            env: Arc::new(SystemEnv),
            clock: Arc::new(SystemClock),
            person: Arc::new(NonInteractive),
            http: None,
            store: None,
            wait_limit: None,
        }
    }

    /// This file in the place of those of the machine and of the person (`BROKER_CONFIG`).
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.config_file = Some(path.into());
        self
    }

    /// This folder for records (`BROKER_STATE_DIR`).
    pub fn state_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(path.into());
        self
    }

    /// The variables of the services' own clients from this file, in the place of the environment's: see [`EnvFile`].
    pub fn env_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.env_file = Some(path.into());
        self
    }

    /// Only these providers, and those that they take tokens from, will be asked for: of a long configuration file no
    /// other tables are read, and what is wrong in those is not found.
    pub fn providers(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.only = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// One more kind of provider; one of a name that is taken takes its place.
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kinds.retain(|known| known.name != kind.name);
        self.kinds.push(kind);
        self
    }

    /// The names of the kinds that a configuration can name.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.kinds.iter().map(|kind| kind.name)
    }

    /// Another environment than the process's.
    pub fn env(mut self, env: Arc<dyn Env>) -> Self {
        self.env = env;
        self
    }

    /// Another clock than the machine's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Somebody who can be asked.
    pub fn person(mut self, person: Arc<dyn Prompt>) -> Self {
        self.person = person;
        self
    }

    /// Another HTTP client than reqwest; without the feature `reqwest`, the one there is.
    pub fn http(mut self, http: Arc<dyn Http>) -> Self {
        self.http = Some(http);
        self
    }

    /// Another store than files; without the feature `file`, the one there is.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// How long to wait for another process that renews or logs in; 2 minutes if not set.
    pub fn wait_limit(mut self, limit: Duration) -> Self {
        self.wait_limit = Some(limit);
        self
    }

    /// The configuration.
    pub fn config(&self) -> Result<Config> {
        let env: Arc<dyn Env> = match &self.env_file {
            Some(path) => Arc::new(EnvFile::read(path, self.env.clone())?),
            None => self.env.clone(),
        };
        Config::load(&self.files(), self.kinds.clone(), env, self.only.clone())
    }

    /// The configuration files that are looked for, the last wins, and whether each is there.
    #[must_use]
    pub fn config_files(&self) -> Vec<(PathBuf, bool)> {
        let paths = match self.files() {
            Files::Named(file) => vec![file],
            Files::Usual { machine, person } => [Some(machine), person].into_iter().flatten().collect(),
        };
        paths.into_iter().map(|path| (path.clone(), path.exists())).collect()
    }

    fn files(&self) -> Files {
        let named = self.config_file.clone().or_else(|| self.env.var("BROKER_CONFIG").map(PathBuf::from));
        match named {
            Some(file) => Files::Named(file),
            None => Files::Usual {
                machine: PathBuf::from("/etc/broker/providers.toml"),
                person: self.person_file(),
            },
        }
    }

    /// Where records are.
    pub fn state_folder(&self) -> Result<PathBuf> {
        let named = self.state_dir.clone().or_else(|| self.env.var("BROKER_STATE_DIR").map(PathBuf::from));
        let usual = || Some(platform::state_folder(self.env.as_ref())?.join("broker"));
        named.or_else(usual).ok_or_else(|| {
            Error::failed("no folder for records: there is no home folder")
                .with_hint("name one: --state-dir or BROKER_STATE_DIR")
        })
    }

    /// The records in files, as what they are kept in: how each is sealed, and moving them.
    #[cfg(feature = "file")]
    pub fn records(&self, config: &Config) -> Result<Records> {
        let folder = self.state_folder()?;
        let store = broker_core::FileStore::new(&folder).with_runtime_folder(self.env.as_ref());
        Ok(Records::new(store, folder, config))
    }

    /// The broker.
    pub fn open(self) -> Result<Broker> {
        let config = self.config()?;
        self.open_with(config)
    }

    /// The broker, of a configuration that is loaded already.
    pub fn open_with(self, config: Config) -> Result<Broker> {
        let store = match &self.store {
            Some(store) => store.clone(),
            None => self.usual_store(&config)?,
        };
        let context = Context::new(self.client()?, self.clock, config.env.clone(), self.person);
        let builder = Broker::builder(config, store, context);
        Ok(match self.wait_limit {
            Some(limit) => builder.wait_limit(limit).build(),
            None => builder.build(),
        })
    }

    /// Who looks whether services can be reached.
    pub fn prober(&self) -> Result<Prober> {
        Ok(Prober { http: self.client()?, clock: self.clock.clone() })
    }

    fn client(&self) -> Result<Arc<dyn Http>> {
        self.http.clone().map_or_else(usual_http, Ok)
    }

    #[cfg(feature = "file")]
    fn usual_store(&self, config: &Config) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(self.records(config)?.into_store()))
    }

    #[cfg(not(feature = "file"))]
    #[expect(clippy::unused_self, reason = "with the feature it says where")]
    fn usual_store(&self, _config: &Config) -> Result<Arc<dyn Store>> {
        Err(Error::failed("no place for records: give one with `Setup::store`, or enable the feature `file`"))
    }

    fn person_file(&self) -> Option<PathBuf> {
        Some(platform::config_folder(self.env.as_ref())?.join("broker/providers.toml"))
    }
}

#[cfg(feature = "reqwest")]
#[expect(clippy::unnecessary_wraps, reason = "without the feature it fails")]
fn usual_http() -> Result<Arc<dyn Http>> {
    Ok(Arc::new(broker_core::ReqwestHttp::default()))
}

#[cfg(not(feature = "reqwest"))]
fn usual_http() -> Result<Arc<dyn Http>> {
    Err(Error::failed("no HTTP client: give one with `Setup::http`, or enable the feature `reqwest`"))
}
