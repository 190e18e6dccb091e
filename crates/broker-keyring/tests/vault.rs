//! Keys are had once, and one key serves a folder.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::path::Path;
use std::sync::Arc;

use broker_core::{Envelope, ErrorKind, Sealer, Secret, SecretSource, SystemEnv};
use broker_keyring::{Vault, With};

fn vault(folder: &Path, with: With) -> Vault {
    Vault::new(folder.to_owned(), Some(with), Arc::new(SystemEnv))
}

fn with_passphrase(folder: &Path, text: &str) -> Vault {
    let literal = SecretSource::Literal(Secret::new(text));
    vault(folder, With::Passphrase).with_passphrase(Some(literal))
}

fn write(folder: &Path, envelope: &Envelope) {
    let path = folder.join(format!("{}.json", envelope.provider));
    std::fs::write(path, serde_json::to_string(envelope).unwrap()).unwrap();
}

#[test]
fn all_records_of_a_folder_have_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let first = with_passphrase(folder.path(), "horse").seal("passphrase", "a", b"one").unwrap();
    write(folder.path(), &first);
    let other = with_passphrase(folder.path(), "horse");
    let second = other.seal("passphrase", "b", b"two").unwrap();
    assert_eq!((&first.key, &first.kdf), (&second.key, &second.kdf), "also of another process");
    assert_eq!(other.open(&first).unwrap().unwrap().as_slice(), b"one");
    let wrong = with_passphrase(folder.path(), "cow");
    for refused in [wrong.open(&first).unwrap_err(), wrong.probe("passphrase").unwrap_err()] {
        assert_eq!(refused.kind(), ErrorKind::Failed, "{refused}");
    }
    assert!(wrong.seal("passphrase", "b", b"two").is_err());
}

#[test]
fn a_salt_that_was_made_weak_is_not_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut weak = with_passphrase(folder.path(), "horse").seal("passphrase", "a", b"one").unwrap();
    weak.kdf.as_mut().unwrap()["memory"] = 8.into();
    write(folder.path(), &weak);
    let next = with_passphrase(folder.path(), "horse").seal("passphrase", "b", b"two").unwrap();
    assert_eq!(next.kdf.unwrap()["memory"], 19 * 1024);
}

#[test]
fn a_key_is_asked_for_once() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let script = format!("echo x >> '{}'; printf %064d 7", count.display());
    let command = SecretSource::Command(["sh", "-c", &script].map(str::to_owned).to_vec());
    let vault = vault(folder.path(), With::Key).with_key(Some(command));
    assert!(!count.exists(), "nor before there is something to seal");
    let envelopes: Vec<_> =
        ["a", "b", "c"].iter().map(|name| vault.seal("key", name, b"it").unwrap()).collect();
    for envelope in &envelopes {
        assert_eq!(vault.open(envelope).unwrap().unwrap().as_slice(), b"it");
    }
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "x\n");
    assert!(!format!("{vault:?}").contains("printf"), "{vault:?}");
}
