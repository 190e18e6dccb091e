//! What the services' own tools keep on this machine: logins that the broker can import, and causes of conflicts.

use std::path::Path;
use std::sync::Arc;

use broker_core::tools::{Finding, ServiceTools, ToolLogin, ToolLoginOrigin};
use broker_core::{Env, Error, ErrorCode, Result};

use crate::Setup;
use crate::config::Config;
use crate::environment::Environment;

impl Setup {
    /// Returns the tools of all provider kinds.
    fn tools(&self) -> impl Iterator<Item = &'static dyn ServiceTools> {
        self.kinds.iter().filter_map(|kind| kind.tools)
    }

    /// Returns the environment with the variables of the dotenv file ([`Setup::env_file`]).
    pub fn environment(&self) -> Result<Arc<dyn Env>> {
        match &self.env_file {
            Some(path) => Ok(Arc::new(Environment::with_file(path, &self.kinds, self.env.clone())?)),
            None => Ok(self.env.clone()),
        }
    }

    /// Finds the logins and secrets in the variables and files of the services' own tools.
    pub fn tool_logins(&self) -> Result<Vec<ToolLogin>> {
        let env = self.environment()?;
        Ok(self.tools().flat_map(|tools| tools.find(env.as_ref())).collect())
    }

    /// Reads the logins and secrets in a file of a service's own tools, or in a dotenv file. Fails if there are none.
    pub fn tool_logins_in(&self, path: &Path) -> Result<Vec<ToolLogin>> {
        let env = self.environment()?;
        let text = env.read_secret(path).map_err(|error| {
            Error::new(ErrorCode::ConfigUnreadable, format!("cannot read {}: {error}", path.display()))
        })?;
        let read = self.tools().filter_map(|tools| tools.read(env.as_ref(), path, &text).transpose());
        let read = read.collect::<Result<Vec<_>>>()?;
        let found = if read.is_empty() {
            let env = Environment::with_file(path, &self.kinds, env)?;
            let logins = self.tools().flat_map(|tools| tools.find(&env));
            logins.filter(|login| login.origin == ToolLoginOrigin::Dotenv).collect()
        } else {
            read.into_iter().flatten().collect::<Vec<_>>()
        };
        if found.is_empty() {
            let names: Vec<_> = self.tools().map(ServiceTools::secret_variable).collect();
            let names = names.join(" or ");
            let why = format!("{} has no secret to import: a file needs {names}", path.display());
            return Err(Error::new(ErrorCode::SecretMissing, why));
        }
        Ok(found)
    }

    /// Checks the files and the variables of the services' own tools. With `named`, checks only the tools of this
    /// provider's service. A dotenv file replaces the variables, so they are then not checked.
    pub fn check_tools(&self, config: Option<&Config>, named: Option<&str>) -> Vec<Finding> {
        let (mut found, env) = (Vec::new(), self.env.as_ref());
        for kind in &self.kinds {
            let Some(tools) = kind.tools else { continue };
            let providers = config.map(|config| config.settings_of(kind.name)).unwrap_or_default();
            if named.is_none_or(|named| providers.iter().any(|settings| settings.name() == named)) {
                found.extend(tools.check_files(&providers, env));
                let variables = self.env_file.is_none().then(|| tools.check_variables(&providers, env));
                found.extend(variables.into_iter().flatten());
            }
        }
        found
    }
}
