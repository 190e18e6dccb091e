//! Opens a broker with a configuration, a store and an HTTP client.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use broker_core::{
    Clock, Context, Env, Error, ErrorCode, Hint, Http, Kind, NonInteractive, Prompt, Result, Store,
    SystemClock, SystemEnv, platform,
};

use crate::WAIT_LIMIT;
use crate::config::{Config, Files};
use crate::kinds::BUILT_IN;
#[cfg(feature = "file")]
use crate::records::Records;

/// Gets, renews and stores tokens, by default with the configuration and the records of the command line. Clones are
/// cheap and share all state. Async calls need a tokio runtime with time and I/O.
///
/// [`Broker::provider`](broker_core::Broker::provider) returns the handle of one provider, which has all calls. The methods
/// of the core's [`Broker`](broker_core::Broker) are available too.
///
/// If a caller drops a call (a timeout, `select!`), the operation still runs until the response is saved, as long as the
/// tokio runtime of the call runs. Await [`Broker::wait_idle`](broker_core::Broker::wait_idle) before the process exits
/// and before the runtime is dropped. Otherwise the operation ends like a killed process, and if the service has already
/// replaced the refresh token, the login is lost.
#[derive(Clone)]
pub struct Broker(pub(crate) broker_core::Broker);

impl Broker {
    /// Opens the broker with the configuration and the records of the command line.
    pub fn open() -> Result<Self> {
        Setup::new().open()
    }
}

impl Deref for Broker {
    type Target = broker_core::Broker;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// Opens a [`Broker`], by default with the configuration and the records of the command line.
#[must_use]
pub struct Setup {
    config_file: Option<PathBuf>,
    state_dir: Option<PathBuf>,
    pub(crate) env_file: Option<PathBuf>,
    only: Option<BTreeSet<String>>,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) env: Arc<dyn Env>,
    clock: Arc<dyn Clock>,
    prompt: Arc<dyn Prompt>,
    http: Option<Arc<dyn Http>>,
    store: Option<Arc<dyn Store>>,
    wait_limit: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// Creates a setup with the defaults of the command line, but without a prompt for the user.
    pub fn new() -> Self {
        Self {
            config_file: None,
            state_dir: None,
            env_file: None,
            only: None,
            kinds: BUILT_IN.to_vec(),
            env: Arc::new(SystemEnv),
            clock: Arc::new(SystemClock),
            prompt: Arc::new(NonInteractive),
            http: None,
            store: None,
            wait_limit: WAIT_LIMIT,
        }
    }

    /// Reads this configuration file instead of the default ones. Overrides `BROKER_CONFIG`.
    pub fn config_file(self, path: impl Into<PathBuf>) -> Self {
        Self { config_file: Some(path.into()), ..self }
    }

    /// Stores records in this folder. Overrides `BROKER_STATE_DIR`.
    pub fn state_dir(self, path: impl Into<PathBuf>) -> Self {
        Self { state_dir: Some(path.into()), ..self }
    }

    /// Reads the variables of the services' own tools from this dotenv file. If the file sets one variable of a service,
    /// all variables of that service come from the file.
    pub fn env_file(self, path: impl Into<PathBuf>) -> Self {
        Self { env_file: Some(path.into()), ..self }
    }

    /// Limits the broker to these providers and to the providers named by their `from` keys. Other providers' tables of a
    /// long configuration file are not parsed, so mistakes in them are not reported.
    pub fn providers(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { only: Some(names.into_iter().map(Into::into).collect()), ..self }
    }

