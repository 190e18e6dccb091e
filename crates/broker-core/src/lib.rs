//! The heart of the broker: what a record is, who may change it, and when a token is renewed.
//!
//! No service is known here. A service is a [`Provider`]: it answers one question, *given this record and
//! this request, what is the next exchange?* The [`Broker`] takes the lock, loads the record, asks, saves
//! what came back, and asks again until the token is there. Everything that touches the world outside the
//! [`Store`] (HTTP, clock, environment, the person at the terminal) comes in through one [`Context`].

#![cfg_attr(
    not(feature = "file"),
    allow(dead_code, reason = "what the file store alone asks of records and platforms")
)]

mod answer;
mod broker;
mod change;
mod clock;
mod context;
mod env;
mod error;
mod expiry;
mod header;
mod http;
#[cfg(feature = "reqwest")]
mod http_reqwest;
mod jwt;
mod kind;
mod login_file;
mod mark;
mod person;
pub mod platform;
mod provider;
mod record;
mod request;
mod secret;
#[cfg(feature = "command")]
mod secret_command;
mod secret_source;
mod secret_text;
mod section;
mod store;
mod token;
mod trail;
mod values;
mod waiting;
mod window;
mod wiped;

pub use answer::{Problem, Refusal, given, printable, read_object, seconds, shown};
pub use broker::{
    Broker, BrokerBuilder, Catalog, Entry, Inspected, LoggedIn, LoggedOut, State, Status, TokenStatus,
    host_matches, is_provider_name,
};
pub use change::Change;
pub use clock::{Clock, SystemClock};
pub use context::Context;
pub use env::{Env, SystemEnv};
pub use error::{Error, ErrorKind, Result};
pub use expiry::{ExpiresAs, Pattern, value_at};
pub use header::Header;
pub use http::{Http, HttpFault, HttpRequest, HttpResponse, Method, Reached, Repeat, ServiceUrl};
#[cfg(feature = "reqwest")]
pub use http_reqwest::ReqwestHttp;
pub use jwt::Claims;
pub use kind::{Kind, Settings, SettingsError};
pub use login_file::{FileLogin, LoginFile, Unfit};
pub use mark::mark;
pub use person::{DeviceCode, Nobody, Person};
pub use provider::{Login, Provider, Revoked, refuse_derived, refuse_life, refuse_scopes};
pub use record::{Failure, Grant, Issuer, Record};
pub use request::{Derived, Lifetime, ScopeKey, TokenRequest};
pub use secret::Secret;
pub use secret_source::SecretSource;
#[cfg(feature = "file")]
pub use store::{Envelope, FileStore, Kept, Migrated, Sealer};
pub use store::{Loaded, Locked, Locking, Reach, Store, StoreAbout};
pub use token::Token;
pub use values::{Command, Fields, Life, Words};
pub use window::{Advice, Phase, Window};
