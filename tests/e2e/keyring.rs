//! The key in a real keyring: gnome-keyring on a session bus of its own, open, locked, and not there.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use broker_e2e::{Run, Sandbox, finish, secret_in, spawn};
use broker_testkit::{EarthDaily, EarthDailyOptions};
use serde_json::Value;

use crate::stage::program;

const TOKEN: [&str; 2] = ["token", "earthdaily"];
const A_MOMENT: Duration = Duration::from_secs(30);
const COLLECTION: &str = "/org/freedesktop/secrets/collection/login";

/// A session bus with a keyring on it.
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

fn missing(what: &str) -> String {
    format!("{what} does not run: apt-get install gnome-keyring dbus")
}

impl Desktop {
    /// A sandbox whose session has a bus, and nobody on it.
    fn with_bus() -> Self {
        let service = EarthDaily::start(EarthDailyOptions::default());
        let config =
            format!("store = \"keyring\"\n[providers.earthdaily]\nauth_url = \"{}\"\n", service.auth_url());
        let sandbox = Sandbox::new().with_config(&config).with_env("EDS_SECRET", "standin-api-token");
        let runtime = sandbox.home().join("runtime");
        std::fs::create_dir(&runtime).expect("a folder");
        // Nothing may be started by a call but what the test starts.
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

    /// With the keyring, open.
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
    }

    fn wait_until(&self, state: &str) {
        let begun = Instant::now();
        while self.status()["keyring"] != state {
            assert!(
                begun.elapsed() < Duration::from_mins(1),
                "the keyring is never {state}: {}",
                self.status()
            );
        }
    }

    fn status(&self) -> Value {
        let run = self.sandbox.broker(&["store", "status", "--json"]).ends(0);
        serde_json::from_str(&run.out).expect("JSON")
    }

