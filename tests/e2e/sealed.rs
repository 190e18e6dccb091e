//! Tests records that are sealed (encrypted) with a passphrase or a key.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use broker_e2e::{Run, Sandbox, finish, secret_in};
use broker_testkit::{EarthDaily, EarthScope, EarthScopeOptions, Fault, Rotation};
use chrono::TimeDelta;
use serde_json::Value;

use crate::stage::{
    block_state, concurrent_tokens, earthdaily, log_in, logged_in, start_request, unblock_state,
    with_runtime_dir,
};

const TOKEN: [&str; 2] = ["token", "earthdaily"];

/// Writes a key file with 64 times the same hexadecimal digit, a key of 32 bytes.
fn write_key(sandbox: &Sandbox, digit: &str) {
    sandbox.write(&sandbox.home().join("broker.key"), &format!("{}\n", digit.repeat(64)));
}

/// Writes a key file, and configures the store to encrypt records with this key.
pub(crate) fn configure_key(sandbox: &Sandbox) {
    write_key(sandbox, "a");
    sandbox.write_config(&format!("store = {{ key = {{ file = \"~/broker.key\" }} }}\n{}", sandbox.config()));
}

fn configure_passphrase(sandbox: &Sandbox) {
    let store = "store = { passphrase = { env = \"BROKER_PASSPHRASE\" } }";
    sandbox.write_config(&format!("{store}\n{}", sandbox.config()));
}

/// Starts an EarthDaily fake server and a sandbox with its client secret. The passphrase can encrypt records.
fn imagery() -> (EarthDaily, Sandbox) {
    let (service, sandbox) = earthdaily("");
    (service, sandbox.with_env("BROKER_PASSPHRASE", "correct horse battery staple"))
}

/// Returns the configuration with its only table, `[providers.earthdaily]`, renamed to another provider.
fn copied_provider(sandbox: &Sandbox, name: &str) -> String {
    let table = format!("[providers.{name}]\nkind = \"earthdaily\"");
    sandbox.config().replace("[providers.earthdaily]", &table)
}

/// Starts an EarthScope fake server, and a sandbox with a login in the record, not in EarthScope's login file.
pub(crate) fn seismic() -> (EarthScope, Sandbox) {
    let options = EarthScopeOptions { rotation: Rotation::RotateDetectReuse, ..Default::default() };
    logged_in(options, "share = false\n")
}

fn record_bytes(sandbox: &Sandbox) -> Vec<u8> {
    std::fs::read(sandbox.record_path("earthdaily")).expect("a record")
}

/// Asserts that no file in the folder contains a secret in plain text.
pub(crate) fn assert_sealed(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let bytes = std::fs::read(entry.path()).expect("a file");
        assert!(
            secret_in(&String::from_utf8_lossy(&bytes)).is_none(),
            "{} contains a secret",
            entry.path().display()
        );
    }
}

pub(crate) fn stored_format(sandbox: &Sandbox, provider: &str) -> Value {
    let status = sandbox.broker(&["store", "status", "--json"]).json();
    let records = status["records"].as_array().expect("a list").clone();
    records.into_iter().find(|record| record["name"] == provider).expect("a record")["kept"].clone()
}

#[test]
fn sealed_record_contains_no_plain_secrets() {
    for source in ["passphrase", "key"] {
        let (service, sandbox) = imagery();
        match source {
            "key" => configure_key(&sandbox),
            _ => configure_passphrase(&sandbox),
        }
        let token = sandbox.broker(&TOKEN).token();
        assert_eq!(sandbox.broker(&TOKEN).token(), token);
        assert_eq!(service.exchanges(), 1, "{source}");
        let record = sandbox.record("earthdaily");
        assert_eq!((&record["version"], &record["with"]), (&Value::from(2), &Value::from(source)));
        assert_eq!(record["kdf"].is_object(), source == "passphrase");
        assert_sealed(&sandbox.state());
        let _ = sandbox.broker(&["config", "show"]).ends(0).prints(&format!("store = {{ {source} = {{ "));
        let _ = sandbox.broker(&["logout", "earthdaily"]).ends(0);
        assert!(!sandbox.record_path("earthdaily").exists());
    }
}

