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

mod config;
mod env_file;
mod kinds;
mod nearest;
mod probe;
mod records;
mod setup;

pub use broker_core::{
    Broker, Catalog, Change, Claims, Clock, Context, Derived, DeviceCode, Entry, Env, Error, ErrorKind,
    FileStore, Grant, Header, Http, HttpFault, HttpRequest, HttpResponse, Inspected, Issuer, Kept, Kind,
    Lifetime, LoggedIn, LoggedOut, Login, Method, Migrated, Nobody, Person, Problem, Provider, Reach,
    Reached, Record, Refusal, Repeat, Result, Revoked, ScopeKey, Secret, SecretSource, ServiceUrl, Settings,
    SettingsError, State, Status, Store, StoreAbout, SystemClock, SystemEnv, Token, TokenRequest,
    TokenStatus, given, is_provider_name, platform, printable, read_object, refuse_derived, refuse_life,
    refuse_scopes, seconds,
};
#[cfg(feature = "earthdaily")]
pub use broker_earthdaily::Credentials as EarthDailyCredentials;
pub use config::{Config, Configured, Setting, StoreConfig};
pub use env_file::EnvFile;
pub use nearest::nearest;
pub use probe::{Obstacle, Probed, Prober};
pub use records::{KeyringState, Records};
pub use setup::Setup;
