//! The core of the broker: stores records, locks them, and decides when tokens are renewed.
//!
//! The core contains no code for a particular service. Each service is a [`Provider`], which decides *which exchange
//! comes next for this record and this request*. The [`Broker`] locks and loads the record, calls the provider, and
//! saves the result, until the record contains the token. Except for the [`Store`], all I/O (HTTP, clock,
//! environment, user) goes through one [`Context`].
//!
//! The modules are layers. Each uses only those above it.

#![cfg_attr(not(feature = "file"), allow(dead_code, reason = "without the file store, some code is unused"))]

mod token;

mod error;

mod context;

mod record;

mod provider;

mod store;

mod broker;

pub use ::http::Method;
pub use broker::{
    Broker, BrokerBuilder, Entry, Inspected, LoggedIn, LoggedOut, ProviderHandle, ProviderRegistry, State,
    Status, TokenStatus,
};
pub use context::{
    Clock, Context, Credential, DeviceCode, Env, FinalCodes, Http, HttpFault, HttpRequest, HttpResponse,
    LoginCheck, NonInteractive, Problem, Prompt, Refusal, Repeat, RequestSent, SendCheck, ServiceUrl,
    SystemClock, SystemEnv, WITHHELD, platform, quoted_path, read_object, redact, repeats_secret, salvage,
    salvage_new, shell_word, without_token,
};
#[cfg(feature = "reqwest")]
pub use context::{Proxy, ProxySettings, ReqwestHttp, cert_file};
pub use error::{Error, ErrorCode, ErrorKind, Hint, RequestPart, Result};
pub use provider::tools;
pub use provider::{
    Choice, Command, ConfigDuration, EnvTarget, ExpiresAs, Fields, InvalidLoginFile, Kind, Login, LoginFile,
    LoginMethod, NextExchange, Operation, Pattern, Provider, ProviderInfo, Requests, Revoked, Scopes,
    SecretSource, Settings, SettingsError, SettingsProblem, Words, host_matches,
};
pub use record::{Failure, FileLogin, Grant, Issuer, Record, RecordUpdate, StorageFormat, is_provider_name};
#[cfg(feature = "file")]
pub use store::{Envelope, FallbackStore, FileStore, Migrated, Sealer};
pub use store::{Loaded, LockScope, Locked, Locking, MemoryStore, Store, StoreAbout};
pub use token::{
    Claims, Derived, Expiry, Header, Lifetime, Phase, ScopeKey, Secret, Token, TokenRequest, Window,
    fingerprint, is_unsafe, is_utf16, later, sanitize, seconds, text_at, text_in, utf8, value_at,
    without_query,
};