/// Asserts that a run failed with this error, and that the record was neither changed nor quarantined.
fn assert_unchanged(run: Run, exit: i32, code: &str, sandbox: &Sandbox, before: &[u8]) {
    let _ = run.ends(exit).fails_with(code);
    assert_eq!(record_bytes(sandbox), before);
    let files = std::fs::read_dir(sandbox.state()).expect("a folder").flatten();
    assert!(!files.into_iter().any(|entry| entry.file_name().to_string_lossy().contains("aside")));
}

#[test]
fn wrong_passphrase_fails_and_keeps_the_record() {
    let (service, sandbox) = imagery();
    let plain = sandbox.config();
    let other = copied_provider(&sandbox, "other");
    configure_passphrase(&sandbox);
    let _ = sandbox.broker(&TOKEN).token();
    let before = record_bytes(&sandbox);
    let check = |sandbox: &Sandbox, exit, code: &str| {
        for words in [
            &TOKEN[..],
            &["login", "earthdaily"],
            &["token", "earthdaily", "--force"],
            &["logout", "earthdaily"],
        ] {
            assert_unchanged(sandbox.broker(words), exit, code, sandbox, &before);
        }
    };
    let sandbox = sandbox.with_env("BROKER_PASSPHRASE", "incorrect horse");
    check(&sandbox, 1, "store_sealed");
    let sandbox = sandbox.with_env("BROKER_PASSPHRASE", "");
    check(&sandbox, 5, "secret_unreadable");
    let _ = sandbox.broker(&TOKEN).ends(5).says("BROKER_PASSPHRASE");
    sandbox.write_config(&plain);
    check(&sandbox, 1, "store_sealed");
    assert_eq!(service.exchanges(), 1);
    // If the passphrase cannot open an existing record, the broker seals no new record with this passphrase.
    let sandbox = sandbox.with_env("BROKER_PASSPHRASE", "incorrect horse");
    sandbox.write_config(&(plain + &other));
    configure_passphrase(&sandbox);
    let _ = sandbox.broker(&["token", "other"]).ends(1).fails_with("store_sealed");
    assert_eq!(service.exchanges(), 1, "checked before the exchange");
    // A key of the wrong length is a configuration error.
    sandbox.write_config(&other);
    configure_key(&sandbox);
    sandbox.write(&sandbox.home().join("broker.key"), "abc");
    let _ = sandbox.broker(&["token", "other"]).ends(5).fails_with("config_invalid_value").says("store.key");
}

#[test]
fn wrong_key_fails_and_keeps_the_record() {
    let (_service, sandbox) = imagery();
    configure_key(&sandbox);
    let token = sandbox.broker(&TOKEN).token();
    let before = record_bytes(&sandbox);
    write_key(&sandbox, "b");
    assert_unchanged(sandbox.broker(&TOKEN), 1, "store_sealed", &sandbox, &before);
    write_key(&sandbox, "a");
    assert_eq!(sandbox.broker(&TOKEN).token(), token);
}

#[test]
fn only_store_migrate_changes_format_of_existing_records() {
    let (service, sandbox) = seismic();
    let token = sandbox.broker(&["token", "earthscope"]).token();
    let plain = sandbox.record("earthscope");
    configure_key(&sandbox);
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), token);
    assert_eq!(stored_format(&sandbox, "earthscope"), "file", "existing records do not change");
    let _ = sandbox.broker(&["store", "migrate"]).ends(0).prints("earthscope: file -> key");
    assert_eq!(stored_format(&sandbox, "earthscope"), "key");
    assert_sealed(&sandbox.state());
    let sandbox = sandbox.with_env("BROKER_STORE", "file");
    let renewed = sandbox.broker(&["token", "earthscope", "--force"]).token();
    assert!(renewed != token);
    assert_eq!(stored_format(&sandbox, "earthscope"), "key", "a renewal keeps the format");
    assert_sealed(&sandbox.state());
    let _ = sandbox.broker(&["store", "migrate"]).ends(0).prints("earthscope: key -> file");
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), renewed);
    let again = sandbox.record("earthscope");
    assert_eq!((&again["version"], &again["issuer"]), (&plain["version"], &plain["issuer"]));
    assert_eq!((service.refreshes(), service.reuse_events()), (2, 0));
    let _ = sandbox
        .with_env("BROKER_STORE", "ring")
        .broker(&["token", "earthscope"])
        .ends(5)
        .fails_with("config_invalid_value")
        .says("BROKER_STORE");
}