    fn lock(&self) {
        let words = [
            "--session",
            "--print-reply",
            "--dest=org.freedesktop.secrets",
            "/org/freedesktop/secrets",
            "org.freedesktop.Secret.Service.Lock",
            &format!("array:objpath:{COLLECTION}"),
        ];
        let done = program(&self.sandbox, "dbus-send", &words).output().expect("dbus-send runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        self.wait_until("locked");
    }

    /// How many items of the broker's the keyring has.
    fn items(&self) -> usize {
        let words = [
            "--session",
            "--print-reply",
            "--dest=org.freedesktop.secrets",
            "/org/freedesktop/secrets",
            "org.freedesktop.Secret.Service.SearchItems",
            "dict:string:string:service,broker",
        ];
        let found = program(&self.sandbox, "dbus-send", &words).output().expect("dbus-send runs");
        String::from_utf8_lossy(&found.stdout).matches(COLLECTION).count()
    }

    /// `store migrate` with `store = "file"`.
    fn migrate_to_file(&self) -> Run {
        let words = ["store", "migrate"];
        let mut command = self.sandbox.command(&words);
        command.env("BROKER_STORE", "file");
        finish(spawn(command, &words))
    }

    /// More providers of the same service, by these names.
    fn add(&self, names: &[String]) {
        let config = std::fs::read_to_string(self.sandbox.config_path()).expect("a file");
        let auth_url = self.service.auth_url();
        let table = |name| format!("[providers.{name}]\nkind = \"earthdaily\"\nauth_url = \"{auth_url}\"\n");
        let config = config + &names.iter().map(table).collect::<String>();
        self.sandbox.write_config(&config);
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
fn the_key_is_in_the_keyring_and_all_else_is_sealed() {
    let desktop = Desktop::new();
    let sandbox = &desktop.sandbox;
    let token = sandbox.broker(&TOKEN).token();
    assert_eq!(sandbox.broker(&TOKEN).token(), token);
    assert_eq!(desktop.service.exchanges(), 1);
    assert_eq!(sandbox.record("earthdaily")["with"], "keyring");
    let text = std::fs::read_to_string(sandbox.record_path("earthdaily")).expect("a record");
    assert!(secret_in(&text).is_none());
    // All of it comes back, and then the keyring has nothing of ours.
    let items = || desktop.items();
    assert_eq!(items(), 1);
    let back = sandbox.command(&["store", "migrate"]).env("BROKER_STORE", "file").output().expect("it runs");
    assert!(String::from_utf8_lossy(&back.stdout).contains("earthdaily: keyring -> file"));
    assert_eq!((items(), sandbox.record("earthdaily")["version"].as_u64()), (0, Some(1)));
    let _ = sandbox.broker(&["store", "migrate"]).ends(0).prints("earthdaily: file -> keyring");
    assert_eq!((items(), sandbox.broker(&TOKEN).token() == token), (1, true));
}

#[test]
#[ignore = "needs gnome-keyring and dbus"]
fn a_keyring_that_is_locked_or_gone_is_told_before_anything_is_asked() {
    let mut desktop = Desktop::new();
    let token = desktop.sandbox.broker(&TOKEN).token();
    let before = std::fs::read(desktop.sandbox.record_path("earthdaily")).expect("a record");
    let check = |desktop: &Desktop, says: &str| {
        for words in [
            &TOKEN[..],
            &["login", "earthdaily"],
            &["token", "earthdaily", "--force"],
            &["logout", "earthdaily"],
        ] {
            let _ = desktop.sandbox.broker(words).ends(1).says(says).says("store = { key =");
        }
        assert_eq!(std::fs::read(desktop.sandbox.record_path("earthdaily")).expect("a record"), before);
        assert_eq!(desktop.service.exchanges(), 1);
    };
    desktop.lock();
    check(&desktop, "the OS keyring is locked");
    let _ = desktop.sandbox.broker(&["doctor", "--offline"]).ends(1).prints("the OS keyring is locked");
    desktop.stop_keyring();
    check(&desktop, "the OS keyring does not answer");
    // Opened again, all is as it was.
    desktop.start_keyring();
    assert_eq!(desktop.sandbox.broker(&TOKEN).token(), token);
}

#[test]
#[ignore = "needs gnome-keyring and dbus"]
fn without_a_bus_nothing_is_begun() {
    let desktop = Desktop::with_bus();
    let _ = desktop.sandbox.broker(&TOKEN).ends(1).says("the OS keyring does not answer");
    let config = std::fs::read_to_string(desktop.sandbox.config_path()).expect("a file");
    let alone = Sandbox::new().with_config(&config).with_env("EDS_SECRET", "standin-api-token");
    let _ = alone.broker(&TOKEN).ends(1).says("the OS keyring does not answer");
    assert_eq!(desktop.service.exchanges(), 0, "nothing was asked of the service");
}

#[test]
#[ignore = "needs gnome-keyring and dbus"]
fn first_logins_at_once_make_one_key() {
    let desktop = Desktop::new();
    let names: Vec<_> = (0..8).map(|number| format!("login-{number}")).collect();
    desktop.add(&names);
    let held = desktop.service.hold("token");
    let all: Vec<_> = names.iter().map(|name| desktop.sandbox.start(&["token", name])).collect();
    assert!(desktop.service.wait_for("token", 8, A_MOMENT), "all of them found a key");
    drop(held);
    let tokens: Vec<_> = all.into_iter().map(|one| finish(one).token()).collect();
    for (name, token) in names.iter().zip(tokens) {
        assert_eq!(desktop.sandbox.broker(&["token", name]).token(), token);
        assert_eq!(desktop.sandbox.record(name)["key"], desktop.sandbox.record("login-0")["key"]);
    }
    assert_eq!(desktop.items(), 1);
}

#[test]
#[ignore = "needs gnome-keyring and dbus"]
fn what_a_service_gave_is_saved_though_the_keyring_is_locked_meanwhile() {
    let mut desktop = Desktop::new();
    let held = desktop.service.hold("token");
    let child = desktop.sandbox.start(&TOKEN);
    assert!(desktop.service.wait_for("token", 1, A_MOMENT));
    desktop.lock();
    drop(held);
    let token = finish(child).token();
    assert_eq!(desktop.sandbox.record("earthdaily")["with"], "keyring");
    desktop.stop_keyring();
    desktop.start_keyring();
    assert_eq!((desktop.sandbox.broker(&TOKEN).token(), desktop.service.exchanges()), (token, 1));
}

#[test]
#[ignore = "needs gnome-keyring and dbus"]
fn a_key_that_a_login_is_about_to_use_is_not_taken_away() {
    let desktop = Desktop::new();
    desktop.add(&["other".to_owned()]);
    let _ = desktop.sandbox.broker(&TOKEN).token();
    let held = desktop.service.hold("token");
    let child = desktop.sandbox.start(&["token", "other"]);
    assert!(desktop.service.wait_for("token", 2, A_MOMENT));
    let _ = desktop.migrate_to_file().ends(0).prints("earthdaily: keyring -> file");
    drop(held);
    let token = finish(child).token();
    assert_eq!(desktop.sandbox.broker(&["token", "other"]).token(), token);
    // Once nothing needs it, it goes.
    let _ = desktop.migrate_to_file().ends(0).prints("other: keyring -> file");
    assert_eq!(desktop.items(), 0);
}

#[test]
#[ignore = "needs gnome-keyring and dbus"]
fn a_migration_that_was_cut_off_leaves_no_key_behind_once_it_is_finished() {
    let desktop = Desktop::new();
    let token = desktop.sandbox.broker(&TOKEN).token();
    let link = desktop.sandbox.record_path("another");
    symlink(desktop.sandbox.home().join("elsewhere"), &link).expect("a link");
    let _ = desktop.migrate_to_file().ends(1).prints("earthdaily: keyring -> file");
    assert_eq!(desktop.items(), 1, "something could not be looked at: the key may be needed");
    std::fs::remove_file(link).expect("removed");
    let _ =
        desktop.migrate_to_file().ends(0).says("the key of these records was taken out of the OS keyring");
    assert_eq!((desktop.items(), desktop.sandbox.broker(&TOKEN).token()), (0, token));
    // Then the keyring is not asked any more.
    let run = desktop.migrate_to_file().ends(0);
    assert_eq!(run.err, "nothing to move: all records are kept in the configured way (file)\n");
}

#[test]
#[ignore = "needs gnome-keyring and dbus"]
fn two_state_folders_have_two_keys_and_a_folder_that_is_renamed_keeps_its_own() {
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
fn without_its_keyring_a_record_gives_nothing_and_says_so() {
    let mut desktop = Desktop::new();
    let _ = desktop.sandbox.broker(&TOKEN).token();
    let before = std::fs::read(desktop.sandbox.record_path("earthdaily")).expect("a record");
    // The files on another machine: its keyring is another.
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
        let run = desktop.sandbox.broker(words).ends(1).says("the OS keyring does not have its key");
        assert!(run.says(&format!("remove {} and log in again", path.display())).out.is_empty());
    }
    assert_eq!(std::fs::read(&path).expect("a record"), before);
    assert_eq!(desktop.service.exchanges(), 1);
    std::fs::remove_file(path).expect("removed, as was said");
    let _ = desktop.sandbox.broker(&TOKEN).token();
}
