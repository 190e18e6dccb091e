//! The broker's own secrets in the environment: children that did not ask for them do not get them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use broker_core::{Env, Secret};

/// An environment some of whose variables are for this process alone.
pub(crate) struct Withholding {
    pub(crate) beneath: Arc<dyn Env>,
    pub(crate) names: Vec<String>,
}

#[async_trait]
impl Env for Withholding {
    fn var(&self, name: &str) -> Option<String> {
        self.beneath.var(name)
    }

    fn vars(&self, prefix: &str) -> Vec<(String, String)> {
        self.beneath.vars(prefix)
    }

    fn withheld(&self) -> Vec<String> {
        self.names.clone()
    }

    fn home(&self) -> Option<PathBuf> {
        self.beneath.home()
    }

    fn file_of(&self, name: &str) -> Option<&Path> {
        self.beneath.file_of(name)
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
