//! The search for EarthDaily's secrets in builds without the kind `earthdaily`: it finds no secrets.

use std::path::Path;

use earthbroker::{Env, Secret};

/// Replaces `earthbroker::EarthDailyCredentials`, which this build lacks. Nothing creates a value of this type.
pub(super) struct EarthDailyCredentials {
    pub(super) place: String,
    pub(super) section: Option<String>,
    pub(super) secret: Secret,
    pub(super) client_id: Option<String>,
    pub(super) auth_url: Option<String>,
    pub(super) api_url: Option<String>,
}

impl EarthDailyCredentials {
    pub(super) fn in_environment(env: &dyn Env) -> Result<Option<Self>, String> {
        Self::everywhere(env).pop().transpose()
    }

    pub(super) fn in_text(_: &Secret, path: &Path) -> Result<Vec<Self>, String> {
        Err(format!("{}: this broker was built without the kind `earthdaily`", path.display()))
    }

    pub(super) fn everywhere(_: &dyn Env) -> Vec<Result<Self, String>> {
        Vec::new()
    }
}
