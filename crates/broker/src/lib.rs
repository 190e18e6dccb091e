//! Tokens for earth-data services, from the one place that keeps them: what `broker` on the command line holds,
//! a program holds too, and the other way round.
//!
//! ```no_run
//! # async fn example() -> Result<(), broker::Error> {
//! use broker::{Setup, TokenRequest};
//!
//! let broker = Setup::new().open()?;
//! let token = broker.token("earthscope", &TokenRequest::new()).await?;
//! let header = format!("{} {}", token.token_type(), token.secret().expose());
//! # drop(header);
//! # Ok(())
//! # }
//! ```
//!
//! [`Setup`] finds configuration and state as the command line does, unless told otherwise. [`Broker`] is cheap to
//! clone, `Send + Sync`, and asks a service once, however many tasks and processes want its token. Whatever is
//! secret prints as `[redacted]`. The examples `embed` and `own_provider` of this crate run without an account.
//!
//! # Features
//!
//! All of them are on by default. A program that wants less takes `default-features = false` and names what it uses:
//!
//! | feature | what it is | without it |
//! |---|---|---|
//! | `earthscope`, `earthdaily`, `carbonmapper` | the kind of that name | configuration cannot name it |
//! | `oauth2`, `login`, `static`, `exec` | the kinds for any other service | the same |
//! | `reqwest` | an HTTP client, with TLS by the system's roots | [`Setup::http`] is given one |
//! | `file` | records in files; EarthScope's `tokens.json` is shared with its own tools | [`Setup::store`] is given one, and that file is left alone |
//! | `command` | secrets that a command prints | such a secret is an error of configuration |
//!
//! The tree has 141 crates with the default features, 133 with `oauth2`, `file` and `reqwest`, 89 with `earthdaily` and
//! nothing else, which builds from clean for debug in 73 s of a processor, where the default takes 142
//! (docs/dev/dependencies.md).
//!
//! The last of these is `tests/features/embed` of the repository: a whole program with its own client and store.

mod config;
mod env_file;
mod kinds;
mod probe;
#[cfg(feature = "file")]
mod records;
mod setup;
mod suggestion;
mod withheld;

pub use broker_core::{
    Broker, Claims, Clock, Context, Derived, DeviceCode, Entry, Env, Error, ErrorCode, ErrorKind, Grant,
    Header, Hint, Http, HttpFault, HttpRequest, HttpResponse, Inspected, Issuer, Kind, Lifetime, Loaded,
    LockScope, Locked, Locking, LoggedIn, LoggedOut, Login, Method, NonInteractive, Problem, Prompt,
    Provider, ProviderRegistry, Record, RecordUpdate, Refusal, Repeat, RequestPart, RequestSent, Result,
    Revoked, ScopeKey, Secret, SecretSource, ServiceUrl, Settings, SettingsError, SettingsProblem, State,
    Status, Store, StoreAbout, SystemClock, SystemEnv, Token, TokenRequest, TokenStatus, is_provider_name,
    platform, read_object, refuse_derived, refuse_life, refuse_scopes, salvage, sanitize, seconds,
};
#[cfg(feature = "file")]
pub use broker_core::{FileStore, Migrated, StorageFormat};
#[cfg(feature = "earthdaily")]
pub use broker_earthdaily::Credentials as EarthDailyCredentials;
pub use config::{Config, ConfigWarning, Configured, Setting, StoreConfig};
pub use env_file::EnvFile;
pub use probe::{Obstacle, Probed, Prober};
#[cfg(feature = "file")]
pub use records::{KeyringState, Records};
pub use setup::Setup;
pub use suggestion::suggestion;
