//! Reads the passphrase or the key from its configured source.

use std::io;
use std::sync::Arc;

use broker_core::platform::expand;
use broker_core::{Env, Error, ErrorCode, Result, Secret, SecretSource};

/// Reads a secret, inside or outside an async runtime. `key` is the secret's name in the configuration.
pub(crate) fn read(source: &SecretSource, key: &str, env: &Arc<dyn Env>) -> Result<Secret> {
    let cannot_read = |why: String| {
        Error::new(ErrorCode::SecretUnreadable, format!("cannot read `store.{key}`: {why}"))
            .with_hint("correct `store` in the configuration")
    };
    match source {
        SecretSource::Literal(secret) => Ok(secret.clone()),
        SecretSource::Env(name) => {
            let text = env.var(name).map(|text| Secret::new(text.trim_end_matches(['\r', '\n'])));
            text.ok_or_else(|| {
                cannot_read(format!("environment variable {name} is not set"))
                    .with_hint(format!("set {name}, or correct `store` in the configuration"))
            })
        }
        SecretSource::File(path) => {
            let path = expand(path, env.as_ref());
            env.read_secret(&path).map_err(|error| cannot_read(format!("{}: {error}", path.display())))
        }
        SecretSource::Command(command) => {
            // The arguments are left out of the error, because they may contain secrets.
            let program = command.first().map_or("", String::as_str);
            run(command, env).map_err(|error| cannot_read(format!("command `{program}` failed: {error}")))
        }
    }
}

/// Runs a command in a thread with its own runtime, because the caller may be in another runtime.
fn run(command: &[String], env: &Arc<dyn Env>) -> io::Result<Secret> {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(env.run_secret(command, &env.withheld()))
    };
    std::thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
}
