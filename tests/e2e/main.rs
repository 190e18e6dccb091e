//! The broker as people and programs meet it: the real binary, real files, services that can fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs, reason = "tests")]

mod add;
mod canary;
mod carbonmapper;
mod cli;
mod completions;
mod config;
mod crowd;
mod derived;
mod doctor;
mod earthdaily;
mod earthdaily_sources;
mod earthscope;
mod exec;
mod fallback;
mod fault_table;
mod faults;
mod formats;
mod fuzz_smoke;
#[path = "../fuzzed/mod.rs"]
mod fuzzed;
mod gallery;
mod harden;
mod helper;
mod hostile;
mod import;
mod inspect;
mod kept;
mod keyring;
mod kill;
mod login_kind;
mod long_config;
mod messages;
mod migrate;
mod new_provider;
mod oidc;
mod pages;
mod patience;
mod peers;
mod places;
mod plugin;
mod rejected;
mod sdk;
mod sealed;
mod secrets;
mod stage;
mod static_kind;
mod strace;
mod terminal;
mod threat_model;
mod umask;
mod user;
mod version;
mod withheld;
mod writing;
