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
    for refused in [wrong.open(&first).unwrap_err(), wrong.probe("passphrase", "b").unwrap_err()] {
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
    assert!(!format!("{vault:?}").contains("printf"), "{vault:?}");
}

#[test]
fn a_key_that_was_replaced_seals_nothing_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("the.key");
    let with_key = || vault(folder.path(), With::Key).with_key(Some(SecretSource::File(file.clone())));
    std::fs::write(&file, "a".repeat(64)).unwrap();
    let long_lived = with_key();
    long_lived.probe("key", "a").unwrap();
    write(folder.path(), &long_lived.seal("key", "a", b"one").unwrap());
    // Somebody moves the records to another key, and the old one is gone.
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
    // Nor does it where no record says what its key is.
    std::fs::write(&file, "c".repeat(64)).unwrap();
    std::fs::remove_file(folder.path().join("a.json")).unwrap();
    long_lived.probe("key", "a").unwrap();
    let sealed = long_lived.seal("key", "a", b"four").unwrap();
    assert_eq!(with_key().open(&sealed).unwrap().unwrap().as_slice(), b"four");
}

#[test]
fn what_is_said_to_be_removed_is_the_file_that_cannot_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    let old = with_passphrase(folder.path(), "horse").seal("passphrase", "a", b"one").unwrap();
    let aside = folder.path().join("a.json.aside-1");
    std::fs::write(&aside, serde_json::to_string(&old).unwrap()).unwrap();
    let refused = with_passphrase(folder.path(), "cow").probe("passphrase", "b").unwrap_err();
    assert!(
        refused.hint().unwrap().to_string().contains(&format!("remove {} and", aside.display())),
        "{refused:?}"
    );
}
