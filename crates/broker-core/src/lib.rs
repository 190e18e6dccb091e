//! The core of the broker: stores records, locks them, and decides when tokens are renewed.
//!
//! The core contains no code for a particular service. Each service is a [`Provider`], which decides *which exchange
//! comes next for this record and this request*. The [`Broker`] locks and loads the record, calls the provider, and
//! saves the result, until the record contains the token. Except for the [`Store`], all I/O (HTTP, clock,
//! environment, user) goes through one [`Context`].

#![cfg_attr(not(feature = "file"), allow(dead_code, reason = "without the file store, some code is unused"))]

mod answer;
mod backoff;
mod bounds;
mod broker;
mod clock;
mod context;
mod delivery;
mod env;
mod env_target;
mod error;
mod error_code;
mod expires_as;
mod expiry;
mod fingerprint;
mod header;
mod hint;
mod http;
#[cfg(feature = "reqwest")]
mod http_reqwest;
mod in_flight;
mod jwt;
mod kind;
mod login_file;
pub mod platform;
mod prompt;
mod provider;
mod record;
mod request;
mod retry_after;
mod sanitize;
mod secret;
#[cfg(feature = "command")]
mod secret_command;
mod secret_source;
mod secret_text;
mod service_url;
mod settings_error;
mod shell;
mod store;
mod token;
mod values;
mod window;
mod zeroizing;

pub use answer::{
    Credential, FinalCodes, Problem, Refusal, WITHHELD, read_object, redact, repeats_secret, salvage,
    salvage_login, seconds, without_token,
};
pub use bounds::later;
pub use broker::{
    Broker, BrokerBuilder, Entry, Inspected, LoggedIn, LoggedOut, ProviderRegistry, State, Status,
    TokenStatus, host_matches, is_provider_name,
};
pub use clock::{Clock, SystemClock};
pub use context::Context;
pub use env::{Env, SystemEnv};
pub use env_target::EnvTarget;
pub use error::{Error, ErrorKind, Result};
pub use error_code::ErrorCode;
pub use expires_as::{ExpiresAs, Pattern, value_at};
pub use expiry::Expiry;
pub use fingerprint::fingerprint;
pub use header::Header;
pub use hint::{Hint, RequestPart};
pub use http::{Http, HttpFault, HttpRequest, HttpResponse, LoginCheck, Method, Repeat, RequestSent};
#[cfg(feature = "reqwest")]
pub use http_reqwest::{Proxy, ProxySettings, ReqwestHttp, cert_file};
pub use jwt::Claims;
pub use kind::{Kind, Settings};
pub use login_file::{FileLogin, InvalidLoginFile, LoginFile};
pub use prompt::{DeviceCode, NonInteractive, Prompt};
pub use provider::{Login, Provider, Revoked, refuse_derived, refuse_lifetime, refuse_scopes};
pub use record::{Failure, Grant, Issuer, Record, RecordUpdate};
pub use request::{Derived, Lifetime, ScopeKey, TokenRequest};
pub use sanitize::{is_unsafe, sanitize, without_query};
pub use secret::Secret;
pub use secret_source::SecretSource;
pub use secret_text::{is_utf16, utf8};
pub use service_url::ServiceUrl;
pub use settings_error::{SettingsError, SettingsProblem};
pub use shell::{quoted_path, shell_word};
#[cfg(feature = "file")]
pub use store::{Envelope, FileStore, Migrated, Sealer, StorageFormat};
pub use store::{Loaded, LockScope, Locked, Locking, Store, StoreAbout};
pub use token::Token;
pub use values::{Command, ConfigDuration, Fields, Words};
pub use window::{Phase, Window};
