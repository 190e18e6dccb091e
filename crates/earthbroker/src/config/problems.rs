//! Configuration errors, with the key and its position in the file.

use broker_core::{Error, ErrorCode, Kind, Result, SettingsError, SettingsProblem};
use figment::value::{Dict, Value};

use super::secret_tables::SENT;
use super::source_span::{Mark, SourceSpan};
use super::{Config, ConfigWarning, SECRET_FORMS};
use crate::suggestion;

const SECRET_KEYS: [&str; 3] = ["env", "file", "command"];

impl Config {
    /// Checks that a table with the source of a secret, such as `{ env = "X" }`, has no unknown key.
    pub(super) fn check_secrets(&self, name: &str, kind: &Kind) -> Result<()> {
        let table = self.table(name)?;
        for key in kind.secrets {
            let Some(Value::Dict(_, secret)) = table.get(*key) else { continue };
            if *key != "secrets" {
                self.check_secret(&[name, key], secret)?;
                continue;
            }
            for (inner, secret) in secret {
                if let Value::Dict(_, secret) = secret {
                    self.check_secret(&[name, key, inner], secret)?;
                }
            }
        }
        Ok(())
    }

    fn check_secret(&self, path: &[&str], secret: &Dict) -> Result<()> {
        let Some(unknown) = secret.keys().find(|key| !SECRET_KEYS.contains(&key.as_str())) else {
            return Ok(());
        };
        let near = SECRET_KEYS.into_iter().find(|key| unknown.starts_with(key));
        let near = near.or_else(|| suggestion(unknown, SECRET_KEYS));
        let keys: Vec<&str> =
            ["providers"].into_iter().chain(path.iter().copied()).chain([&**unknown]).collect();
        let why = unknown_key(&format!("`{}`", path[1..].join(".")), unknown, near, &SECRET_KEYS);
        Err(self.wrong(ErrorCode::ConfigUnknownKey, &keys, Mark::Key, &why))
    }

    /// Adds the position in the file to an error from a provider kind.
    pub(super) fn settings_error(&self, name: &str, kind: &Kind, error: &SettingsError) -> Error {
        if let SettingsProblem::MixedSources(hint) = &error.problem {
            let code = ErrorCode::ConfigMixedSources;
            return Error::new(code, error.message.clone()).with_hint(hint.as_str());
        }
        // An error that names no configuration key has its cause outside the configuration.
        if error.key.is_empty() {
            return Error::configuration(error.message.clone());
        }
        // The key may be `fields.NAME` or `list[0]`. An error in a list points at the whole list.
        let path = error.key.split('[').next().unwrap_or_default().split('.').filter(|key| !key.is_empty());
        let mut keys: Vec<&str> = ["providers", name].into_iter().chain(path).collect();
        let mut key = keys[2..].join(".");
        let is_secret = keys.get(2).is_some_and(|key| kind.secrets.contains(key));
        let mark = match () {
            () if is_secret => Mark::Secret,
            () if keys[2..].iter().any(|key| SENT.contains(key)) => Mark::Key,
            () => Mark::Value,
        };
        let (code, mark, why) = match &error.problem {
            SettingsProblem::MissingKey(form) => {
                let form = if form.is_empty() { String::new() } else { format!(": {form}") };
                (ErrorCode::ConfigMissingKey, mark, format!("`{key}` is missing{form}"))
            }
            SettingsProblem::Expected(_) | SettingsProblem::UnknownKey { .. } if is_secret => {
                // An inner key may be a secret typed in the wrong place, so the error does not name it.
                keys.truncate(if keys[2] == "secrets" { 4 } else { 3 });
                key = keys[2..].join(".");
                let why = format!("`{key}` must be {SECRET_FORMS}");
                (ErrorCode::ConfigInvalidValue, Mark::Secret, why)
            }
            SettingsProblem::UnknownKey { key: unknown, known } => {
                keys.retain(|key| key != unknown);
                let table = format!("`{}`", keys[2..].join("."));
                keys.push(unknown);
                let near = suggestion(unknown, known.iter().copied());
                (ErrorCode::ConfigUnknownKey, Mark::Key, unknown_key(&table, unknown, near, known))
            }
            SettingsProblem::Expected(form) => {
                (ErrorCode::ConfigInvalidValue, mark, format!("`{key}` must be {}", plain_form(form)))
            }
            _ => (ErrorCode::ConfigInvalid, mark, format!("`{key}`: {}", error.message)),
        };
        self.wrong(code, &keys, mark, &why)
    }

    /// Returns an error about a configuration key, with the position in the last file that sets the key, if any.
    pub(super) fn wrong(&self, code: ErrorCode, keys: &[&str], mark: Mark, why: &str) -> Error {
        let metadata = self.merged.metadata(keys);
        let path = metadata.and_then(|metadata| metadata.source.as_ref()?.file_path());
        // Figment names no file for a table that is merged from several files, so all files are searched.
        let texts = self.texts.iter().rev().filter(|text| path.is_none_or(|path| text.path == path));
        let is_variable = metadata.is_some_and(|metadata| metadata.name.starts_with("environment"));
        let place = texts.filter(|_| !is_variable).find_map(|text| {
            let written = self.written_keys(keys, &text.path.display().to_string());
            SourceSpan::of_key(text, &written, mark)
        });
        match place {
            Some(place) => place.error(code, why),
            None => Error::new(code, format!("{}: {why}", self.origin(keys))),
        }
    }

    /// Returns the path of a configuration key. Uses the key's old name if the file `origin` does.
    fn written_keys<'a>(&self, keys: &[&'a str], origin: &str) -> Vec<&'a str> {
        let mut keys = keys.to_vec();
        if let ["providers", name, key, ..] = keys.as_mut_slice() {
            let renamed = self.merged.renamed.get(*name).map(Vec::as_slice).unwrap_or_default();
            let old_name = |warning: &ConfigWarning| match warning {
                ConfigWarning::KeyRenamed { origin: from, old, new, .. } => {
                    (from == origin && new == key).then_some(*old)
                }
                ConfigWarning::SecretReadable { .. } => None,
            };
            *key = renamed.iter().find_map(old_name).unwrap_or(key);
        }
        keys
    }
}

/// Returns the message for an unknown key, with a similar key or the list of known keys.
pub(super) fn unknown_key(table: &str, key: &str, near: Option<&str>, known: &[&str]) -> String {
    let help = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("its keys are `{}`", known.join("`, `")),
    };
    format!("{table} has no key `{key}`: {help}")
}

/// Rewords serde's description of the expected type for users who do not know Rust.
fn plain_form(form: &str) -> &str {
    match form {
        _ if form.starts_with("struct ") || form == "a map" || form == "map with a single key" => {
            "a table: { name = \"value\" }"
        }
        "a sequence" => "a list: [\"one\", \"two\"]",
        "a string" | "string or map" => "text",
        "a boolean" => "true or false",
        other => other,
    }
}
