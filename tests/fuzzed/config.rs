//! Fuzzes configurations. The input is a TOML file, a separator, and environment variables, one per line.

use std::path::Path;
use std::sync::Arc;

use broker_core::ProviderRegistry;
use earthbroker::config::Config;
use earthbroker::{Error, ErrorKind, Setup};

use super::world::{WorldEnv, in_folder, split_at_part};

/// The value of all secret configuration keys. No error message may contain this value.
const SECRET: &str = "hunter2hunter2";

/// Checks that a configuration is parsed, or that the error names a position in the file and contains no secrets.
pub fn config(data: &[u8]) {
    let (text, variables) = split_at_part(data);
    let Ok(text) = std::str::from_utf8(text) else { return };
    let variables = String::from_utf8_lossy(variables);
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let env = WorldEnv(variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
    in_folder(|folder| {
        let path = folder.join("providers.toml");
        std::fs::write(&path, text).unwrap();
        let case = Case { path: &path, text, shows: shows_secret(text, &env) };
        let loaded = Setup::new().config_file(&path).env(Arc::new(env)).config();
        match loaded {
            Ok(config) => case.check_config(&config),
            Err(error) => case.check_error(&error),
        }
    });
}

struct Case<'a> {
    path: &'a Path,
    text: &'a str,
    /// Whether the input contains [`SECRET`] outside of secret keys. Error messages may then quote [`SECRET`].
    shows: bool,
}

impl Case<'_> {
    fn check_config(&self, config: &Config) {
        assert!(config.names().len() >= 3, "built-in providers are missing");
        if let Err(error) = config.configured() {
            self.check_error(&error);
        }
        for name in config.names() {
            drop(config.warnings(&name));
            if let Err(error) = config.entry(&name) {
                self.check_error(&error);
            }
            for setting in config.settings(&name).unwrap_or_default() {
                assert!(self.shows || !setting.value.contains(SECRET), "`{}` is shown", setting.key);
            }
        }
    }

    fn check_error(&self, error: &Error) {
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        let message = error.message();
        assert!(self.shows || !message.contains(SECRET), "a secret is in a message: {message}");
        let Some(rest) = message.strip_prefix(&format!("{}:", self.path.display())) else { return };
        let mut place = rest.split(':').map(str::parse::<usize>);
        let (Some(Ok(line)), Some(Ok(column))) = (place.next(), place.next()) else { return };
        // The position of an error may be the empty line after the file's last newline.
        let lines: Vec<_> = self.text.split('\n').collect();
        assert!((1..=lines.len()).contains(&line), "line {line} of {}", lines.len());
        assert!((1..=lines[line - 1].chars().count() + 1).contains(&column), "column {column}: {message}");
    }
}

/// Returns whether [`SECRET`] occurs outside the keys `client_secret` and `password`, so that errors may quote it.
/// In invalid TOML, only lines that start with `client_secret = "` count as such keys.
fn shows_secret(text: &str, env: &WorldEnv) -> bool {
    let in_env = env.0.iter().any(|(name, value)| name.contains(SECRET) || value.contains(SECRET));
    let Ok(file) = toml::from_str::<toml::Table>(text) else {
        return in_env
            || text.lines().any(|line| line.contains(SECRET) && !line.starts_with("client_secret = \""));
    };
    let providers = file.get("providers").and_then(toml::Value::as_table);
    let keys = providers.into_iter().flatten().filter_map(|(_, table)| table.as_table()).flatten();
    let secrets = keys.filter(|(key, _)| matches!(key.as_str(), "client_secret" | "password"));
    let hidden: usize =
        secrets.filter_map(|(_, value)| value.as_str()).map(|text| text.matches(SECRET).count()).sum();
    in_env || text.matches(SECRET).count() > hidden
}
