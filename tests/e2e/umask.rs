//! Tests that files and folders have private modes whatever the umask.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use broker_e2e::{Run, Sandbox, Started, broker_binary, finish, spawn};
use broker_testkit::{EarthDaily, EarthDailyOptions, EarthScope, EarthScopeOptions, Fault};
use chrono::TimeDelta;

use crate::stage::program;
use crate::user::User;

/// An empty umask, a usual one, a strict one, and two that also remove the owner's permissions.
const UMASKS: [&str; 5] = ["000", "022", "077", "277", "777"];

struct Stage {
    sandbox: Sandbox,
    user: User,
    umask: &'static str,
}

impl Stage {
    fn start(&self, words: &[&str], input: &str) -> Started {
        let script = format!("umask {} && exec \"$0\" \"$@\"", self.umask);
        let binary = self.sandbox.home().join("broker");
        let mut command = program(&self.sandbox, "sh", &["-c", &script, binary.to_str().expect("text")]);
        self.user.runs(command.args(words).stdin(Stdio::piped()));
        let mut child = spawn(command, words);
        child.stdin.take().expect("its stdin").write_all(input.as_bytes()).unwrap_or_default();
        child
    }

    fn run(&self, words: &[&str]) -> Run {
        finish(self.start(words, "")).ends(0)
    }
}

/// Runs the commands that write files.
fn use_commands(stage: &Stage, service: &EarthScope, imagery: &EarthDaily) {
    let home = stage.sandbox.home();
    let login = ["login", "earthscope", "--refresh-token-stdin"];
    let _ = finish(stage.start(&login, &service.issue_refresh_token())).ends(0);
    let _ = stage.run(&["token", "earthscope", "--force"]);
    let out = home.join("out");
    let _ = stage.run(&["token", "earthscope", "--output", out.to_str().expect("text")]);
    let list = "stat -c '%a %n' \"$EARTHSCOPE_TOKEN_FILE\" \"${EARTHSCOPE_TOKEN_FILE%/*}\" | sed 's/ .*//' | tr '\\n' ' '";
    let run = stage.run(&["exec", "--file", "earthscope", "--", "sh", "-c", list]);
    assert_eq!(run.out, "600 700 ", "the files of exec");
    let _ = stage.run(&["add", "cdse"]);
    let env = home.join("EDS.env");
    let text = format!(
        "EDS_CLIENT_ID=EARTHDAILY_API_TOKEN\nEDS_SECRET=standin-api-token\nEDS_AUTH_URL={}\n",
        imagery.auth_url()
    );
    stage.sandbox.write(&env, &text);
    stage.user.owns(&env);
    let _ = stage.run(&["import", env.to_str().expect("text")]);
    let _ = stage.run(&["token", "earthdaily"]);
    save_to_fallback(stage, imagery);
}

/// Renews a token while the state folder is not writable. The broker must save the record to the fallback file.
fn save_to_fallback(stage: &Stage, imagery: &EarthDaily) {
    let (here, away) = (stage.sandbox.state(), stage.sandbox.state().with_extension("away"));
    stage.sandbox.age("earthdaily", TimeDelta::days(2));
    imagery.forget_seen();
    imagery.fault("token", Fault::Delay(Duration::from_millis(300)));
    let child = stage.start(&["token", "earthdaily"], "");
    assert!(imagery.wait_for("token", 1, Duration::from_secs(30)));
    std::fs::rename(&here, &away).expect("moved");
    std::fs::write(&here, "").expect("a file instead of the folder");
    let _ = finish(child).ends(0).says("WARNING");
    std::fs::remove_file(&here).expect("removed");
    std::fs::rename(&away, &here).expect("moved back");
}

/// Collects the mode of each file and folder by path.
fn modes(folder: &Path, home: &Path, found: &mut BTreeMap<String, u32>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let meta = entry.metadata().expect("there");
        let name = path.strip_prefix(home).expect("inside").display().to_string();
        if meta.is_dir() {
            modes(&path, home, found);
        }
        found.insert(name, meta.permissions().mode() & 0o7777);
    }
}

