//! Runs each fuzz target with its stored corpus, and with mutations that are the same in every run. For long runs, use
//! `cargo fuzz run TARGET` in `fuzz/`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::fuzzed::{TARGETS, Target};

/// A deterministic pseudorandom generator (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap() % end.max(1)
    }
}

/// Byte sequences that parsers often handle wrongly.
const NASTY: [&[u8]; 16] = [
    b"\0", b"\"", b"\\", b"{", b"[", b"\n", b"\x1e", b"=", b"-", b"9999999999", b"1e400", b"null", b"\xff",
    b"\xef\xbb\xbf", b"\\ud800", b"\x1b[2J",
];

/// Returns a mutated copy of a corpus file: flips bits, and cuts, repeats or inserts pieces of this or another file.
fn mutated(file: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for _ in 0..=dice.below(3) {
        let (from, to) = (dice.below(bytes.len() + 1), dice.below(bytes.len() + 1));
        let (from, to) = (from.min(to), from.max(to));
        match dice.below(6) {
            0 => bytes.truncate(to),
            1 if from < bytes.len() => bytes[from] ^= 1 << dice.below(8),
            2 => drop(bytes.drain(from..to.min(from + 8))),
            3 => {
                let piece = bytes[from..to.min(from + 64)].to_vec();
                drop(bytes.splice(to..to, piece));
            }
            4 => drop(bytes.splice(from..from, NASTY[dice.below(NASTY.len())].iter().copied())),
            _ => {
                let start = dice.below(other.len());
                drop(bytes.splice(from..to, other[start..].iter().take(64).copied()));
            }
        }
    }
    bytes
}

/// Returns the stored inputs of a fuzz target, sorted by file name.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    let read = |path: &Path| (path.display().to_string(), std::fs::read(path).unwrap());
    paths.iter().map(|path| read(path)).collect()
}

fn run((name, target, mutations): Target) {
    let corpus = corpus(name);
    assert!(corpus.len() >= 5, "{name} has a small corpus");
    let check = |input: &[u8], what: &str| {
        let ended = catch_unwind(AssertUnwindSafe(|| target(input)));
        assert!(ended.is_ok(), "{name}: {what}: as a Rust literal: b\"{}\"", input.escape_ascii());
    };
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for (path, bytes) in &corpus {
        check(bytes, path);
        for number in 0..mutations {
            let other = &corpus[dice.below(corpus.len())].1;
            check(&mutated(bytes, other, &mut dice), &format!("mutation {number} of {path}"));
        }
    }
}

fn target(name: &str) -> Target {
    *TARGETS.iter().find(|target| target.0 == name).expect("a target of this name")
}

macro_rules! smoke {
    ($($test:ident: $name:literal,)*) => {
        $(#[test]
        fn $test() {
            run(target($name));
        })*

        #[test]
        fn every_fuzz_target_is_in_the_smoke_test_and_in_cargo_fuzz() {
            assert_eq!(TARGETS.map(|target| target.0), [$($name),*]);
            for (name, ..) in TARGETS {
                let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../fuzz/fuzz_targets/{name}.rs"));
                assert!(file.exists(), "{}", file.display());
            }
        }
    };
}

smoke! {
    configurations: "config",
    cookies: "cookie",
    credentials_of_earthdaily: "credentials",
    metadata_of_issuers: "discovery",
    dotenv_files: "dotenv",
    durations: "duration",
    files_of_earthscope: "earthscope",
    commands_against_any_service: "exchange",
    claims: "jwt",
    explanations_of_errors: "reason",
    record_files: "record",
    retry_after_and_dates: "retry_after",
    numbers_of_seconds: "seconds",
    answers_of_token_endpoints: "token_answer",
}