#[test]
fn concurrent_processes_renew_a_sealed_record_once() {
    let (service, sandbox) = seismic();
    sandbox.age("earthscope", TimeDelta::days(2));
    configure_key(&sandbox);
    let _ = sandbox.broker(&["store", "migrate"]).ends(0);
    let before = service.refreshes();
    service.fault("token", Fault::Delay(Duration::from_millis(300)));
    let mut tokens = concurrent_tokens(&sandbox, &["token", "earthscope"], 16);
    tokens.dedup();
    assert_eq!((tokens.len(), service.refreshes() - before, service.reuse_events()), (1, 1, 0));
    assert_eq!(stored_format(&sandbox, "earthscope"), "key");
}

#[test]
fn sealed_record_stays_sealed_in_the_runtime_folder() {
    let (service, sandbox) = seismic();
    sandbox.age("earthscope", TimeDelta::days(2));
    configure_key(&sandbox);
    let _ = sandbox.broker(&["store", "migrate"]).ends(0);
    let (sandbox, runtime) = with_runtime_dir(sandbox);
    service.fault("token", Fault::Delay(Duration::from_millis(300)));
    let child = start_request(&sandbox, &["token", "earthscope"], &service, "token");
    block_state(&sandbox);
    let token = finish(child).says("WARNING").token();
    assert_sealed(&runtime.join("broker"));
    unblock_state(&sandbox);
    // With the wrong key, the broker cannot open the newer fallback record. It must not use the older record instead.
    write_key(&sandbox, "b");
    let _ = sandbox.broker(&["token", "earthscope"]).ends(1).fails_with("store_sealed");
    write_key(&sandbox, "a");
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), token);
    assert_eq!(service.reuse_events(), 0);
}

#[test]
fn sealed_record_of_other_provider_or_version_is_refused() {
    let (_service, sandbox) = imagery();
    sandbox.write_config(&(sandbox.config() + &copied_provider(&sandbox, "other")));
    configure_key(&sandbox);
    let _ = sandbox.broker(&TOKEN).token();
    let text = std::fs::read_to_string(sandbox.record_path("earthdaily")).expect("a record");
    std::fs::write(sandbox.record_path("other"), text.replace("\"earthdaily\"", "\"other\""))
        .expect("written");
    let _ = sandbox.broker(&["status", "other"]).ends(0).says("damaged");
    let newer = text.replace("\"version\": 2", "\"version\": 3");
    std::fs::write(sandbox.record_path("earthdaily"), &newer).expect("written");
    let _ = sandbox.broker(&["status", "earthdaily"]).ends(0).says("format 3");
    let _ = sandbox.broker(&["store", "migrate"]).ends(0);
    assert_eq!(record_bytes(&sandbox), newer.as_bytes());
}

/// Sets the session bus to a socket that accepts connections and never answers.
fn with_silent_bus(sandbox: Sandbox) -> (Sandbox, UnixListener) {
    let path = sandbox.home().join("bus");
    let bus = UnixListener::bind(&path).expect("a socket");
    bus.set_nonblocking(true).expect("nonblocking");
    let address = format!("unix:path={}", path.display());
    (sandbox.with_env("DBUS_SESSION_BUS_ADDRESS", &address), bus)
}

