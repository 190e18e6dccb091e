//! Imports and checks the credentials of EarthDaily's own clients.

use std::path::Path;

use broker_core::tools::{Finding, ServiceTools, ToolLogin, ToolLoginContent, ToolSettings};
use broker_core::{Env, Error, ErrorCode, Result, Secret, Settings, sanitize, without_query};

use crate::KIND;
use crate::config::{API_URL, Config};
use crate::sources::{Credentials, FILES, SECRET, profile};

/// EarthDaily's clients, which read variables `EDS_…` and the file `~/.earthdaily/credentials`.
#[derive(Debug)]
pub(crate) struct Tools;

impl ServiceTools for Tools {
    fn secret_variable(&self) -> &'static str {
        SECRET
    }

    fn find(&self, env: &dyn Env) -> Vec<ToolLogin> {
        let unusable = |why: String| {
            let why = ToolLoginContent::Nothing(sanitize(&why));
            ToolLogin::new(KIND.name, "unusable credentials file", why)
        };
        let sets = Credentials::everywhere(env).into_iter();
        sets.map(|set| set.map_or_else(unusable, login)).collect()
    }

    /// Reads a file in a format of EarthDaily's clients. `EDS_INI_PROFILE` selects one of several sections.
    fn read(&self, env: &dyn Env, path: &Path, text: &Secret) -> Result<Option<Vec<ToolLogin>>> {
        let begin = text.expose().trim_start_matches('\u{feff}').trim_start();
        let mut lines = begin.lines().filter(|line| !line.trim().is_empty() && !line.starts_with(['#', ';']));
        if !begin.starts_with('{') && !lines.next().is_some_and(|line| line.starts_with('[')) {
            return Ok(None);
        }
        let sets = Credentials::in_text(text, path);
        let mut sets = sets.map_err(|why| Error::new(ErrorCode::ConfigInvalid, why))?;
        let profile = profile(env);
        if sets.len() > 1 && sets.iter().any(|set| set.section.as_ref() == Some(&profile)) {
            sets.retain(|set| set.section.as_ref() == Some(&profile));
        }
        if sets.len() > 1 {
            let names: Vec<_> = sets.iter().filter_map(|set| set.section.as_deref()).map(sanitize).collect();
            let several = format!("{} has several accounts: {}", path.display(), names.join(", "));
            return Err(Error::usage(several).with_hint("name one of them: set EDS_INI_PROFILE=ACCOUNT"));
        }
        Ok(Some(sets.into_iter().map(login).collect()))
    }

    /// Checks that a secret is set if its URL or client ID is set.
    fn check_variables(&self, providers: &[Settings<'_>], env: &dyn Env) -> Vec<Finding> {
        let id = "tools.earthdaily_variables";
        let set = |name: &&str| env.var(name).is_some();
        let others: Vec<_> = ["EDS_AUTH_URL", "EDS_CLIENT_ID"].into_iter().filter(set).collect();
        let mut secrets = [SECRET].into_iter().chain(FILES.map(|(variable, _)| variable));
        let is_configured = |it: &Settings<'_>| it.parse().is_ok_and(|it: Config| it.client_secret.is_some());
        if others.is_empty() || secrets.any(|name| set(&name)) || providers.iter().any(is_configured) {
            return vec![Finding::ok(id, "the variables EDS_… that are set are complete")];
        }
        let what = format!("{} is set, but not {SECRET}", others.join(" and "));
        vec![Finding::warning(id, what, format!("set {SECRET} too, or run: unset {}", others.join(" ")))]
    }
}

fn login(set: Credentials) -> ToolLogin {
    let others =
        [("EDS_CLIENT_ID", &set.client_id), ("EDS_AUTH_URL", &set.auth_url), ("EDS_API_URL", &set.api_url)];
    let others = others.into_iter().filter_map(|(name, value)| value.is_some().then_some(name));
    let has = [SECRET].into_iter().chain(others).collect();
    let targets = [("secret goes to", &set.auth_url), ("tokens go to", &set.api_url)].into_iter();
    let targets =
        targets.filter_map(|(what, url)| Some((what, url.as_ref().filter(|url| !is_default(url))?)));
    let notes = targets.map(|(what, url)| format!("the {what} {}", without_query(url))).collect();
    let texts = vec![("auth_url", set.auth_url), ("client_id", set.client_id), ("api_url", set.api_url)];
    let secret = Some(("client_secret", set.secret));
    let content =
        ToolLoginContent::Settings(ToolSettings { secret, texts, notes, ..ToolSettings::default() });
    let mut login = ToolLogin::new(KIND.name, &set.place, content);
    (login.origin, login.has, login.is_whole_file) = (set.origin, has, set.section.is_none());
    login
}

/// Whether a URL is one of the service itself.
fn is_default(url: &str) -> bool {
    url.strip_prefix(API_URL).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
