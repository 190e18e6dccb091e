//! Services and sandboxes that many tests share.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use broker_e2e::{Sandbox, Started, broker_binary, finish};
use broker_testkit::{
    CarbonMapper, CarbonMapperOptions, EarthDaily, EarthDailyOptions, EarthScope, EarthScopeOptions,
    Rotation, Server,
};
use chrono::TimeDelta;

/// Starts an EarthScope fake server, and a sandbox configured for the server. `config` adds lines to the configuration.
pub(crate) fn earthscope(options: EarthScopeOptions, config: &str) -> (EarthScope, Sandbox) {
    let service = EarthScope::start(options);
    let config = format!("[providers.earthscope]\ndomain = \"{}\"\n{config}", service.url());
    (service, Sandbox::new().with_config(&config))
}

/// Returns options with which a device login polls the EarthScope fake server once a second.
pub(crate) fn fast_polling() -> EarthScopeOptions {
    EarthScopeOptions { interval: Some(1), ..EarthScopeOptions::default() }
}

/// Starts an EarthDaily fake server, and a sandbox with its secret. `config` adds lines to the configuration.
pub(crate) fn earthdaily(config: &str) -> (EarthDaily, Sandbox) {
    let service = EarthDaily::start(EarthDailyOptions::default());
    let config = format!("[providers.earthdaily]\nauth_url = \"{}\"\n{config}", service.auth_url());
    let sandbox = Sandbox::new().with_config(&config).with_env("EDS_SECRET", EarthDaily::SECRET);
    (service, sandbox)
}

/// Starts a Carbon Mapper fake server, and a sandbox with its URL. `config` adds lines to the configuration.
pub(crate) fn carbonmapper(config: &str) -> (CarbonMapper, Sandbox) {
    let service = CarbonMapper::start(CarbonMapperOptions::default());
    let config = format!("[providers.carbonmapper]\nbase_url = \"{}\"\n{config}", service.base_url());
    (service, Sandbox::new().with_config(&config))
}

/// Starts an EarthScope fake server and logs in with a refresh token. `config` adds lines to the configuration.
pub(crate) fn logged_in(options: EarthScopeOptions, config: &str) -> (EarthScope, Sandbox) {
    let (service, sandbox) = earthscope(options, config);
    log_in(&service, &sandbox);
    service.forget_seen();
    (service, sandbox)
}

/// Logs in at EarthScope with a new refresh token.
pub(crate) fn log_in(service: &EarthScope, sandbox: &Sandbox) {
    let login = ["login", "earthscope", "--refresh-token-stdin"];
    let _ = sandbox.broker_reading(&login, &service.issue_refresh_token()).ends(0);
}

/// Logs in and makes the access token expire. The service accepts a replaced refresh token `grace` more times.
pub(crate) fn expired(rotation: Rotation, grace: usize) -> (EarthScope, Sandbox) {
    expired_with(rotation, grace, "timeout = \"2s\"\n")
}

/// Logs in and makes the access token expire. The service accepts a replaced refresh token `grace` more times.
/// `config` adds lines to the provider's table in the configuration.
pub(crate) fn expired_with(rotation: Rotation, grace: usize, config: &str) -> (EarthScope, Sandbox) {
    let options = EarthScopeOptions { rotation, refresh_grace: grace, ..EarthScopeOptions::default() };
    let (service, sandbox) = logged_in(options, config);
    sandbox.age("earthscope", TimeDelta::days(2));
    (service, sandbox)
}

/// Starts `broker`, and waits until the fake server has received a request to the endpoint `route`, such as `token`.
#[track_caller]
pub(crate) fn start_request(sandbox: &Sandbox, words: &[&str], server: &Server, route: &str) -> Started {
    let before = server.count(route);
    let child = sandbox.start(words);
    assert!(server.wait_for(route, before + 1, Duration::from_secs(30)), "no request to the route {route}");
    child
}

/// Runs the same command in several processes at once. Returns the printed tokens.
#[track_caller]
pub(crate) fn concurrent_tokens(sandbox: &Sandbox, words: &[&str], processes: usize) -> Vec<String> {
    let all: Vec<_> = (0..processes).map(|_| sandbox.start(words)).collect();
    all.into_iter().map(|child| finish(child).token()).collect()
}

/// Waits until a condition is true, or fails after 30 seconds with a message that contains `what`.
#[track_caller]
pub(crate) fn until(condition: impl Fn() -> bool, what: &str) {
    until_within(Duration::from_secs(30), condition, what);
}

/// Waits until a condition is true, or fails after `limit` with a message that contains `what`.
#[track_caller]
pub(crate) fn until_within(limit: Duration, condition: impl Fn() -> bool, what: &str) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Replaces the state folder by a file, which makes saves fail.
pub(crate) fn block_state(sandbox: &Sandbox) {
    std::fs::rename(sandbox.state(), sandbox.state().with_extension("away")).expect("moved");
    std::fs::write(sandbox.state(), "").expect("a file instead of the folder");
}

pub(crate) fn unblock_state(sandbox: &Sandbox) {
    std::fs::remove_file(sandbox.state()).expect("the file is removed");
    std::fs::rename(sandbox.state().with_extension("away"), sandbox.state()).expect("the folder is back");
}

/// Sets `XDG_RUNTIME_DIR` to a new folder, where the broker saves records if the state folder is not writable.
pub(crate) fn with_runtime_dir(sandbox: Sandbox) -> (Sandbox, PathBuf) {
    let runtime = sandbox.home().join("run");
    std::fs::create_dir(&runtime).expect("a folder");
    (sandbox.with_env("XDG_RUNTIME_DIR", &runtime.display().to_string()), runtime)
}

/// Returns a command that runs any program with the sandbox's environment.
pub(crate) fn program(sandbox: &Sandbox, name: &str, words: &[&str]) -> Command {
    let as_if = sandbox.command(&[]);
    let env = as_if.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let mut command = Command::new(name);
    command.args(words).env_clear().envs(env).current_dir(sandbox.home()).stdin(Stdio::null());
    command
}

/// Copies the `broker` program into the sandbox's home folder, and returns the path of the copy.
pub(crate) fn copy_broker(sandbox: &Sandbox) -> PathBuf {
    let copy = sandbox.home().join("broker");
    // In another process, because children of parallel tests would inherit the file, open for writing.
    let copied = Command::new("cp").arg(broker_binary()).arg(&copy).status();
    assert!(copied.is_ok_and(|status| status.success()), "a copy of the program");
    copy
}

pub(crate) fn write_script(sandbox: &Sandbox, path: &Path, script: &str) {
    sandbox.write(path, script);
    set_mode(path, 0o755);
}

/// Puts a folder first in `PATH`.
pub(crate) fn with_path(sandbox: Sandbox, folder: &Path) -> Sandbox {
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    sandbox.with_env("PATH", &path)
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}

pub(crate) fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("a file or folder").permissions().mode() & 0o7777
}

pub(crate) fn target_folder() -> &'static Path {
    broker_binary().ancestors().nth(2).expect("a target folder")
}

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a repository")
}
