//! Tests that child processes do not inherit environment variables with secrets.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use broker_e2e::Sandbox;
use broker_testkit::{CarbonMapper, Fault, TestEnv};
use earthbroker::Setup;

use crate::stage::{carbonmapper, copy_broker, earthscope, fast_polling, program, until, write_script};

/// Environment variables that set secret keys: plain, nested, mistyped, and of a provider without `kind`.
const SECRETS: [(&str, &str); 5] = [
    ("BROKER_PROVIDERS__EARTHDAILY__CLIENT_SECRET", "KANARIE-literal"),
    ("BROKER_PROVIDERS__LAB__SECRETS__ONE", "KANARIE-of-several"),
    ("BROKER_PROVIDERS__LAB__LOGIN__HEADERS__X_KEY", "KANARIE-sent"),
    ("BROKER_PROVIDERS__EARTHDAILY__PASWORD", "KANARIE-mistyped"),
    ("BROKER_PROVIDERS__NOKIND__PASSWORD", "KANARIE-unknown"),
];
const SETTINGS: [(&str, &str); 3] = [
    ("BROKER_PROVIDERS__EARTHDAILY__TIMEOUT", "10s"),
    ("BROKER_PROVIDERS__LAB__SECRETS__TWO__ENV", "ANOTHER"),
    ("BROKER_PROVIDERS__EARTHSCOPE__SHARE", "false"),
];

/// Creates a program that writes its environment to a file, and then runs the script `then`.
fn env_dumper(sandbox: &Sandbox, name: &str, then: &str) -> (PathBuf, PathBuf) {
    let (program, seen) = (sandbox.home().join(name), sandbox.home().join(format!("{name}.env")));
    let script = format!("#!/bin/sh\nenv > '{0}.part'\nmv '{0}.part' '{0}'\n{then}\n", seen.display());
    write_script(sandbox, &program, &script);
    (program, seen)
}

/// Adds a provider to the configuration, and sets environment variables with secrets and with other settings.
fn with_variables(mut sandbox: Sandbox) -> Sandbox {
    let lab = "[providers.lab]\nkind = \"login\"\n[providers.lab.login]\nurl = \"https://lab.example.org/\"\n\
               token = \"token\"\n[providers.lab.login.headers]\nx_key = \"y\"\n";
    sandbox.write_config(&format!("{}{lab}", sandbox.config()));
    for (name, value) in SECRETS.into_iter().chain(SETTINGS) {
        sandbox = sandbox.with_env(name, value);
    }
    sandbox
}

#[track_caller]
fn has_no_secret(seen: &PathBuf, has_settings: bool) {
    let env = std::fs::read_to_string(seen).expect("it has run");
    assert!(!env.contains("KANARIE"), "{env}");
    for (name, value) in SETTINGS {
        assert_eq!(env.lines().any(|line| line == format!("{name}={value}")), has_settings, "{name}: {env}");
    }
}

/// Starts a Carbon Mapper fake server and a sandbox. `password` is the TOML value of the setting `password`.
fn methane(password: &str) -> (CarbonMapper, Sandbox) {
    carbonmapper(&format!("email = \"ada@example.org\"\npassword = {password}\n"))
}

#[test]
fn secret_command_does_not_inherit_other_secrets() {
    let (_service, sandbox) = methane("{ command = [\"sh\", \"-c\", \"~/pass\"] }");
    let (_, seen) = env_dumper(&sandbox, "pass", "echo standin-password");
    let sandbox = with_variables(sandbox);
    let _ = sandbox.broker(&["token", "carbonmapper"]).token();
    has_no_secret(&seen, true);
}