#[test]
fn reading_a_plain_record_does_not_open_the_keyring_bus() {
    let (_service, sandbox) = imagery();
    let token = sandbox.broker(&TOKEN).token();
    let (sandbox, bus) = with_silent_bus(sandbox);
    assert_eq!(sandbox.broker(&TOKEN).token(), token);
    let _ = sandbox.broker(&["store", "status"]).ends(0).prints("new logins: file");
    assert!(bus.accept().is_err(), "no connection");
    // With `store = "keyring"`, the login connects to the bus, which does not answer.
    sandbox.write_config(&format!("store = \"keyring\"\n{}", sandbox.config()));
    let _ = sandbox.broker(&["login", "earthdaily"]).ends(1).fails_with("keyring_unavailable").says("5 s");
    assert!(bus.accept().is_ok());
    assert_eq!(sandbox.broker(&TOKEN).token(), token);
}

#[test]
fn doctor_names_records_that_are_not_sealed() {
    let (service, sandbox) = imagery();
    configure_key(&sandbox);
    let token = sandbox.broker(&TOKEN).token();
    let doctor = sandbox.broker(&["doctor", "--offline", "--json"]).ends(0);
    let _ = doctor.prints("all records are encrypted (store: key)");
    let sealed = record_bytes(&sandbox);
    let _ = sandbox.command(&["store", "migrate"]).env("BROKER_STORE", "file").output().expect("it runs");
    assert_ne!(record_bytes(&sandbox), sealed);
    assert_eq!((sandbox.broker(&TOKEN).token(), service.exchanges()), (token, 1));
    let says = "`store` is \"key\", but some records have another format: earthdaily (file)";
    let doctor = sandbox.broker(&["doctor", "--offline"]).ends(1);
    assert!(!doctor.prints(says).out.contains("all records are encrypted"));
    let _ = sandbox.broker(&["store", "migrate"]).ends(0);
    let _ = sandbox.broker(&["doctor", "--offline"]).ends(0);
}

#[test]
fn all_commands_work_with_a_sealed_record() {
    let (service, sandbox) = seismic();
    configure_key(&sandbox);
    log_in(&service, &sandbox);
    assert_eq!(stored_format(&sandbox, "earthscope"), "key", "a new login is sealed");
    let _ = sandbox.broker(&["token", "earthscope"]).token();
    let status = sandbox.broker(&["status", "earthscope", "--json"]).json();
    assert_eq!(status["providers"][0]["state"], "valid");
    let _ = sandbox.broker(&["inspect", "earthscope"]).ends(0);
    let refresh = sandbox.broker(&["token", "earthscope", "--refresh-token"]).token();
    assert!(service.is_live(&refresh));
    assert_sealed(&sandbox.state());
    // With the wrong key, no command may report that the user must log in.
    write_key(&sandbox, "b");
    for words in ["status", "inspect", "logout"] {
        let run = sandbox.broker(&[words, "earthscope"]);
        let says =
            "error[store_sealed]: earthscope: the key in `store.key` cannot decrypt the record of earthscope";
        assert!(run.err.contains(says), "{words}: {run:?}");
    }
    write_key(&sandbox, "a");
    let _ = sandbox.broker(&["logout", "earthscope", "--local"]).ends(0);
    assert!(!sandbox.record_path("earthscope").exists() && service.is_live(&refresh));
}

#[test]
fn keyring_that_times_out_is_called_only_once() {
    let (_service, sandbox) = imagery();
    let mut config = sandbox.config();
    configure_key(&sandbox);
    let _ = sandbox.broker(&TOKEN).token();
    let text = std::fs::read_to_string(sandbox.record_path("earthdaily")).expect("a record");
    sandbox.write_config(&config);
    for name in ["one", "two", "three"] {
        let record =
            text.replace("\"earthdaily\"", &format!("\"{name}\"")).replace("\"key\",", "\"keyring\",");
        sandbox.write(&sandbox.record_path(name), &record);
        config += &copied_provider(&sandbox, name);
    }
    sandbox.write_config(&config);
    configure_key(&sandbox);
    let (sandbox, bus) = with_silent_bus(sandbox);
    let run = sandbox.broker(&["status", "one", "two", "three", "--json"]);
    assert!((run.err.clone() + &run.out).contains("within 5 s"), "{run:?}");
    assert!(bus.accept().is_ok() && bus.accept().is_err(), "one connection");
}