#[test]
fn files_are_private_whatever_the_umask() {
    for umask in UMASKS {
        let service = EarthScope::start(EarthScopeOptions::default());
        let imagery = EarthDaily::start(EarthDailyOptions::default());
        let sandbox = Sandbox::new();
        let config = sandbox.home().join("extra.toml");
        let runtime = sandbox.home().join("run");
        std::fs::create_dir(&runtime).expect("a folder");
        std::fs::set_permissions(&runtime, std::fs::Permissions::from_mode(0o700)).expect("a mode");
        std::fs::copy(broker_binary(), sandbox.home().join("broker")).expect("a copy");
        sandbox.write(&config, "");
        let domain = service.url().to_owned();
        let sandbox = sandbox
            .with_env("XDG_RUNTIME_DIR", runtime.to_str().expect("text"))
            .with_env("BROKER_PROVIDERS__EARTHSCOPE__DOMAIN", &domain);
        let user = User::of(&sandbox);
        let stage = Stage { sandbox, user, umask };
        use_commands(&stage, &service, &imagery);
        let mut found = BTreeMap::new();
        modes(&stage.sandbox.home(), &stage.sandbox.home(), &mut found);
        for own in ["broker", "extra.toml", "EDS.env", "run"] {
            assert!(found.remove(own).is_some(), "{own}");
        }
        let folders = [
            ".config",
            ".config/broker",
            ".config/broker/secrets",
            ".earthscope",
            ".earthscope/default",
            ".local",
            ".local/state",
            ".local/state/broker",
            "run/broker",
        ];
        let files = [
            ".config/broker/providers.toml",
            ".config/broker/secrets/earthdaily",
            ".earthscope/default/.broker.lock",
            ".earthscope/default/tokens.json",
            ".local/state/broker/earthdaily.json",
            ".local/state/broker/earthdaily.lock",
            ".local/state/broker/earthscope.json",
            ".local/state/broker/earthscope.lock",
            "out",
        ];
        let documented = folders.map(|name| (name, 0o700)).into_iter().chain(files.map(|name| (name, 0o600)));
        for (name, mode) in documented {
            assert_eq!(
                found.remove(name).map(|mode| format!("{mode:o}")),
                Some(format!("{mode:o}")),
                "umask {umask}: {name}"
            );
        }
        // The fallback file and temporary files have random names, so the test finds them by prefix.
        let (fallback, rest): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|(name, _)| name.starts_with("run/broker/earthdaily-"));
        assert!(matches!(&fallback[..], [(_, 0o600)]), "umask {umask}: {fallback:?}");
        let is_temporary = |name: &str| name.starts_with(".local/state/broker/.earthdaily.");
        assert!(
            rest.iter().all(|(name, mode)| *mode == 0o600 && is_temporary(name)),
            "umask {umask}: {rest:?}"
        );
    }
}

/// A process with a strict umask can be killed after it creates the lock file and before it sets the mode.
#[test]
fn lock_file_without_permissions_is_repaired() {
    let imagery = EarthDaily::start(EarthDailyOptions::default());
    let sandbox = Sandbox::new().with_env("EDS_SECRET", "standin-api-token");
    sandbox.write_config(&format!("[providers.earthdaily]\nauth_url = \"{}\"\n", imagery.auth_url()));
    std::fs::copy(broker_binary(), sandbox.home().join("broker")).expect("a copy");
    std::fs::create_dir_all(sandbox.state()).expect("a folder");
    let lock = sandbox.state().join("earthdaily.lock");
    std::fs::write(&lock, "").expect("a file");
    std::fs::set_permissions(&lock, std::fs::Permissions::from_mode(0o000)).expect("a mode");
    let user = User::of(&sandbox);
    let stage = Stage { sandbox, user, umask: "022" };
    let _ = stage.run(&["token", "earthdaily"]);
    let mode = std::fs::metadata(&lock).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
}

#[test]
fn error_names_an_unwritable_state_folder() {
    let imagery = EarthDaily::start(EarthDailyOptions::default());
    let sandbox = Sandbox::new().with_env("EDS_SECRET", "standin-api-token");
    sandbox.write_config(&format!("[providers.earthdaily]\nauth_url = \"{}\"\n", imagery.auth_url()));
    std::fs::copy(broker_binary(), sandbox.home().join("broker")).expect("a copy");
    let locked = sandbox.home().join("locked");
    std::fs::create_dir(&locked).expect("a folder");
    let user = User::of(&sandbox);
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o500)).expect("a mode");
    let stage = Stage { sandbox, user, umask: "022" };
    let new = locked.join("state");
    // The error must name the folder, whether the broker cannot create the folder or cannot write to it.
    for (folder, reported) in [(&new, &new), (&locked, &locked)] {
        let folder = folder.to_str().expect("text");
        let run = finish(stage.start(&["token", "earthdaily", "--state-dir", folder], "")).ends(1);
        let _ =
            run.fails_with("store_unwritable").says(&format!("{}: permission denied", reported.display()));
    }
    assert!(imagery.seen().is_empty(), "no request");
}
