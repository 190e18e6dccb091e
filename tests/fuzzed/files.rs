//! Fuzzes the files of the services' own tools: INI, JSON and TOML of EarthDaily, dotenv, and EarthScope's files.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use earthbroker::tools::{ToolLoginContent, ToolLoginOrigin, ToolSettings};
use earthbroker::{Config, Env, ProviderRegistry, Secret, Setup, utf8};

use super::world::{PART, split_at_part};

const HOME: &str = "/home/fuzzed";

/// The most bytes that all values of one file may have, although values repeat other values.
const MOST: usize = 4 * 1024 * 1024;

/// An environment with these files and variables.
struct Files(BTreeMap<PathBuf, Vec<u8>>, BTreeMap<String, String>);

#[async_trait]
impl Env for Files {
    fn var(&self, name: &str) -> Option<String> {
        self.1.get(name).cloned()
    }

    fn vars(&self, prefix: &str) -> Vec<(String, String)> {
        let ours = self.1.iter().filter(|(name, _)| name.starts_with(prefix));
        ours.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn home(&self) -> Option<PathBuf> {
        Some(PathBuf::from(HOME))
    }

    fn host_name(&self) -> String {
        "fuzzed.example.org".to_owned()
    }

    fn read_secret(&self, path: &Path) -> std::io::Result<Secret> {
        let bytes = self.0.get(path).ok_or(ErrorKind::NotFound)?;
        if bytes.len() > 64 * 1024 {
            return Err(Error::new(ErrorKind::InvalidData, "too long"));
        }
        Ok(Secret::cleaned(utf8(bytes)?))
    }

    async fn run_secret(&self, _command: &[String], _without: &[String]) -> std::io::Result<Secret> {
        Err(ErrorKind::Unsupported.into())
    }
}

/// Checks that a file of EarthDaily's clients has bounded, usable credentials, or is an error. The first byte of the
/// input selects the format.
pub fn credentials(data: &[u8]) {
    let Some((form, text)) = data.split_first() else { return };
    let Ok(text) = utf8(text) else { return };
    let name = ["x.ini", "credentials", "x.json", "x.toml"][usize::from(*form) % 4];
    let path = Path::new(HOME).join(name);
    let env = Files(BTreeMap::from([(path.clone(), text.as_bytes().to_vec())]), BTreeMap::new());
    let Ok(logins) = Setup::new().env(Arc::new(env)).tool_logins_in(&path) else { return };
    for login in &logins {
        let most = if login.origin == ToolLoginOrigin::File { 64 * 1024 + text.len() } else { MOST };
        if let ToolLoginContent::Settings(ToolSettings { secret: Some((_, secret)), .. }) = &login.content {
            assert!(!secret.expose().is_empty() && secret.expose().len() <= most);
        }
        assert!(login.place.contains(name), "{}", login.place);
    }
}

/// Checks that a dotenv file has bounded values of known families, or is an error.
pub fn dotenv(data: &[u8]) {
    let path = PathBuf::from("/home/fuzzed/EDS.env");
    let env = Files(BTreeMap::from([(path.clone(), data.to_vec())]), BTreeMap::new());
    let Ok(env) = Setup::new().env(Arc::new(env)).env_file(path).environment() else { return };
    let mut size = 0;
    for (name, value) in env.vars("") {
        let upper = name.to_ascii_uppercase();
        assert!(["EDS_", "ES_", "CARBONMAPPER_"].iter().any(|family| upper.starts_with(family)), "{name}");
        size += value.len();
    }
    assert!(size <= MOST, "{size}");
}

/// Checks that EarthScope's files give a provider or a configuration error. The input is `config.toml`, `tokens.json`,
/// `sso_tokens.json` and `ES_OAUTH2`, with a separator between them.
pub fn earthscope(data: &[u8]) {
    let (settings, rest) = split_at_part(data);
    let mut rest = rest.split(|byte| *byte == PART);
    let mut next = || rest.next().unwrap_or_default().to_vec();
    let (tokens, legacy, variable) = (next(), next(), next());
    let home = PathBuf::from(HOME);
    let files = BTreeMap::from([
        (home.join(".earthscope/config.toml"), settings.to_vec()),
        (home.join(".config/earthscope-cli/sso_tokens.json"), legacy),
    ]);
    let variable = String::from_utf8_lossy(&variable).into_owned();
    let variables = BTreeMap::from([("ES_OAUTH2".to_owned(), variable)]);
    let setup = Setup::new().env(Arc::new(Files(files, variables))).config_file("/dev/null");
    let config: Config = setup.config().unwrap();
    match config.entry("earthscope") {
        Ok(entry) => {
            let Some(file) = entry.info.login_file else { return };
            if let Ok(login) = file.read(&tokens) {
                let written = file.write(&login, Some(&tokens));
                assert!(
                    written.is_none_or(|bytes| file.read(&bytes).is_ok()),
                    "an unreadable file is written"
                );
            }
        }
        Err(error) => assert_eq!(error.kind(), earthbroker::ErrorKind::Configuration, "{error}"),
    }
}
