//! Tests of the authorization code flow with a fake token endpoint. The tests act as the browser.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "authorization/exchange.rs"]
mod exchange;
#[path = "authorization/login.rs"]
mod login;
#[path = "authorization/loopback.rs"]
mod loopback;
#[path = "authorization/page.rs"]
mod page;
#[path = "authorization/paste.rs"]
mod paste;
