//! The key in a real keyring: gnome-keyring on a session bus of its own, open, locked, and not there.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use broker_e2e::{Sandbox, secret_in};
use broker_testkit::{EarthDaily, EarthDailyOptions};
use serde_json::Value;

use crate::stage::program;

const TOKEN: [&str; 2] = ["token", "earthdaily"];
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

    fn stop_keyring(&mut self) {
        let mut keyring = self.running.pop().expect("a keyring");
        keyring.kill().expect("killed");
        keyring.wait().expect("it ends");
        self.wait_until("absent");
    }
}

#[test]
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
    let items = || {
        let words = [
            "--session",
            "--print-reply",
            "--dest=org.freedesktop.secrets",
            "/org/freedesktop/secrets",
            "org.freedesktop.Secret.Service.SearchItems",
            "dict:string:string:service,broker",
        ];
        let found = program(sandbox, "dbus-send", &words).output().expect("dbus-send runs");
        String::from_utf8_lossy(&found.stdout).matches(COLLECTION).count()
    };
    assert_eq!(items(), 1);
    let back = sandbox.command(&["store", "migrate"]).env("BROKER_STORE", "file").output().expect("it runs");
    assert!(String::from_utf8_lossy(&back.stdout).contains("earthdaily: keyring -> file"));
    assert_eq!((items(), sandbox.record("earthdaily")["version"].as_u64()), (0, Some(1)));
    let _ = sandbox.broker(&["store", "migrate"]).ends(0).prints("earthdaily: file -> keyring");
    assert_eq!((items(), sandbox.broker(&TOKEN).token() == token), (1, true));
}

#[test]
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
fn without_a_bus_nothing_is_begun() {
    let desktop = Desktop::with_bus();
    let _ = desktop.sandbox.broker(&TOKEN).ends(1).says("the OS keyring does not answer");
    let config = std::fs::read_to_string(desktop.sandbox.config_path()).expect("a file");
    let alone = Sandbox::new().with_config(&config).with_env("EDS_SECRET", "standin-api-token");
    let _ = alone.broker(&TOKEN).ends(1).says("the OS keyring does not answer");
    assert_eq!(desktop.service.exchanges(), 0, "nothing was asked of the service");
}

#[test]
fn two_first_logins_at_once_make_one_key() {
    let desktop = Desktop::new();
    let second = "[providers.other]\nkind = \"earthdaily\"\n";
    let config = std::fs::read_to_string(desktop.sandbox.config_path()).expect("a file");
    let config = format!("{config}{second}auth_url = \"{}\"\n", desktop.service.auth_url());
    desktop.sandbox.write_config(&config);
    let both = ["earthdaily", "other"].map(|name| desktop.sandbox.start(&["token", name]));
    let tokens = both.map(|one| broker_e2e::finish(one).token());
    for (name, token) in ["earthdaily", "other"].into_iter().zip(tokens) {
        assert_eq!(desktop.sandbox.broker(&["token", name]).token(), token);
    }
    assert_eq!(desktop.sandbox.record("earthdaily")["key"], desktop.sandbox.record("other")["key"]);
}