    /// Adds a provider kind, which replaces a kind of the same name.
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kinds.retain(|known| known.name != kind.name);
        self.kinds.push(kind);
        self
    }

    /// Returns the names of the provider kinds that a configuration can use.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.kinds.iter().map(|kind| kind.name)
    }

    /// Reads environment variables from `env` instead of the process environment.
    pub fn env(self, env: Arc<dyn Env>) -> Self {
        Self { env, ..self }
    }

    /// Uses `clock` instead of the system clock.
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Uses this prompt when a login needs the user.
    pub fn prompt(self, prompt: Arc<dyn Prompt>) -> Self {
        Self { prompt, ..self }
    }

    /// Replaces the HTTP client reqwest. Needed without the feature `reqwest`.
    pub fn http(self, http: Arc<dyn Http>) -> Self {
        Self { http: Some(http), ..self }
    }

    /// Sets the store for records. The default store, in files, needs the feature `file`.
    pub fn store(self, store: Arc<dyn Store>) -> Self {
        Self { store: Some(store), ..self }
    }

    /// Limits the wait for another process that renews a token or logs in. The default is 2 minutes.
    pub fn wait_limit(self, limit: Duration) -> Self {
        Self { wait_limit: limit, ..self }
    }

    /// Loads the configuration from this setup's files and environment variables.
    pub fn config(&self) -> Result<Config> {
        let names = ["BROKER_CONFIG", "BROKER_STATE_DIR", "BROKER_STORE"];
        let invalid = |why| Error::new(ErrorCode::ConfigInvalidValue, why);
        self.env.check_utf8("BROKER_", &|name| names.contains(&name)).map_err(invalid)?;
        Config::load(&self.files(), self.kinds.clone(), self.environment()?, self.only.clone())
    }

    /// Returns the configuration files and whether each exists. Later files win.
    pub fn config_files(&self) -> Vec<(PathBuf, bool)> {
        self.files().paths.into_iter().map(|path| (path.clone(), path.exists())).collect()
    }

    fn files(&self) -> Files {
        let named = self.config_file.clone().or_else(|| self.env.var("BROKER_CONFIG").map(PathBuf::from));
        if let Some(file) = named {
            return Files { paths: vec![file], is_named: true };
        }
        let user = platform::config_folder(self.env.as_ref()).map(|dir| dir.join("broker/providers.toml"));
        let system = PathBuf::from("/etc/broker/providers.toml");
        Files { paths: [Some(system), user].into_iter().flatten().collect(), is_named: false }
    }

    /// Returns the folder where records are stored.
    pub fn state_folder(&self) -> Result<PathBuf> {
        let named = self.state_dir.clone().or_else(|| self.env.var("BROKER_STATE_DIR").map(PathBuf::from));
        let default = || Some(platform::state_folder(self.env.as_ref())?.join("broker"));
        named.or_else(default).ok_or_else(|| {
            let why = "cannot find the folder for records: HOME and XDG_STATE_HOME are not set";
            Error::new(ErrorCode::StoreUnwritable, why).with_hint(Hint::ChooseStateFolder)
        })
    }

    /// Returns the record files, to list their formats and to migrate them.
    #[cfg(feature = "file")]
    pub fn records(&self, config: &Config) -> Result<Records> {
        Ok(Records::new(self.state_folder()?, self.env.as_ref(), config))
    }

    /// Opens the broker with the configuration, record store and HTTP client of this setup.
    pub fn open(self) -> Result<Broker> {
        let config = self.config()?;
        self.open_with(config)
    }

    /// Opens the broker with `config`, and does not read the configuration files.
    pub fn open_with(self, config: Config) -> Result<Broker> {
        let store = self.record_store(&config)?;
        let http = match self.http {
            Some(http) => http,
            #[cfg(feature = "reqwest")]
            None => Arc::new(broker_core::ReqwestHttp::default()),
            #[cfg(not(feature = "reqwest"))]
            None => {
                let why = "the setup has no HTTP client: call `Setup::http`, or enable the feature `reqwest`";
                return Err(Error::failed(why));
            }
        };
        let context = Context::new(http, self.clock, config.env.clone(), self.prompt);
        let builder = broker_core::Broker::builder(config, store, context);
        Ok(Broker(builder.wait_limit(self.wait_limit).build()))
    }

    fn record_store(&self, config: &Config) -> Result<Arc<dyn Store>> {
        // Only the file store needs the configuration.
        let _ = config;
        match &self.store {
            Some(store) => Ok(store.clone()),
            #[cfg(feature = "file")]
            None => Ok(Arc::new(self.records(config)?.store)),
            #[cfg(not(feature = "file"))]
            None => Err(Error::failed(
                "the setup has no record store: call `Setup::store`, or enable the feature `file`",
            )),
        }
    }
}
