//! Reads the passphrase or the key from its configured source.

use broker_core::platform::expand;
use broker_core::{Env, Error, ErrorCode, Result, Secret, SecretSource};

use crate::block_on;

/// Reads the secret for the configuration key `store.KEY`. The caller may be in an async runtime.
pub(crate) fn read(source: &SecretSource, key: &str, env: &dyn Env) -> Result<Secret> {
    let cannot_read = |why: String| {
        Error::new(ErrorCode::SecretUnreadable, format!("cannot read `store.{key}`: {why}"))
            .with_hint("correct `store` in the configuration")
    };
    match source {
        SecretSource::Literal(secret) => Ok(secret.clone()),
        SecretSource::Env(name) => match env.var(name) {
            Some(text) => Ok(Secret::cleaned(&text)),
            None if env.not_utf8(name).contains(name) => {
                Err(cannot_read(format!("environment variable {name} is not UTF-8 text")))
            }
            None => Err(cannot_read(format!("environment variable {name} is not set"))
                .with_hint(format!("set {name}, or correct `store` in the configuration"))),
        },
        SecretSource::File(path) => {
            let path = expand(path, env);
            env.read_secret(&path).map_err(|error| cannot_read(format!("{}: {error}", path.display())))
        }
        SecretSource::Command(command) => block_on(async || env.run_secret(command, &env.withheld()).await)
            .flatten()
            .map_err(|error| cannot_read(format!("{} failed: {error}", source.describe(key)))),
    }
}
