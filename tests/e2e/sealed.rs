//! Tests records that are sealed (encrypted) with a passphrase or a key.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use broker_e2e::{Run, Sandbox, finish, secret_in};
use broker_testkit::{EarthDaily, EarthDailyOptions, EarthScope, EarthScopeOptions, Fault, Rotation};
use chrono::TimeDelta;
use serde_json::Value;

const PASSPHRASE: &str = "store = { passphrase = { env = \"BROKER_PASSPHRASE\" } }\n";
const TOKEN: [&str; 2] = ["token", "earthdaily"];

/// Returns a key of 32 bytes, which is this hexadecimal digit repeated.
fn key(digit: &str) -> String {
    digit.repeat(64)
}

pub(crate) fn with_key(sandbox: &Sandbox, digit: &str) -> String {
    let file = sandbox.home().join("broker.key");
    sandbox.write(&file, &format!("{}\n", key(digit)));
    format!("store = {{ key = {{ file = \"{}\" }} }}\n", file.display())
}

pub(crate) fn imagery() -> (EarthDaily, String, Sandbox) {
    let service = EarthDaily::start(EarthDailyOptions::default());
    let config = format!("[providers.earthdaily]\nauth_url = \"{}\"\n", service.auth_url());
    let sandbox = Sandbox::new()
        .with_env("EDS_SECRET", "standin-api-token")
        .with_env("BROKER_PASSPHRASE", "correct horse battery staple");
    (service, config, sandbox)
}

/// Returns an EarthScope server, the configuration for it, and a sandbox with a login.
pub(crate) fn seismic() -> (EarthScope, String, Sandbox) {
    let service =
        EarthScope::start(EarthScopeOptions { rotation: Rotation::RotateDetectReuse, ..Default::default() });
    let config = format!("[providers.earthscope]\ndomain = \"{}\"\nshare = false\n", service.url());
    let sandbox = Sandbox::new().with_config(&config);
    let login = ["login", "earthscope", "--refresh-token-stdin"];
    let _ = sandbox.broker_reading(&login, &service.issue_refresh_token()).ends(0);
    let _ = sandbox.broker(&["token", "earthscope"]).token();
    (service, config, sandbox)
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("a file")
}

/// Asserts that no file in the folder contains a secret in plain text.
pub(crate) fn assert_sealed(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let text = String::from_utf8_lossy(&bytes(&entry.path())).into_owned();
        assert!(secret_in(&text).is_none(), "{} contains a secret", entry.path().display());
    }
}

pub(crate) fn stored_format(sandbox: &Sandbox, provider: &str) -> Value {
    let status = sandbox.broker(&["store", "status", "--json"]).ends(0);
    let status: Value = serde_json::from_str(&status.out).expect("JSON");
    let records = status["records"].as_array().expect("a list").clone();
    records.into_iter().find(|record| record["name"] == provider).expect("a record")["kept"].clone()
}

