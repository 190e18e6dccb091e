//! Tests that files and folders have private modes whatever the umask.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use broker_e2e::{Run, Sandbox, Started, finish, spawn};
use broker_testkit::{EarthDaily, EarthDailyOptions, EarthScope, EarthScopeOptions};
use chrono::TimeDelta;

use crate::stage::{block_state, earthdaily, mode, program, set_mode, unblock_state, with_runtime_dir};
use crate::user::User;

/// An empty umask, a usual one, a strict one, and two that also remove the owner's permissions.
const UMASKS: [&str; 5] = ["000", "022", "077", "277", "777"];

struct Stage {
    sandbox: Sandbox,
    user: User,
    umask: &'static str,
}

impl Stage {
    fn new(sandbox: Sandbox, umask: &'static str) -> Self {
        Self { user: User::of(&sandbox), sandbox, umask }
    }

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

/// Runs `login`, `token`, `exec --file`, `add` and `import`, which write tokens, records and configuration files.
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

/// Renews a token while the state folder is not writable. The broker must save the record to the runtime folder.
fn save_to_fallback(stage: &Stage, imagery: &EarthDaily) {
    stage.sandbox.age("earthdaily", TimeDelta::days(2));
    imagery.forget_seen();
    let hold = imagery.hold("token");
    let child = stage.start(&["token", "earthdaily"], "");
    assert!(imagery.wait_for("token", 1, Duration::from_secs(30)));
    block_state(&stage.sandbox);
    drop(hold);
    let _ = finish(child).ends(0).says("WARNING");
    unblock_state(&stage.sandbox);
}

/// Collects the mode of each file and folder by path.
fn modes(folder: &Path, home: &Path, found: &mut BTreeMap<String, u32>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        // Unlike `Path::metadata`, this does not follow links.
        let metadata = entry.metadata().expect("metadata");
        if metadata.is_dir() {
            modes(&path, home, found);
        }
        let name = path.strip_prefix(home).expect("inside").display().to_string();
        found.insert(name, metadata.permissions().mode() & 0o7777);
    }
}

#[test]
fn files_are_private_whatever_the_umask() {
    for umask in UMASKS {
        let service = EarthScope::start(EarthScopeOptions::default());
        let imagery = EarthDaily::start(EarthDailyOptions::default());
        let (sandbox, runtime) = with_runtime_dir(Sandbox::new());
        set_mode(&runtime, 0o700);
        let stage =
            Stage::new(sandbox.with_env("BROKER_PROVIDERS__EARTHSCOPE__DOMAIN", service.url()), umask);
        use_commands(&stage, &service, &imagery);
        let mut found = BTreeMap::new();
        modes(&stage.sandbox.home(), &stage.sandbox.home(), &mut found);
        for own in ["broker", "EDS.env", "run"] {
            assert!(found.remove(own).is_some(), "{own}");
        }
        let folders = [
            ".config", ".config/broker", ".config/broker/secrets", ".earthscope", ".earthscope/default",
            ".local", ".local/state", ".local/state/broker", "run/broker",
        ];
        let files = [
            ".config/broker/providers.toml", ".config/broker/secrets/earthdaily",
            ".earthscope/default/.broker.lock", ".earthscope/default/tokens.json",
            ".local/state/broker/earthdaily.json", ".local/state/broker/earthdaily.lock",
            ".local/state/broker/earthscope.json", ".local/state/broker/earthscope.lock", "out",
        ];
        let documented = folders.map(|name| (name, 0o700)).into_iter().chain(files.map(|name| (name, 0o600)));
        for (name, mode) in documented {
            let found = found.remove(name).map(|mode| format!("{mode:o}"));
            assert_eq!(found, Some(format!("{mode:o}")), "umask {umask}: the mode of {name}");
        }
        // The fallback record and temporary files have random names, so the test finds them by the start of the name.
        let (fallback, rest): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|(name, _)| name.starts_with("run/broker/earthdaily-"));
        assert!(matches!(&fallback[..], [(_, 0o600)]), "umask {umask}: {fallback:?}");
        let is_temporary = |name: &str| name.starts_with(".local/state/broker/.earthdaily.");
        let allowed = |(name, mode): &(String, u32)| *mode == 0o600 && is_temporary(name);
        assert!(rest.iter().all(allowed), "umask {umask}: {rest:?}");
    }
}

/// With a strict umask, a killed process can leave a lock file without permissions. The next process repairs it.
#[test]
fn lock_file_without_permissions_is_repaired() {
    let (_imagery, sandbox) = earthdaily("");
    let lock = sandbox.state().join("earthdaily.lock");
    sandbox.write(&lock, "");
    set_mode(&lock, 0o000);
    let stage = Stage::new(sandbox, "022");
    let _ = stage.run(&["token", "earthdaily"]);
    assert_eq!(mode(&lock), 0o600);
}

#[test]
fn error_names_an_unwritable_state_folder() {
    let (imagery, sandbox) = earthdaily("");
    let locked = sandbox.home().join("locked");
    std::fs::create_dir(&locked).expect("a folder");
    let stage = Stage::new(sandbox, "022");
    set_mode(&locked, 0o500);
    // The error must name the folder, whether the broker cannot create the folder or cannot write to it.
    for folder in [locked.join("state"), locked] {
        let folder = folder.to_str().expect("text");
        let run = finish(stage.start(&["token", "earthdaily", "--state-dir", folder], "")).ends(1);
        let _ = run.fails_with("store_unwritable").says(&format!("{folder}: permission denied"));
    }
    assert!(imagery.seen().is_empty(), "no request");
}