#[test]
fn exec_passes_token_but_not_password_to_its_program() {
    let (_service, sandbox) = methane("{ env = \"SECRET\" }");
    let (program, seen) = env_dumper(&sandbox, "work", "");
    let sandbox = with_variables(sandbox)
        .with_env("SECRET", "standin-password")
        .with_env("BROKER_PROVIDERS__CARBONMAPPER__PASSWORD", "standin-password");
    let program = program.to_str().expect("text");
    for file in [&["--file"][..], &[]] {
        let _ = sandbox.broker(&[&["exec"], file, &["carbonmapper", "--", program]].concat()).ends(0);
        let env = std::fs::read_to_string(&seen).expect("it has run");
        assert!(env.contains("CARBONMAPPER_TOKEN"), "{env}");
        assert!(!env.contains("BROKER_PROVIDERS__CARBONMAPPER__PASSWORD"), "{env}");
        // The child process should get the token, so its variable is not checked.
        let rest: Vec<_> = env.lines().filter(|line| !line.starts_with("CARBONMAPPER_TOKEN=")).collect();
        sandbox.write(&seen, &rest.join("\n"));
        has_no_secret(&seen, true);
    }
}

#[test]
fn broker_token_inside_exec_prints_token_that_exec_passed() {
    let (_service, sandbox) = methane("{ env = \"NOT_SET\" }");
    let sandbox = sandbox.with_env("BROKER_PROVIDERS__CARBONMAPPER__PASSWORD", "standin-password");
    let binary = broker_e2e::broker_binary().to_str().expect("text");
    let script = "test \"$(\"$0\" token carbonmapper)\" = \"$CARBONMAPPER_TOKEN\"";
    let _ = sandbox.broker(&["exec", "carbonmapper", "--", "sh", "-c", script, binary]).ends(0);
}

#[test]
fn plugin_does_not_inherit_the_brokers_secret_variables() {
    let sandbox = Sandbox::new();
    let (program, seen) = env_dumper(&sandbox, "plugin", "echo KANARIE-t");
    let config = format!(
        "[providers.other]\nkind = \"exec\"\nspeaks = \"text\"\ncommand = [\"{}\"]\n",
        program.display()
    );
    let sandbox = with_variables(sandbox.with_config(&config));
    let _ = sandbox.broker(&["token", "other"]).token();
    has_no_secret(&seen, false);
}

#[test]
fn browser_does_not_inherit_the_brokers_secret_variables() {
    let (service, sandbox) = earthscope(fast_polling(), "");
    let (program, seen) = env_dumper(&sandbox, "browser", "");
    let sandbox = with_variables(sandbox).with_env("DISPLAY", ":99");
    let sandbox = sandbox.with_env("BROWSER", program.to_str().expect("text"));
    let login = sandbox.start(&["login", "earthscope"]);
    until(|| seen.exists(), "a browser is opened");
    service.approve_all();
    let _ = broker_e2e::finish(login).ends(0);
    has_no_secret(&seen, true);
}

/// An upgrade during a login may replace the running program's file.
#[test]
fn login_opens_browser_after_broker_executable_is_removed() {
    let (service, sandbox) = earthscope(fast_polling(), "");
    let (browser, seen) = env_dumper(&sandbox, "browser", "");
    let sandbox = sandbox.with_env("DISPLAY", ":99").with_env("BROWSER", browser.to_str().expect("text"));
    let copy = copy_broker(&sandbox);
    service.fault("device", Fault::Delay(Duration::from_millis(300)));
    let words = ["login", "earthscope"];
    let login = broker_e2e::spawn(program(&sandbox, copy.to_str().expect("text"), &words), &words);
    assert!(service.wait_for("device", 1, Duration::from_secs(30)), "the login has begun");
    std::fs::remove_file(copy).expect("it is there");
    until(|| seen.exists(), "a browser is opened");
    service.approve_all();
    let _ = broker_e2e::finish(login).ends(0);
}

#[test]
fn config_lists_variables_withheld_by_an_embedding_program() {
    let sandbox = Sandbox::new();
    let file = sandbox.home().join("EDS.env");
    sandbox.write(&file, "EDS_SECRET=secret\n");
    // A program that embeds the broker withholds `OWN_SECRET` from child processes, besides the broker's own secrets.
    let variable = "BROKER_PROVIDERS__EARTHDAILY__CLIENT_SECRET";
    let env = Arc::new(TestEnv::default().with(variable, "secret").withholding("OWN_SECRET"));
    for setup in [Setup::new(), Setup::new().env_file(&file)] {
        let config = setup.env(env.clone()).config().expect("a configuration");
        assert_eq!(config.withheld(), [variable, "OWN_SECRET"]);
    }
}