#[test]
fn sealed_record_contains_no_plain_secrets() {
    for source in ["passphrase", "key"] {
        let (service, config, sandbox) = imagery();
        let store = if source == "key" { with_key(&sandbox, "a") } else { PASSPHRASE.to_owned() };
        sandbox.write_config(&(store + &config));
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
    assert_eq!(bytes(&sandbox.record_path("earthdaily")), before);
    let files = std::fs::read_dir(sandbox.state()).expect("a folder").flatten();
    assert!(!files.into_iter().any(|entry| entry.file_name().to_string_lossy().contains("aside")));
}

#[test]
fn wrong_passphrase_fails_and_keeps_the_record() {
    let (service, config, sandbox) = imagery();
    sandbox.write_config(&(PASSPHRASE.to_owned() + &config));
    let _ = sandbox.broker(&TOKEN).token();
    let before = bytes(&sandbox.record_path("earthdaily"));
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
    sandbox.write_config(&config);
    check(&sandbox, 1, "store_sealed");
    assert_eq!(service.exchanges(), 1);
    // If the passphrase cannot open an existing record, the broker seals no new record with this passphrase.
    let sandbox = sandbox.with_env("BROKER_PASSPHRASE", "incorrect horse");
    let other = config.replace("[providers.earthdaily]", "[providers.other]\nkind = \"earthdaily\"");
    sandbox.write_config(&(PASSPHRASE.to_owned() + &config + &other));
    let _ = sandbox.broker(&["token", "other"]).ends(1).fails_with("store_sealed");
    assert_eq!(service.exchanges(), 1, "checked before the exchange");
    // A key of the wrong length is a configuration error.
    sandbox.write_config(&(with_key(&sandbox, "a") + &config + &other).replace("broker.key", "short.key"));
    sandbox.write(&sandbox.home().join("short.key"), "abc");
    let _ = sandbox.broker(&["token", "other"]).ends(5).fails_with("config_invalid_value").says("store.key");
}

#[test]
fn wrong_key_fails_and_keeps_the_record() {
    let (_service, config, sandbox) = imagery();
    sandbox.write_config(&(with_key(&sandbox, "a") + &config));
    let token = sandbox.broker(&TOKEN).token();
    let before = bytes(&sandbox.record_path("earthdaily"));
    let _ = with_key(&sandbox, "b");
    assert_unchanged(sandbox.broker(&TOKEN), 1, "store_sealed", &sandbox, &before);
    let _ = with_key(&sandbox, "a");
    assert_eq!(sandbox.broker(&TOKEN).token(), token);
}

#[test]
fn only_store_migrate_changes_the_record_format() {
    let (service, config, sandbox) = seismic();
    let token = sandbox.broker(&["token", "earthscope"]).token();
    let plain = sandbox.record("earthscope");
    sandbox.write_config(&(with_key(&sandbox, "a") + &config));
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
    let (service, config, sandbox) = seismic();
    sandbox.age("earthscope", TimeDelta::days(2));
    sandbox.write_config(&(with_key(&sandbox, "a") + &config));
    let _ = sandbox.broker(&["store", "migrate"]).ends(0);
    let before = service.refreshes();
    service.fault("token", Fault::Delay(Duration::from_millis(300)));
    let crowd: Vec<_> = (0..16).map(|_| sandbox.start(&["token", "earthscope"])).collect();
    let tokens: std::collections::BTreeSet<_> = crowd.into_iter().map(|one| finish(one).token()).collect();
    assert_eq!((tokens.len(), service.refreshes() - before, service.reuse_events()), (1, 1, 0));
    assert_eq!(stored_format(&sandbox, "earthscope"), "key");
}

#[test]
fn fallback_file_of_a_sealed_record_is_sealed() {
    let (service, config, sandbox) = seismic();
    let runtime = sandbox.home().join("run");
    std::fs::create_dir(&runtime).expect("a folder");
    sandbox.age("earthscope", TimeDelta::days(2));
    sandbox.write_config(&(with_key(&sandbox, "a") + &config));
    let _ = sandbox.broker(&["store", "migrate"]).ends(0);
    let sandbox = sandbox.with_env("XDG_RUNTIME_DIR", &runtime.display().to_string());
    service.forget_seen();
    service.fault("token", Fault::Delay(Duration::from_millis(300)));
    let child = sandbox.start(&["token", "earthscope"]);
    assert!(service.wait_for("token", 1, Duration::from_secs(30)));
    let away = sandbox.state().with_extension("away");
    std::fs::rename(sandbox.state(), &away).expect("moved");
    std::fs::write(sandbox.state(), "").expect("a file instead of the folder");
    let token = finish(child).says("WARNING").token();
    assert_sealed(&runtime.join("broker"));
    std::fs::remove_file(sandbox.state()).expect("the file is removed");
    std::fs::rename(&away, sandbox.state()).expect("the folder is back");
    // With another key, the broker cannot open the fallback file, and must not use the older record instead.
    let _ = with_key(&sandbox, "b");
    let _ = sandbox.broker(&["token", "earthscope"]).ends(1).fails_with("store_sealed");
    let _ = with_key(&sandbox, "a");
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), token);
    assert_eq!(service.reuse_events(), 0);
}

#[test]
fn renamed_or_newer_version_sealed_file_is_refused() {
    let (_service, config, sandbox) = imagery();
    let other = config.replace("[providers.earthdaily]", "[providers.other]\nkind = \"earthdaily\"");
    sandbox.write_config(&(with_key(&sandbox, "a") + &config + &other));
    let _ = sandbox.broker(&TOKEN).token();
    let text = std::fs::read_to_string(sandbox.record_path("earthdaily")).expect("a record");
    std::fs::write(sandbox.record_path("other"), text.replace("\"earthdaily\"", "\"other\""))
        .expect("written");
    let _ = sandbox.broker(&["status", "other"]).ends(0).says("damaged");
    let newer = text.replace("\"version\": 2", "\"version\": 3");
    std::fs::write(sandbox.record_path("earthdaily"), &newer).expect("written");
    let _ = sandbox.broker(&["status", "earthdaily"]).ends(0).says("format 3");
    let _ = sandbox.broker(&["store", "migrate"]).ends(0);
    assert_eq!(bytes(&sandbox.record_path("earthdaily")), newer.as_bytes());
}

