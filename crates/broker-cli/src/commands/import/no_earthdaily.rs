//! In a build without the kind `earthdaily` none of its secrets is found, since nothing could use them.

use std::path::Path;

use broker::{Env, Secret};

/// What the kind's own type has, never made.
pub(super) struct EarthDailyCredentials {
    pub(super) place: String,
    pub(super) section: Option<String>,
    pub(super) secret: Secret,
    pub(super) client_id: Option<String>,
    pub(super) auth_url: Option<String>,
    pub(super) api_url: Option<String>,
}

impl EarthDailyCredentials {
    pub(super) fn in_environment(_: &dyn Env) -> Option<Self> {
        None
    }

    pub(super) fn in_text(_: &Secret, path: &Path) -> Result<Vec<Self>, String> {
        Err(format!("{}: this broker is built without the kind `earthdaily`", path.display()))
    }

    pub(super) fn global(_: &dyn Env) -> Vec<Result<Self, String>> {
        Vec::new()
    }
}
