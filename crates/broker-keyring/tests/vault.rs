//! Tests of the keys that encrypt the records of a folder: sharing, caching and replacement.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use broker_core::{Envelope, ErrorCode, Sealer, Secret, SecretSource, SystemEnv};
use broker_keyring::{KeySource, Vault};

fn with_key(folder: &Path, key: SecretSource) -> Vault {
    Vault::new(folder.to_owned(), Some(KeySource::Key), None, Some(key), Arc::new(SystemEnv))
}

fn with_passphrase(folder: &Path, text: &str) -> Vault {
    let passphrase = SecretSource::Literal(Secret::new(text));
    Vault::new(folder.to_owned(), Some(KeySource::Passphrase), Some(passphrase), None, Arc::new(SystemEnv))
}

fn write(folder: &Path, envelope: &Envelope) {
    let path = folder.join(format!("{}.json", envelope.provider));
    std::fs::write(path, serde_json::to_string(envelope).unwrap()).unwrap();
}

#[test]
fn records_of_one_folder_share_one_encryption_key() {
    let folder = tempfile::tempdir().unwrap();
    let first = with_passphrase(folder.path(), "horse").seal("passphrase", "a", b"one").unwrap();
    write(folder.path(), &first);
    let other = with_passphrase(folder.path(), "horse");
    let second = other.seal("passphrase", "b", b"two").unwrap();
    assert_eq!(
        (&first.key, &first.kdf),
        (&second.key, &second.kdf),
        "another process seals with the same key"
    );
    assert_eq!(other.open(&first).unwrap().unwrap().as_slice(), b"one");
    let wrong = with_passphrase(folder.path(), "cow");
    for error in [wrong.open(&first).unwrap_err(), wrong.probe("passphrase", "b").unwrap_err()] {
        assert_eq!(error.code(), ErrorCode::StoreSealed, "{error}");
    }
    assert!(wrong.seal("passphrase", "b", b"two").is_err());
}

#[test]
fn record_sealed_with_a_marked_passphrase_still_opens() {
    let folder = tempfile::tempdir().unwrap();
    // Older versions kept the byte order mark of a file as a part of the passphrase.
    let old = with_passphrase(folder.path(), "\u{feff}horse").seal("passphrase", "a", b"one").unwrap();
    write(folder.path(), &old);
    let file = folder.path().join("passphrase");
    for text in ["\u{feff}horse\r\n", "horse\n"] {
        std::fs::write(&file, text).unwrap();
        let source = Some(SecretSource::File(file.clone()));
        let vault = Vault::new(
            folder.path().to_owned(),
            Some(KeySource::Passphrase),
            source,
            None,
            Arc::new(SystemEnv),
        );
        assert_eq!(vault.open(&old).unwrap().unwrap().as_slice(), b"one");
        let next = vault.seal("passphrase", "b", b"two").unwrap();
        assert_eq!(vault.open(&next).unwrap().unwrap().as_slice(), b"two");
    }
}

#[test]
fn weak_argon2id_parameters_of_a_record_are_not_reused() {
    let folder = tempfile::tempdir().unwrap();
    let mut weak = with_passphrase(folder.path(), "horse").seal("passphrase", "a", b"one").unwrap();
    weak.kdf.as_mut().unwrap()["memory"] = 8.into();
    write(folder.path(), &weak);
    let next = with_passphrase(folder.path(), "horse").seal("passphrase", "b", b"two").unwrap();
    assert_eq!(next.kdf.unwrap()["memory"], 19 * 1024);
}

#[test]
fn command_that_prints_the_key_runs_once_for_all_records() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let script = format!("echo x >> '{}'; printf %064d 7", count.display());
    let command = SecretSource::Command(["sh", "-c", &script].map(str::to_owned).to_vec());
    let vault = with_key(folder.path(), command);
    assert!(!count.exists(), "the key command does not run before the first record");
    let envelopes = ["a", "b", "c"].map(|name| {
        vault.probe("key", name).unwrap();
        let envelope = vault.seal("key", name, b"it").unwrap();
        write(folder.path(), &envelope);
        envelope
    });
    for envelope in &envelopes {
        assert_eq!(vault.open(envelope).unwrap().unwrap().as_slice(), b"it");
    }
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "x\n");
}

