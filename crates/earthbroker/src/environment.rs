//! The process environment, with the variables of a dotenv file and without secrets for child processes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use broker_core::{Env, Error, ErrorCode, Kind, Result, Secret};

use crate::dotenv::{is_in_family, parse};

/// An environment that a dotenv file may extend. If the file sets one variable of a service, all variables of that
/// service come from the file, so a secret is never sent to a URL from elsewhere.
pub(crate) struct Environment {
    beneath: Arc<dyn Env>,
    /// The dotenv file.
    path: PathBuf,
    /// The prefixes of the file's variables, each of one service. Other variables, such as `HTTPS_PROXY`, are ignored.
    prefixes: Vec<&'static str>,
    variables: BTreeMap<String, Secret>,
    /// The variables that child processes do not get.
    withheld: Vec<String>,
}

impl Environment {
    /// Hides variables from child processes.
    pub(crate) fn withholding(mut withheld: Vec<String>, beneath: Arc<dyn Env>) -> Self {
        withheld.extend(beneath.withheld());
        Self { beneath, path: PathBuf::new(), prefixes: Vec::new(), variables: BTreeMap::new(), withheld }
    }

    /// Reads a dotenv file with variables of the kinds' tools, which override those of the environment `beneath`.
    pub(crate) fn with_file(path: &Path, kinds: &[Kind], beneath: Arc<dyn Env>) -> Result<Self> {
        let tools = kinds.iter().filter_map(|kind| kind.tools);
        let (mut prefixes, secrets): (Vec<_>, Vec<_>) =
            tools.map(|it| (it.prefix(), it.secret_variable())).unzip();
        let example = secrets.first().unwrap_or(&"NAME");
        let wrong = |code, why: String| {
            Error::new(code, why).with_hint(format!("a dotenv file has lines such as {example}=…"))
        };
        let file = path.display();
        let text = beneath.read_secret(path).map_err(|error| {
            let why = format!("cannot read {file}: {error}");
            wrong(ErrorCode::ConfigUnreadable, why).with_source(error)
        })?;
        let mut variables = parse(text.expose(), &prefixes)
            .map_err(|(line, why)| wrong(ErrorCode::ConfigSyntax, format!("{file}:{line}: {why}")))?;
        variables.retain(|name, _| is_in_family(&prefixes, name));
        if variables.is_empty() {
            let prefixes = prefixes.join(" or ");
            let why = format!("{file} sets no variable that starts with {prefixes}");
            return Err(wrong(ErrorCode::ConfigMissingKey, why));
        }
        prefixes.retain(|prefix| variables.keys().any(|name| is_in_family(&[*prefix], name)));
        let withheld = beneath.withheld();
        Ok(Self { beneath, path: path.to_owned(), prefixes, variables, withheld })
    }

    /// Whether the file sets a variable of the same service as `name`.
    fn has_family_of(&self, name: &str) -> bool {
        is_in_family(&self.prefixes, name)
    }
}

#[async_trait]
impl Env for Environment {
    fn var(&self, name: &str) -> Option<String> {
        if !self.has_family_of(name) {
            return self.beneath.var(name);
        }
        self.variables.get(name).map(|value| value.expose().to_owned()).filter(|value| !value.is_empty())
    }

    fn vars(&self, prefix: &str) -> Vec<(String, String)> {
        let beneath = self.beneath.vars(prefix).into_iter().filter(|(name, _)| !self.has_family_of(name));
        let own = self.variables.iter().filter(|(name, _)| name.starts_with(prefix));
        beneath.chain(own.map(|(name, value)| (name.clone(), value.expose().to_owned()))).collect()
    }

    fn not_utf8(&self, prefix: &str) -> Vec<String> {
        self.beneath.not_utf8(prefix).into_iter().filter(|name| !self.has_family_of(name)).collect()
    }

    fn withheld(&self) -> Vec<String> {
        self.withheld.clone()
    }

    fn home(&self) -> Option<PathBuf> {
        self.beneath.home()
    }

    fn file_of(&self, name: &str) -> Option<&Path> {
        if self.has_family_of(name) { Some(&self.path) } else { self.beneath.file_of(name) }
    }

    fn host_name(&self) -> String {
        self.beneath.host_name()
    }

    fn read_secret(&self, path: &Path) -> std::io::Result<Secret> {
        self.beneath.read_secret(path)
    }

    async fn run_secret(&self, command: &[String], without: &[String]) -> std::io::Result<Secret> {
        self.beneath.run_secret(command, without).await
    }
}
