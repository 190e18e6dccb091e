//! Tests records sealed with a key in gnome-keyring. Each test has its own session bus.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use broker_e2e::{Run, Sandbox, finish, secret_in, spawn};
use broker_testkit::EarthDaily;
use serde_json::Value;

use crate::stage::{earthdaily, program, start_request};

const TOKEN: [&str; 2] = ["token", "earthdaily"];

/// The attribute of the broker's keys, as an argument of `dbus-send`.
const OURS: &str = "dict:string:string:service,broker";

const COLLECTION: &str = "/org/freedesktop/secrets/collection/login";

/// A D-Bus session bus with gnome-keyring.
struct Desktop {
    service: EarthDaily,
    sandbox: Sandbox,
    running: Vec<Child>,
}

impl Drop for Desktop {
    fn drop(&mut self) {
        for child in self.running.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn missing(program: &str) -> String {
    format!("cannot start {program}: apt-get install gnome-keyring dbus")
}

impl Desktop {
    /// Starts a session bus without a keyring.
    fn with_bus() -> Self {
        let (service, sandbox) = earthdaily("");
        sandbox.write_config(&format!("store = \"keyring\"\n{}", sandbox.config()));
        let runtime = sandbox.home().join("runtime");
        std::fs::create_dir(&runtime).expect("a folder");
        // Disables D-Bus activation, because only the test may start the keyring.
        let bus = sandbox.home().join("bus.conf");
        let rules = "<busconfig><type>session</type><listen>unix:tmpdir=/tmp</listen><auth>EXTERNAL</auth>\
             <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/>\
             <allow own=\"*\"/></policy></busconfig>";
        std::fs::write(&bus, rules).expect("a file");
        let words = ["--config-file", &bus.display().to_string(), "--nofork", "--print-address=1"];
        let mut daemon = program(&sandbox, "dbus-daemon", &words);
        let mut daemon =
            daemon.stdout(Stdio::piped()).spawn().unwrap_or_else(|_| panic!("{}", missing("dbus-daemon")));
        let mut address = String::new();
        BufReader::new(daemon.stdout.take().expect("its stdout"))
            .read_line(&mut address)
            .expect("its address");
        let sandbox = sandbox
            .with_env("DBUS_SESSION_BUS_ADDRESS", address.trim())
            .with_env("XDG_RUNTIME_DIR", &runtime.display().to_string());
        Self { service, sandbox, running: vec![daemon] }
    }

    /// Starts a session bus with an unlocked keyring.
    fn new() -> Self {
        let mut desktop = Self::with_bus();
        desktop.start_keyring();
        desktop
    }

    fn start_keyring(&mut self) {
        let words = ["--unlock", "--foreground", "--components=secrets"];
        let mut keyring: Command = program(&self.sandbox, "gnome-keyring-daemon", &words);
        let keyring = keyring.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut keyring = keyring.unwrap_or_else(|_| panic!("{}", missing("gnome-keyring-daemon")));
        keyring.stdin.take().expect("its stdin").write_all(b"a login password").expect("written");
        self.running.push(keyring);
        self.wait_until("unlocked");
        // A starting keyring answers some methods before it implements the others.
        let begun = Instant::now();
        while !self.keyring_output("SearchItems", OURS).status.success() {
            assert!(begun.elapsed() < Duration::from_mins(1), "the keyring does not search items");
        }
    }

    fn wait_until(&self, state: &str) {
        let begun = Instant::now();
        while self.status()["keyring"] != state {
            assert!(
                begun.elapsed() < Duration::from_mins(1),
                "the keyring does not become {state}: {}",
                self.status()
            );
        }
    }

    fn status(&self) -> Value {
        self.sandbox.broker(&["store", "status", "--json"]).json()
    }

    /// Calls a method of the Secret Service API.
    fn keyring_output(&self, method: &str, argument: &str) -> Output {
        let method = format!("org.freedesktop.Secret.Service.{method}");
        let to = ["--dest=org.freedesktop.secrets", "/org/freedesktop/secrets"];
        let words = ["--session", "--print-reply", to[0], to[1], &method, argument];
        program(&self.sandbox, "dbus-send", &words).output().expect("dbus-send runs")
    }

    /// Calls a method of the Secret Service API. Returns the printed reply.
    fn call_keyring(&self, method: &str, argument: &str) -> String {
        let output = self.keyring_output(method, argument);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn lock(&self) {
        self.call_keyring("Lock", &format!("array:objpath:{COLLECTION}"));
        self.wait_until("locked");
    }

    /// Counts the broker's keys in the keyring.
    fn items(&self) -> usize {
        self.call_keyring("SearchItems", OURS).matches(COLLECTION).count()
    }

    fn migrate_to_file(&self) -> Run {
        let words = ["store", "migrate"];
        let mut command = self.sandbox.command(&words);
        command.env("BROKER_STORE", "file");
        finish(spawn(command, &words))
    }

    /// Adds providers with these names to the configuration, all for the same service.
    fn add(&self, names: &[String]) {
        let auth_url = self.service.auth_url();
        let table = |name| format!("[providers.{name}]\nkind = \"earthdaily\"\nauth_url = \"{auth_url}\"\n");
        let tables: String = names.iter().map(table).collect();
        self.sandbox.write_config(&(self.sandbox.config() + &tables));
    }

    fn stop_keyring(&mut self) {
        let mut keyring = self.running.pop().expect("a keyring");
        keyring.kill().expect("killed");
        keyring.wait().expect("it ends");
        self.wait_until("absent");
    }
}

#[test]
#[ignore = "needs gnome-keyring and dbus"]
fn keyring_stores_the_key_that_seals_records() {
    let desktop = Desktop::new();
    let sandbox = &desktop.sandbox;
    let token = sandbox.broker(&TOKEN).token();
    assert_eq!(sandbox.broker(&TOKEN).token(), token);
    assert_eq!(desktop.service.exchanges(), 1);
    assert_eq!(sandbox.record("earthdaily")["with"], "keyring");
    let text = std::fs::read_to_string(sandbox.record_path("earthdaily")).expect("a record");
    assert!(secret_in(&text).is_none());
    // The keyring contains one item, the key, until a migration to unsealed files deletes the key.
    assert_eq!(desktop.items(), 1);
    let _ = desktop.migrate_to_file().ends(0).prints("earthdaily: keyring -> file");
    assert_eq!((desktop.items(), sandbox.record("earthdaily")["version"].as_u64()), (0, Some(1)));
    let _ = sandbox.broker(&["store", "migrate"]).ends(0).prints("earthdaily: file -> keyring");
    assert_eq!((desktop.items(), sandbox.broker(&TOKEN).token() == token), (1, true));
}

#[test]
#[ignore = "needs gnome-keyring and dbus"]
fn unavailable_keyring_is_an_error_before_requests() {
    let mut desktop = Desktop::new();
    let token = desktop.sandbox.broker(&TOKEN).token();
    let before = std::fs::read(desktop.sandbox.record_path("earthdaily")).expect("a record");
    let check = |desktop: &Desktop| {
        for words in [
            &TOKEN[..],
            &["login", "earthdaily"],
            &["token", "earthdaily", "--force"],
            &["logout", "earthdaily"],
        ] {
            let run = desktop.sandbox.broker(words).ends(1).fails_with("keyring_unavailable");
            let _ = run.says("store = { key =").says("broker store migrate");
        }
        assert_eq!(std::fs::read(desktop.sandbox.record_path("earthdaily")).expect("a record"), before);
        assert_eq!(desktop.service.exchanges(), 1);
    };
    desktop.lock();
    check(&desktop);
    let _ = desktop.sandbox.broker(&["doctor", "--offline"]).ends(1).prints("the OS keyring is locked");
    desktop.stop_keyring();
    check(&desktop);
    // When the user unlocks the keyring, the token is available again.
    desktop.start_keyring();
    assert_eq!(desktop.sandbox.broker(&TOKEN).token(), token);
}

#[test]
#[ignore = "needs gnome-keyring and dbus"]
fn missing_session_bus_is_an_error_before_requests() {
    let desktop = Desktop::with_bus();
    let _ = desktop.sandbox.broker(&TOKEN).ends(1).fails_with("keyring_unavailable");
    let alone =
        Sandbox::new().with_config(&desktop.sandbox.config()).with_env("EDS_SECRET", EarthDaily::SECRET);
    let _ = alone.broker(&TOKEN).ends(1).fails_with("keyring_unavailable");
    assert_eq!(desktop.service.exchanges(), 0, "no request was sent");
}

#[test]
#[ignore = "needs gnome-keyring and dbus"]
fn concurrent_first_logins_create_one_keyring_key() {
    let desktop = Desktop::new();
    let names: Vec<_> = (0..8).map(|number| format!("login-{number}")).collect();
    desktop.add(&names);
    let hold = desktop.service.hold("token");
    let all: Vec<_> = names.iter().map(|name| desktop.sandbox.start(&["token", name])).collect();
    let all_sent = desktop.service.wait_for("token", names.len(), Duration::from_secs(30));
    assert!(all_sent, "all processes have created or found the key");
    drop(hold);
    let tokens: Vec<_> = all.into_iter().map(|one| finish(one).token()).collect();
    for (name, token) in names.iter().zip(tokens) {
        assert_eq!(desktop.sandbox.broker(&["token", name]).token(), token);
        assert_eq!(desktop.sandbox.record(name)["key"], desktop.sandbox.record("login-0")["key"]);
    }
    assert_eq!(desktop.items(), 1);
}

#[test]
#[ignore = "needs gnome-keyring and dbus"]
fn token_is_saved_if_user_locks_keyring_during_login() {
    let mut desktop = Desktop::new();
    let hold = desktop.service.hold("token");
    let child = start_request(&desktop.sandbox, &TOKEN, &desktop.service, "token");
    desktop.lock();
    drop(hold);
    let token = finish(child).token();
    assert_eq!(desktop.sandbox.record("earthdaily")["with"], "keyring");
    desktop.stop_keyring();
    desktop.start_keyring();
    assert_eq!((desktop.sandbox.broker(&TOKEN).token(), desktop.service.exchanges()), (token, 1));
}

#[test]
#[ignore = "needs gnome-keyring and dbus"]
fn store_migrate_keeps_keyring_key_that_a_login_still_needs() {
    let desktop = Desktop::new();
    desktop.add(&["other".to_owned()]);
    let _ = desktop.sandbox.broker(&TOKEN).token();
    let hold = desktop.service.hold("token");
    let child = start_request(&desktop.sandbox, &["token", "other"], &desktop.service, "token");
    let _ = desktop.migrate_to_file().ends(0).prints("earthdaily: keyring -> file");
    drop(hold);
    let token = finish(child).token();
    assert_eq!(desktop.sandbox.broker(&["token", "other"]).token(), token);
    // The broker deletes its key from the keyring when no record is sealed with this key.
    let _ = desktop.migrate_to_file().ends(0).prints("other: keyring -> file");
    assert_eq!(desktop.items(), 0);
}

#[test]
#[ignore = "needs gnome-keyring and dbus"]
fn store_migration_of_all_records_deletes_keyring_key() {
    let desktop = Desktop::new();
    let token = desktop.sandbox.broker(&TOKEN).token();
    let link = desktop.sandbox.record_path("another");
    symlink(desktop.sandbox.home().join("elsewhere"), &link).expect("a link");
    let _ = desktop.migrate_to_file().ends(1).prints("earthdaily: keyring -> file");
    assert_eq!(desktop.items(), 1, "an unreadable record may need the key");
    std::fs::remove_file(link).expect("removed");
    let _ =
        desktop.migrate_to_file().ends(0).says("the unused encryption key was removed from the OS keyring");
    assert_eq!((desktop.items(), desktop.sandbox.broker(&TOKEN).token()), (0, token));
    // After the migration, the broker does not call the keyring.
    let run = desktop.migrate_to_file().ends(0);
    assert_eq!(run.err.lines().count(), 1, "one line, and no error of the keyring: {}", run.err);
}

#[test]
#[ignore = "needs gnome-keyring and dbus"]
fn renamed_state_folder_keeps_its_keyring_key() {
    let desktop = Desktop::new();
    let sandbox = &desktop.sandbox;
    let second = sandbox.home().join("second").display().to_string();
    let in_second = ["token", "earthdaily", "--state-dir", &second];
    let (first, other) = (sandbox.broker(&TOKEN).token(), sandbox.broker(&in_second).token());
    assert_eq!(desktop.items(), 2);
    let _ = desktop.migrate_to_file().ends(0);
    assert_eq!((desktop.items(), sandbox.broker(&TOKEN).token()), (1, first));
    assert_eq!(sandbox.broker(&in_second).token(), other);
    let renamed = sandbox.home().join("renamed").display().to_string();
    std::fs::rename(second, &renamed).expect("renamed");
    assert_eq!(sandbox.broker(&["token", "earthdaily", "--state-dir", &renamed]).token(), other);
}

#[test]
#[ignore = "needs gnome-keyring and dbus"]
fn sealed_record_without_its_keyring_key_is_an_error() {
    let mut desktop = Desktop::new();
    let _ = desktop.sandbox.broker(&TOKEN).token();
    let before = std::fs::read(desktop.sandbox.record_path("earthdaily")).expect("a record");
    // Stops the keyring, as if the files were copied to another machine.
    desktop.stop_keyring();
    std::fs::remove_dir_all(desktop.sandbox.home().join(".local/share/keyrings")).expect("removed");
    desktop.start_keyring();
    let words: [&[&str]; 5] = [
        &TOKEN,
        &["login", "earthdaily"],
        &["logout", "earthdaily", "--local"],
        &["inspect", "earthdaily"],
        &["store", "migrate"],
    ];
    let path = desktop.sandbox.record_path("earthdaily");
    for words in words {
        let run = desktop.sandbox.broker(words).ends(1).fails_with("store_sealed");
        assert!(run.says(&format!("remove {} and log in again", path.display())).out.is_empty());
    }
    assert_eq!(std::fs::read(&path).expect("a record"), before);
    assert_eq!(desktop.service.exchanges(), 1);
    std::fs::remove_file(path).expect("removed as the hint says");
    let _ = desktop.sandbox.broker(&TOKEN).token();
}