#[test]
fn vault_encrypts_with_new_key_after_key_file_changes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("the.key");
    let with_key = || with_key(folder.path(), SecretSource::File(file.clone()));
    std::fs::write(&file, "a".repeat(64)).unwrap();
    let long_lived = with_key();
    long_lived.probe("key", "a").unwrap();
    write(folder.path(), &long_lived.seal("key", "a", b"one").unwrap());
    // Another process changes the key in the key file and encrypts record `a` with the new key.
    std::fs::write(&file, "b".repeat(64)).unwrap();
    std::fs::remove_file(folder.path().join("a.json")).unwrap();
    let moved = with_key().seal("key", "a", b"two").unwrap();
    write(folder.path(), &moved);
    assert_eq!(long_lived.open(&moved).unwrap().unwrap().as_slice(), b"two");
    for name in ["a", "new"] {
        long_lived.probe("key", name).unwrap();
        let sealed = long_lived.seal("key", name, b"three").unwrap();
        assert_eq!(sealed.key, moved.key, "{name}");
        assert_eq!(with_key().open(&sealed).unwrap().unwrap().as_slice(), b"three");
    }
    // The vault also uses a changed key if the folder contains no record.
    std::fs::write(&file, "c".repeat(64)).unwrap();
    std::fs::remove_file(folder.path().join("a.json")).unwrap();
    long_lived.probe("key", "a").unwrap();
    let sealed = long_lived.seal("key", "a", b"four").unwrap();
    assert_eq!(with_key().open(&sealed).unwrap().unwrap().as_slice(), b"four");
}

#[test]
fn wrong_passphrase_hint_names_the_encrypted_record_file() {
    let folder = tempfile::tempdir().unwrap();
    let old = with_passphrase(folder.path(), "horse").seal("passphrase", "a", b"one").unwrap();
    let quarantine = folder.path().join("a.json.aside-1");
    std::fs::write(&quarantine, serde_json::to_string(&old).unwrap()).unwrap();
    let error = with_passphrase(folder.path(), "cow").probe("passphrase", "b").unwrap_err();
    assert!(
        error.hint().unwrap().to_string().contains(&format!("remove {} and", quarantine.display())),
        "{error:?}"
    );
}

#[test]
fn peek_neither_gets_a_key_nor_waits_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("passphrase");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let command = ["cat", &fifo.display().to_string()].map(str::to_owned).to_vec();
    let key = SecretSource::Literal(Secret::new("a".repeat(64)));
    let vault = Vault::new(
        folder.path().to_owned(),
        Some(KeySource::Key),
        Some(SecretSource::Command(command)),
        Some(key.clone()),
        Arc::new(SystemEnv),
    );
    let one = with_key(folder.path(), key).seal("key", "a", b"one").unwrap();
    let two = with_passphrase(folder.path(), "horse").seal("passphrase", "b", b"two").unwrap();
    assert!(vault.peek(&one).is_none());
    assert_eq!(vault.open(&one).unwrap().unwrap().as_slice(), b"one");
    std::thread::scope(|scope| {
        let opened = scope.spawn(|| vault.open(&two));
        // Opens when the command has opened the other end, so the thread is waiting for the passphrase.
        let mut passphrase = std::fs::File::create(&fifo).unwrap();
        assert_eq!(vault.peek(&one).unwrap().as_slice(), b"one");
        assert!(vault.peek(&two).is_none());
        passphrase.write_all(b"horse\n").unwrap();
        drop(passphrase);
        assert_eq!(opened.join().unwrap().unwrap().unwrap().as_slice(), b"two");
    });
    assert_eq!(vault.peek(&two).unwrap().as_slice(), b"two");
}
