//! The functions of the fuzz targets, shared with the smoke test on stable Rust (`tests/e2e/fuzz_smoke.rs`).

#[path = "../../tests/fuzzed/mod.rs"]
pub mod fuzzed;
