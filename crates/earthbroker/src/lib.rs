//! Tokens for earth-data services. Programs and the command line share stored tokens and logins.
//!
//! ```no_run
//! # async fn example() -> Result<(), earthbroker::Error> {
//! use earthbroker::{Setup, TokenRequest};
//!
//! let broker = Setup::new().open()?;
//! let token = broker.token("earthscope", &TokenRequest::new()).await?;
//! let header = (token.header_name(), token.authorization());
//! # drop(header);
//! # Ok(())
//! # }
//! ```
//!
//! [`Setup`] uses the configuration and state of the command line unless you set others. [`Broker`] is cheap to clone
//! and `Send + Sync`. Concurrent tasks and processes share one request to the service. Secrets print as `[redacted]`.
//! The examples `embed` and `own_provider` of this crate run without an account.
//!
//! # Features
//!
//! All features are on by default. For a smaller build, set `default-features = false` and list what you need:
//!
//! | feature | content | without it |
//! |---|---|---|
//! | `earthscope`, `earthdaily`, `carbonmapper` | the provider kind of this name | configurations cannot use it |
//! | `oauth2`, `login`, `static`, `exec` | the generic provider kinds | configurations cannot use them |
//! | `reqwest` | an HTTP client, with TLS by the system's roots | pass a client to [`Setup::http`] |
//! | `file` | records in files; shares EarthScope's `tokens.json` with its SDK | pass a store to [`Setup::store`]; `tokens.json` is not used |
//! | `command` | secrets that a command prints | such a secret is a configuration error |
//!
//! The dependency tree has 141 crates with the default features, and 89 with only `earthdaily`. `tests/features/embed`
//! in the repository is a program with only `earthdaily`, and its own client and store.

pub mod blocking;
mod broker;
mod config;
mod dotenv;
mod environment;
mod kinds;
mod probe;
#[cfg(feature = "file")]
mod records;
mod setup;
mod suggestion;
pub mod tools;

pub use broker::Broker;
pub use broker_core::MemoryStore;
pub use broker_core::SendCheck;
pub use broker_core::{
    Claims, Clock, Context, Credential, Derived, DeviceCode, Entry, Env, EnvTarget, Error, ErrorCode,
    ErrorKind, FinalCodes, Grant, Header, Hint, Http, HttpFault, HttpRequest, HttpResponse, Inspected,
    Issuer, Kind, Lifetime, Loaded, LockScope, Locked, Locking, LoggedIn, LoggedOut, Login, Method,
    NonInteractive, Operation, Problem, Prompt, Provider, ProviderHandle, ProviderInfo, ProviderRegistry,
    Record, RecordUpdate, Refusal, Repeat, RequestPart, RequestSent, Result, Revoked, ScopeKey, Secret,
    SecretSource, ServiceUrl, Settings, SettingsError, SettingsProblem, State, Status, Store, StoreAbout,
    SystemClock, SystemEnv, Token, TokenRequest, TokenStatus, is_provider_name, is_unsafe, is_utf16,
    platform, quoted_path, read_object, redact, repeats_secret, salvage, salvage_new, sanitize, seconds,
    shell_word, utf8, without_query,
};
#[cfg(feature = "file")]
pub use broker_core::{FileStore, Migrated, StorageFormat};
#[cfg(feature = "reqwest")]
pub use broker_core::{Proxy, ProxySettings, cert_file};
pub use config::{Config, ConfigWarning, Configured, Setting, StoreConfig};
pub use probe::{Obstacle, Probed, Prober};
#[cfg(feature = "file")]
pub use records::Records;
pub use setup::Setup;
pub use suggestion::suggestion;
