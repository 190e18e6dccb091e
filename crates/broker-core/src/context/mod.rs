//! The world outside the broker: HTTP, clock, environment, user and files.

mod answer;
pub(crate) mod backoff;
mod env;
mod http;
#[cfg(feature = "reqwest")]
mod http_reqwest;
mod issued_token;
pub mod platform;
mod prompt;
pub(crate) mod retry;
mod retry_after;
#[cfg(feature = "command")]
mod secret_command;
mod service_url;
mod shell;
mod world;

pub use answer::{
    Credential, FinalCodes, Problem, Refusal, WITHHELD, read_object, redact, repeats_secret, salvage,
    salvage_new, without_token,
};
pub use env::{Env, SystemEnv};
pub use http::{Http, HttpFault, HttpRequest, HttpResponse, LoginCheck, Repeat, RequestSent, SendCheck};
#[cfg(feature = "reqwest")]
pub use http_reqwest::{Proxy, ProxySettings, ReqwestHttp, cert_file};
pub use prompt::{DeviceCode, NonInteractive, Prompt};
pub use service_url::ServiceUrl;
pub use shell::{quoted_path, shell_word};
pub use world::{Clock, Context, SystemClock};