#[test]
fn reading_a_plain_record_does_not_open_the_keyring_bus() {
    let (_service, config, sandbox) = imagery();
    sandbox.write_config(&config);
    let token = sandbox.broker(&TOKEN).token();
    let path = sandbox.home().join("bus");
    let bus = UnixListener::bind(&path).expect("a socket");
    bus.set_nonblocking(true).expect("nonblocking");
    let sandbox = sandbox.with_env("DBUS_SESSION_BUS_ADDRESS", &format!("unix:path={}", path.display()));
    assert_eq!(sandbox.broker(&TOKEN).token(), token);
    let _ = sandbox.broker(&["store", "status"]).ends(0).prints("new logins: file");
    assert!(bus.accept().is_err(), "no connection");
    // With `store = "keyring"`, the login connects to the bus, which does not answer.
    sandbox.write_config(&format!("store = \"keyring\"\n{config}"));
    let _ = sandbox.broker(&["login", "earthdaily"]).ends(1).fails_with("keyring_unavailable").says("5 s");
    assert!(bus.accept().is_ok());
    assert_eq!(sandbox.broker(&TOKEN).token(), token);
}

#[test]
fn doctor_names_records_that_are_not_sealed() {
    let (service, config, sandbox) = imagery();
    sandbox.write_config(&(with_key(&sandbox, "a") + &config));
    let token = sandbox.broker(&TOKEN).token();
    let doctor = sandbox.broker(&["doctor", "--offline", "--json"]).ends(0);
    let _ = doctor.prints("all records are sealed (key)");
    let sealed = bytes(&sandbox.record_path("earthdaily"));
    let _ = sandbox.command(&["store", "migrate"]).env("BROKER_STORE", "file").output().expect("it runs");
    assert_ne!(bytes(&sandbox.record_path("earthdaily")), sealed);
    assert_eq!((sandbox.broker(&TOKEN).token(), service.exchanges()), (token, 1));
    let says = "`store` is \"key\", but some records have another format: earthdaily (file)";
    let doctor = sandbox.broker(&["doctor", "--offline"]).ends(1);
    assert!(!doctor.prints(says).out.contains("all records are sealed"));
    let _ = sandbox.broker(&["store", "migrate"]).ends(0);
    let _ = sandbox.broker(&["doctor", "--offline"]).ends(0);
}

#[test]
fn all_commands_work_with_a_sealed_record() {
    let (service, config, sandbox) = seismic();
    sandbox.write_config(&(with_key(&sandbox, "a") + &config));
    let login = ["login", "earthscope", "--refresh-token-stdin"];
    let _ = sandbox.broker_reading(&login, &service.issue_refresh_token()).ends(0);
    assert_eq!(stored_format(&sandbox, "earthscope"), "key", "a new login is sealed");
    let _ = sandbox.broker(&["token", "earthscope"]).token();
    let status = sandbox.broker(&["status", "earthscope", "--json"]).json();
    assert_eq!(status["providers"][0]["state"], "valid");
    let _ = sandbox.broker(&["inspect", "earthscope"]).ends(0);
    let refresh = sandbox.broker(&["token", "earthscope", "--refresh-token"]).token();
    assert!(service.is_live(&refresh));
    assert_sealed(&sandbox.state());
    // With the wrong key, no command may report that the user must log in.
    let _ = with_key(&sandbox, "b");
    for words in ["status", "inspect", "logout"] {
        let run = sandbox.broker(&[words, "earthscope"]);
        assert!((run.err.clone() + &run.out).contains("another key"), "{words}: {run:?}");
    }
    let _ = with_key(&sandbox, "a");
    let _ = sandbox.broker(&["logout", "earthscope", "--local"]).ends(0);
    assert!(!sandbox.record_path("earthscope").exists() && service.is_live(&refresh));
}

#[test]
fn keyring_that_times_out_is_called_only_once() {
    let (_service, config, sandbox) = imagery();
    sandbox.write_config(&(with_key(&sandbox, "a") + &config));
    let _ = sandbox.broker(&TOKEN).token();
    let text = std::fs::read_to_string(sandbox.record_path("earthdaily")).expect("a record");
    let mut others = String::new();
    for name in ["one", "two", "three"] {
        let record =
            text.replace("\"earthdaily\"", &format!("\"{name}\"")).replace("\"key\",", "\"keyring\",");
        sandbox.write(&sandbox.record_path(name), &record);
        others +=
            &config.replace("[providers.earthdaily]", &format!("[providers.{name}]\nkind = \"earthdaily\""));
    }
    sandbox.write_config(&(with_key(&sandbox, "a") + &config + &others));
    let path = sandbox.home().join("bus");
    let bus = UnixListener::bind(&path).expect("a socket");
    bus.set_nonblocking(true).expect("nonblocking");
    let sandbox = sandbox.with_env("DBUS_SESSION_BUS_ADDRESS", &format!("unix:path={}", path.display()));
    let run = sandbox.broker(&["status", "one", "two", "three", "--json"]);
    assert!((run.err.clone() + &run.out).contains("within 5 s"), "{run:?}");
    assert!(bus.accept().is_ok() && bus.accept().is_err(), "one connection");
}
