//! Fuzz targets for all parsers of untrusted bytes. `cargo fuzz` runs them (`fuzz/`), and so does a smoke test on
//! stable Rust with the stored corpora (`tests/e2e/fuzz_smoke.rs`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc, reason = "tests")]
#![allow(unreachable_pub, reason = "part of a library in `fuzz/`")]

mod answer;
mod config;
mod cookie;
mod discovery;
mod exchange;
mod files;
mod record;
mod scalars;
mod world;

pub use answer::{reason, token_answer};
pub use config::config;
pub use cookie::cookie;
pub use discovery::discovery;
pub use exchange::exchange;
pub use files::{credentials, dotenv, earthscope};
pub use record::record;
pub use scalars::{duration, jwt, retry_after, seconds};

/// A fuzz target: its name, its function, and the number of mutations per corpus file in the smoke test.
pub type Target = (&'static str, fn(&[u8]), usize);

/// All fuzz targets. The name is also the folder of the corpus.
pub const TARGETS: [Target; 14] = [
    ("config", config, 60),
    ("cookie", cookie, 300),
    ("credentials", credentials, 1000),
    ("discovery", discovery, 100),
    ("dotenv", dotenv, 1000),
    ("duration", duration, 2000),
    ("earthscope", earthscope, 200),
    ("exchange", exchange, 30),
    ("jwt", jwt, 1000),
    ("reason", reason, 150),
    ("record", record, 150),
    ("retry_after", retry_after, 1000),
    ("seconds", seconds, 1000),
    ("token_answer", token_answer, 300),
];
