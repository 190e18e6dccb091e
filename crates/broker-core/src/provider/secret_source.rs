//! The configured sources of secrets: text, environment variable, file or command.

use std::io::ErrorKind;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, de};

use crate::context::platform::expand;
use crate::context::{Context, Env};
use crate::error::{Error, ErrorCode, Result};
use crate::provider::Command;
use crate::token::{Secret, fingerprint};

/// The hint for a key in a binary format.
const DER_TO_PEM: &str = "convert the key to PEM: openssl pkey -inform DER -in KEY -out KEY.pem; or a PKCS#12 file: openssl pkcs12 -nocerts -nodes -in KEY -out KEY.pem";

/// A configured source of a secret: `"text"`, `{ env = "NAME" }`, `{ file = "PATH" }` or `{ command = ["PROGRAM",
/// "ARGUMENT"] }`. A command runs only when an exchange needs the secret.
#[derive(Clone)]
pub enum SecretSource {
    /// The configuration contains the secret text itself.
    Literal(Secret),
    /// The name of an environment variable that contains the secret.
    Env(String),
    /// The path of a file that contains the secret; `~/` means the home folder.
    File(PathBuf),
    /// A program and its arguments. The program prints the secret.
    Command(Vec<String>),
}

impl SecretSource {
    /// Reads the secret, which is one line of text or a key in PEM. `key` is the configuration key that error messages
    /// name.
    pub async fn resolve(&self, context: &Context, key: &str) -> Result<Secret> {
        let secret = self.resolve_lines(context, key).await?;
        let invalid = |why| {
            let message = format!("cannot use {key} from {}: {why}", self.describe(key));
            Error::new(ErrorCode::SecretUnreadable, message)
                .with_hint(format!("correct {key} of this provider in the configuration, or its source"))
        };
        secret.check_line().map_err(invalid)?;
        Ok(secret)
    }

    /// Reads the secret, which may have several lines.
    pub async fn resolve_lines(&self, context: &Context, key: &str) -> Result<Secret> {
        self.read(context.env(), key, &format!("{key} of this provider")).await
    }

    /// Reads the secret, which may have several lines. Error messages call it `key`, and hints name the `setting`.
    pub async fn read(&self, env: &dyn Env, key: &str, setting: &str) -> Result<Secret> {
        let Self::Command(command) = self else { return self.read_now(env, key, setting) };
        let read = env.run_secret(command, &env.withheld()).await;
        read.map_err(|error| {
            let what = format!("{} failed: {error}", self.describe(key));
            unreadable(key, &what).with_hint(format!("correct {setting} in the configuration"))
        })
    }

    /// Like [`SecretSource::read`], but needs no async runtime. Fails for a command.
    pub fn read_now(&self, env: &dyn Env, key: &str, setting: &str) -> Result<Secret> {
        let correct = format!("correct {setting} in the configuration");
        match self {
            Self::Literal(secret) => Ok(Secret::cleaned(secret.expose())),
            Self::Env(name) => match env.var(name) {
                Some(text) => Ok(Secret::cleaned(&text)),
                None if env.not_utf8(name).contains(name) => {
                    let what = format!("environment variable {name} is not UTF-8 text");
                    Err(unreadable(key, &what).with_hint(correct))
                }
                None => Err(unreadable(key, &format!("environment variable {name} is not set"))
                    .with_hint(format!("set {name}, or {correct}"))),
            },
            Self::File(path) => {
                let path = expand(path, env);
                env.read_secret(&path).map_err(|error| {
                    let is_binary = error.kind() == ErrorKind::Unsupported;
                    let hint = if is_binary { DER_TO_PEM } else { &correct };
                    unreadable(key, &format!("{}: {error}", path.display())).with_hint(hint)
                })
            }
            Self::Command(_) => Err(unreadable(key, "running a command needs an async runtime")),
        }
    }

    /// Describes the secret's source to the user. `key` is the secret's configuration key.
    pub fn describe(&self, key: &str) -> String {
        match self {
            Self::Literal(_) => format!("the value of {key} in the configuration"),
            Self::Env(name) => format!("{name} (environment)"),
            Self::File(path) => path.display().to_string(),
            // The command's arguments may contain secrets.
            Self::Command(command) => format!("the command `{}`", command.first().map_or("", String::as_str)),
        }
    }

    /// Returns a [`fingerprint`] of the secret that [`SecretSource::resolve`] reads. For a command, returns a fingerprint
    /// of the command line instead.
    pub fn fingerprint(&self, salt: &str, env: &dyn Env) -> Option<String> {
        let secret = match self {
            Self::Literal(secret) => Some(Secret::cleaned(secret.expose())),
            Self::Env(name) => env.var(name).map(|text| Secret::cleaned(&text)),
            Self::File(path) => env.read_secret(&expand(path, env)).ok(),
            Self::Command(command) => Some(Secret::new(command.join("\0"))),
        };
        secret.map(|secret| fingerprint(salt, &secret, 64))
    }
}

fn unreadable(key: &str, what: &str) -> Error {
    Error::new(ErrorCode::SecretUnreadable, format!("cannot read {key}: {what}"))
}

impl std::fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Literal(secret) => secret.fmt(f),
            source => f.write_str(&source.describe("")),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Table {
    Env(String),
    File(PathBuf),
    Command(Command),
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = SecretSource;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("text, { env = \"NAME\" }, { file = \"PATH\" } or { command = [\"PROGRAM\"] }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<SecretSource, E> {
                if text.is_empty() {
                    return Err(de::Error::invalid_value(de::Unexpected::Str(text), &self));
                }
                Ok(SecretSource::Literal(Secret::new(text)))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<SecretSource, A::Error> {
                Ok(match Table::deserialize(de::value::MapAccessDeserializer::new(map))? {
                    Table::Env(name) => SecretSource::Env(name),
                    Table::File(path) => SecretSource::File(path),
                    Table::Command(Command(words)) => SecretSource::Command(words),
                })
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
