//! Tokens for earth-data services. Programs and the command line share stored tokens and logins.
//!
//! # Get a token, send it, replace it if it is rejected
//!
//! ```no_run
//! # async fn send(_: http::Request<()>) -> http::StatusCode { http::StatusCode::OK }
//! # async fn example() -> Result<(), earthbroker::Error> {
//! use earthbroker::{Broker, Token};
//!
//! fn request(token: &Token) -> http::Request<()> {
//!     let request = http::Request::get("https://data.earthscope.org/archive/");
//!     request.header(token.header_name(), token.authorization()).body(()).unwrap_or_default()
//! }
//!
//! let broker = Broker::open()?;
//! let earthscope = broker.provider("earthscope")?;
//!
//! // Before each request: a stored token costs nanoseconds. Only an expired one causes a request to the service.
//! let token = earthscope.token().await?;
//! if send(request(&token)).await == 401 {
//!     // The service rejected the token. A second 401 is a lack of permissions.
//!     let token = earthscope.replace_rejected(&token).await?;
//!     send(request(&token)).await;
//! }
//! // Before the runtime ends: a response that is still being saved may contain a new login.
//! broker.wait_idle().await;
//! # Ok(())
//! # }
//! ```
//!
//! [`Broker::open`] uses the configuration, the tokens and the logins of the command line. [`Setup`] uses other files, stores
//! and clients. [`ProviderHandle`] has all calls. Concurrent tasks, threads and processes share one request to the service.
//! Secrets print as `[redacted]`.
//!
//! - Without an async runtime: [`blocking`].
//! - Scopes, a lifetime, AWS keys: [`ProviderHandle::token_with`] and [`TokenRequest`].
//! - If the user has to log in, calls fail with [`ErrorKind::LoginRequired`]: run `broker login earthscope`, or call
//!   [`ProviderHandle::login`]. [`ErrorKind`] says what else a program can do.
//! - Other providers and settings are in `~/.config/broker/providers.toml`: see [`config`].
//! - In HTTP clients: the crate `broker-http` has middleware for reqwest and tower, and credential providers.
//! - Another service: `broker_core::Provider`, and [`Setup::kind`]. The examples `embed` and `own_provider` of this crate run
//!   without an account.
//!
//! # Features
//!
//! All features but the last two are on by default. For a smaller build, set `default-features = false` and list what you need:
//!
//! | feature | content | without it |
//! |---|---|---|
//! | `earthscope`, `earthdaily`, `carbonmapper` | the provider kind of this name | configurations cannot use it |
//! | `oauth2`, `login`, `static`, `exec` | the generic provider kinds | configurations cannot use them |
//! | `reqwest` | an HTTP client, with TLS by the system's roots | pass a client to [`Setup::http`] |
//! | `file` | records in files; shares EarthScope's `tokens.json` with its SDK | pass a store to [`Setup::store`]; `tokens.json` is not used |
//! | `command` | secrets that a command prints | such a secret is a configuration error |
//! | `sealed` | records encrypted with a passphrase or a key | an encrypted record is an error |
//! | `keyring` | records encrypted with a key in the OS keyring | the same |
//!
//! The dependency tree has 142 crates with the default features, and 92 with only `earthdaily`. `tests/features/embed`
//! in the repository is a program with only `earthdaily`, and its own client and store.

pub mod blocking;
pub mod config;
mod dotenv;
mod environment;
mod kinds;
#[cfg(feature = "file")]
pub mod records;
mod setup;
mod tools;

#[cfg(feature = "file")]
pub use broker_core::FileStore;
pub use broker_core::{
    Clock, Derived, DeviceCode, Env, Error, ErrorCode, ErrorKind, Header, Hint, Http, HttpFault, Kind,
    Lifetime, LoggedIn, LoggedOut, Login, MemoryStore, NonInteractive, Prompt, ProviderHandle, ProviderInfo,
    RequestPart, RequestSent, Result, Revoked, Secret, SendCheck, State, Status, Store, StoreAbout,
    SystemClock, SystemEnv, Token, TokenRequest, TokenStatus,
};
pub use setup::{Broker, Setup};

/// How long to wait by default for another process that renews a token or logs in.
const WAIT_LIMIT: std::time::Duration = std::time::Duration::from_mins(2);
