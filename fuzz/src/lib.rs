//! The checks of the fuzz targets, shared with the smoke run on stable Rust (`tests/e2e/fuzz_smoke.rs`).

#[path = "../../tests/fuzzed/mod.rs"]
pub mod fuzzed;
