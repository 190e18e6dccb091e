//! Tokens for earth-data services. Programs and the command line share stored tokens and logins.
//!
//! # Get a token, send it, replace it if it is rejected
//!
//! ```no_run
//! # async fn send(_: http::Request<()>) -> http::StatusCode { http::StatusCode::OK }
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use earthbroker::Broker;
//!
//! let earthscope = Broker::open()?.provider("earthscope")?;
//!
//! // Before each request: a stored token costs nanoseconds. Only an expired one causes a request to the service.
//! let token = earthscope.token().await?;
//! let request = http::Request::get("https://data.earthscope.org/archive/")
//!     .header(token.header_name(), token.authorization())
//!     .body(())?;
//!
//! // After status 401, once. Then repeat the request. A second 401 is a lack of permissions.
//! if send(request).await == 401 {
//!     let token = earthscope.replace_rejected(&token).await?;
//! #   drop(token);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`Broker::open`] uses the configuration and the state of the command line, [`Setup`] others. [`ProviderHandle`] has all
//! calls. Concurrent tasks, threads and processes share one request to the service. Secrets print as `[redacted]`.
//!
//! - Without an async runtime: [`blocking`].
//! - Scopes, a lifetime, AWS keys: [`ProviderHandle::token_with`] and [`TokenRequest`].
//! - If the user has to log in, calls fail with [`ErrorKind::LoginRequired`]: run `broker login earthscope`, or call
//!   [`ProviderHandle::login`]. [`ErrorKind`] says what else a program can do.
//! - In HTTP clients: the crate `broker-http` has middleware for reqwest and tower, and credential providers.
//! - Another service: `broker_core::Provider`, and [`Setup::kind`]. The examples `embed` and `own_provider` of this crate run
//!   without an account.
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
//! The dependency tree has 142 crates with the default features, and 92 with only `earthdaily`. `tests/features/embed`
//! in the repository is a program with only `earthdaily`, and its own client and store.

pub mod blocking;
mod broker;
pub mod config;
mod dotenv;
mod environment;
mod kinds;
#[cfg(feature = "file")]
pub mod records;
mod setup;
mod tools;

pub use broker::Broker;
#[cfg(feature = "file")]
pub use broker_core::FileStore;
pub use broker_core::{
    Clock, Derived, DeviceCode, Env, Error, ErrorCode, ErrorKind, Header, Hint, Http, HttpFault, Kind,
    Lifetime, LoggedIn, LoggedOut, Login, MemoryStore, NonInteractive, Prompt, ProviderHandle, ProviderInfo,
    RequestPart, RequestSent, Result, Revoked, Secret, SendCheck, State, Status, Store, StoreAbout,
    SystemClock, SystemEnv, Token, TokenRequest, TokenStatus,
};
pub use setup::Setup;
