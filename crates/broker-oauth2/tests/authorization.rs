//! The authorization code flow, with a test that plays the browser and a token endpoint that answers as it is told.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "authorization/exchange.rs"]
mod exchange;
#[path = "authorization/loopback.rs"]
mod loopback;
#[path = "authorization/paste.rs"]
mod paste;
#[path = "authorization/stage.rs"]
mod stage;
