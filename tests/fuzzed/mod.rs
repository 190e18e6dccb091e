//! Checks of every parser of untrusted bytes: the targets of `cargo fuzz` (`fuzz/`), and of a smoke run over the stored
//! corpora on stable Rust (`tests/e2e/fuzz_smoke.rs`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc, reason = "tests")]
#![allow(unreachable_pub, reason = "part of a library in `fuzz/`")]

mod answer;
mod config;
mod exchange;
mod record;
mod scalars;
mod world;

pub use answer::token_answer;
pub use config::config;
pub use exchange::exchange;
pub use record::record;
pub use scalars::{duration, jwt, retry_after, seconds};

/// A target: its name and corpus, its function, and the number of mutations per file in the smoke run.
pub type Target = (&'static str, fn(&[u8]), usize);

/// All targets.
pub const TARGETS: [Target; 8] = [
    ("config", config, 60),
    ("duration", duration, 2000),
    ("exchange", exchange, 30),
    ("jwt", jwt, 1000),
    ("record", record, 150),
    ("retry_after", retry_after, 1000),
    ("seconds", seconds, 1000),
    ("token_answer", token_answer, 300),
];
