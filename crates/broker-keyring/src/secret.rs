//! The passphrase or the key, from where the configuration says.

use std::sync::Arc;

use broker_core::platform::expand;
use broker_core::{Env, Error, Result, Secret, SecretSource};

/// Reads it on this thread, in a runtime or without one. `key` is what it is called in the configuration.
pub(crate) fn read(source: &SecretSource, key: &str, env: &Arc<dyn Env>) -> Result<Secret> {
    let cannot = |what: String, hint: String| {
        Error::configuration(format!("the {key} that seals records cannot be had: {what}")).with_hint(hint)
    };
    let mend = || "mend `store` in the configuration (`broker config show`)".to_owned();
    match source {
        SecretSource::Literal(secret) => Ok(secret.clone()),
        SecretSource::Env(name) => {
            let text = env.var(name).map(|text| Secret::new(text.trim_end_matches(['\r', '\n'])));
            let what = format!("the environment variable {name} is not set");
            text.ok_or_else(|| cannot(what, format!("set {name}, or {}", mend())))
        }
        SecretSource::File(path) => {
            let path = expand(path, env.as_ref());
            env.read_secret(&path).map_err(|error| cannot(format!("{}: {error}", path.display()), mend()))
        }
        SecretSource::Command(command) => {
            // The arguments stay unsaid: people put secrets there.
            let program = command.first().map_or("", String::as_str);
            run(command, env)
                .map_err(|error| cannot(format!("the command `{program}` failed: {error}"), mend()))
        }
    }
}

/// A record may be read where no runtime is, and where one is that must not be waited in: a thread has its own.
fn run(command: &[String], env: &Arc<dyn Env>) -> std::io::Result<Secret> {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(env.run_secret(command, &env.withheld()))
    };
    std::thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|_| Err(std::io::Error::other("it broke off")))
}
