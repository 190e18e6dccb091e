//! Hides environment variables that contain the broker's secrets from child processes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use broker_core::{Env, Secret};

/// An environment that withholds the variables in `names` from child processes.
pub(crate) struct Withholding {
    pub(crate) inner: Arc<dyn Env>,
    pub(crate) names: Vec<String>,
}

#[async_trait]
impl Env for Withholding {
    fn var(&self, name: &str) -> Option<String> {
        self.inner.var(name)
    }

    fn vars(&self, prefix: &str) -> Vec<(String, String)> {
        self.inner.vars(prefix)
    }

    fn not_utf8(&self, prefix: &str) -> Vec<String> {
        self.inner.not_utf8(prefix)
    }

    fn withheld(&self) -> Vec<String> {
        self.names.clone()
    }

    fn home(&self) -> Option<PathBuf> {
        self.inner.home()
    }

    fn file_of(&self, name: &str) -> Option<&Path> {
        self.inner.file_of(name)
    }

    fn host_name(&self) -> String {
        self.inner.host_name()
    }

    fn read_secret(&self, path: &Path) -> std::io::Result<Secret> {
        self.inner.read_secret(path)
    }

    async fn run_secret(&self, command: &[String], without: &[String]) -> std::io::Result<Secret> {
        self.inner.run_secret(command, without).await
    }
}
