//! Middleware that authenticates requests of other clients with the broker's tokens.
//!
//! | feature | type | for |
//! |---|---|---|
//! | `reqwest-middleware` | `TokenMiddleware` | clients of [`reqwest-middleware`](https://docs.rs/reqwest-middleware) |
//! | `tower` | `TokenLayer` | [`tower`](https://docs.rs/tower) services that take `http::Request`, such as hyper's client |
//! | `object_store` | `AwsKeys` | S3 by [`object_store`](https://docs.rs/object_store) |
//! | `aws` | `AwsKeys` | S3 by the [AWS SDK](https://docs.rs/aws-config) |
//!
//! No feature is on by default. Each has an example of its name, which runs without an account, and a short one in the
//! documentation of its type. The calls need a tokio runtime with time and I/O.
//!
//! # Requests with tokens
//!
//! The token is sent in the provider's header, to hosts of the provider only, and only by https (http to this
//! machine). A request that already has this header, or is for another host, is passed on unchanged.
//!
//! After a 401, the broker replaces the token once; concurrent requests share the new token. A request with a safe
//! method (GET, HEAD, OPTIONS, TRACE: RFC 9110 section 9.2.1) and a repeatable body is then sent again, once. For other
//! requests, the caller gets the 401, and the next request gets the new token.
//!
//! If the broker has no token, the request fails with [`broker_core::Error`] inside the client's error.
//!
//! # S3 keys
//!
//! `AwsKeys` returns the AWS keys of a role. The broker stores them and replaces them one minute before they expire.

#[cfg(feature = "aws")]
mod aws;
#[cfg(any(feature = "aws", feature = "object_store"))]
mod aws_keys;
#[cfg(feature = "object_store")]
mod object_store;
#[cfg(feature = "reqwest-middleware")]
mod reqwest_middleware;
#[cfg(any(feature = "reqwest-middleware", feature = "tower"))]
mod tokens;
#[cfg(feature = "tower")]
mod tower;

#[cfg(any(feature = "aws", feature = "object_store"))]
pub use aws_keys::AwsKeys;
#[cfg(feature = "reqwest-middleware")]
pub use reqwest_middleware::TokenMiddleware;
#[cfg(feature = "tower")]
pub use tower::{TokenLayer, TokenService};
