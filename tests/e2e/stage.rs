//! Services and sandboxes that many tests share.

use std::process::{Command, Stdio};

use broker_e2e::Sandbox;
use broker_testkit::{EarthScope, EarthScopeOptions, Rotation};
use chrono::TimeDelta;

/// Starts an EarthScope fake server and logs in with a refresh token. `config` adds lines to the configuration.
pub(crate) fn logged_in(options: EarthScopeOptions, config: &str) -> (EarthScope, Sandbox) {
    let service = EarthScope::start(options);
    let config = format!("[providers.earthscope]\ndomain = \"{}\"\n{config}", service.url());
    let sandbox = Sandbox::new().with_config(&config);
    let login = ["login", "earthscope", "--refresh-token-stdin"];
    let _ = sandbox.broker_reading(&login, &service.issue_refresh_token()).ends(0);
    service.forget_seen();
    (service, sandbox)
}

/// Logs in and makes the access token expire. The service accepts a replaced refresh token `grace` more times.
pub(crate) fn expired(rotation: Rotation, grace: usize) -> (EarthScope, Sandbox) {
    expired_with(rotation, grace, "timeout = \"2s\"\n")
}

/// Does the same as [`expired`]. `config` adds lines to the provider's table in the configuration.
pub(crate) fn expired_with(rotation: Rotation, grace: usize, config: &str) -> (EarthScope, Sandbox) {
    let options = EarthScopeOptions { rotation, refresh_grace: grace, ..EarthScopeOptions::default() };
    let (service, sandbox) = logged_in(options, config);
    sandbox.age("earthscope", TimeDelta::days(2));
    (service, sandbox)
}

/// Returns a command that runs any program with the sandbox's environment.
pub(crate) fn program(sandbox: &Sandbox, name: &str, words: &[&str]) -> Command {
    let as_if = sandbox.command(&[]);
    let env = as_if.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let mut command = Command::new(name);
    command.args(words).env_clear().envs(env).current_dir(sandbox.home()).stdin(Stdio::null());
    command
}
