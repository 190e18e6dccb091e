//! The core by itself: windows, answers, requests, secrets, records.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "core/answers.rs"]
mod answers;
#[path = "core/broker.rs"]
mod broker;
#[path = "core/record.rs"]
mod record;
#[path = "core/scenarios.rs"]
mod scenarios;
#[path = "core/together.rs"]
mod together;
#[path = "core/windows.rs"]
mod windows;
