//! Imports the logins of EarthScope's SDK and command `es`, and checks their files and variables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use broker_core::tools::{Finding, ServiceTools, ToolLogin, ToolLoginContent, ToolSettings};
use broker_core::{Env, Result, Secret, Settings, platform, quoted_path, text_in};
use serde_json::{Map, Value};

use crate::KIND;
use crate::resolved::Config;
use crate::sources::{legacy_file, sdk_home};
use crate::tokens_file::object;

const REFRESH_TOKEN: &str = "ES_OAUTH2__REFRESH_TOKEN";

/// EarthScope's SDK and its command `es`.
#[derive(Debug)]
pub(crate) struct Tools;

impl ServiceTools for Tools {
    fn secret_variable(&self) -> &'static str {
        REFRESH_TOKEN
    }

    fn find(&self, env: &dyn Env) -> Vec<ToolLogin> {
        let mut files: Vec<_> =
            env.home().map(|home| tokens_files(&home.join(".earthscope"))).unwrap_or_default();
        files.extend(legacy_file(env));
        let files = files.iter().filter(|path| path.is_file()).map(|path| {
            let unusable =
                |why| ToolLogin::new(KIND.name, &path.display().to_string(), ToolLoginContent::Nothing(why));
            tokens_in(env, path).map_or_else(unusable, |tokens| of_tokens(env, path, &tokens))
        });
        let variable = env
            .var(REFRESH_TOKEN)
            .map(|token| ToolLogin::in_variable(KIND.name, REFRESH_TOKEN, env, refresh_token(&token)));
        files.chain(variable).collect()
    }

    fn read(&self, env: &dyn Env, path: &Path, text: &Secret) -> Result<Option<Vec<ToolLogin>>> {
        Ok(tokens(text).ok().map(|tokens| vec![of_tokens(env, path, &tokens)]))
    }

    /// Checks the files `tokens.json` of all profiles, and that no two providers use one of them: each renewal ends the
    /// other provider's login.
    fn check_files(&self, providers: &[Settings<'_>], env: &dyn Env) -> Vec<Finding> {
        let mut findings = Vec::new();
        for file in sdk_files(providers, env) {
            let Ok(meta) = file.symlink_metadata() else { continue };
            let tokens = if meta.is_file() {
                tokens_in(env, &file)
            } else {
                Err("the token file is not a regular file".to_owned())
            };
            let id = "tools.earthscope_file";
            let (shown, path) = (file.display(), quoted_path(&file));
            findings.push(match tokens {
                Ok(_) => Finding::ok(id, format!("{shown} is valid")),
                Err(what) => {
                    let fix = format!(
                        "run: mv {path} {path}.old, then log in again with the tool that uses the file"
                    );
                    let mut finding = Finding::warning(id, format!("{shown}: {what}"), fix);
                    finding.invalid_file = Some(file.clone());
                    finding
                }
            });
            if meta.is_file() && platform::others_read(&meta) {
                let what = format!(
                    "other users can read {shown}: earthscope-sdk before 1.9.2 writes such files, and not atomically (to \
                     upgrade, run: pip install --upgrade 'earthscope-sdk>=1.9.2')"
                );
                let fix = format!("run: chmod 600 {path}");
                findings.push(Finding::warning("tools.earthscope_mode", what, fix));
            }
        }
        let mut users: BTreeMap<PathBuf, Vec<&str>> = BTreeMap::new();
        for settings in providers {
            let file = crate::build(settings).ok().and_then(|provider| provider.info().login_file.clone());
            if let Some(file) = file {
                users.entry(file.path().to_owned()).or_default().push(settings.name());
            }
        }
        for (file, names) in users.iter().filter(|(_, names)| names.len() > 1) {
            let what =
                format!("{} share {}, a file of EarthScope's tools", names.join(" and "), file.display());
            let fix = format!(
                "set another `profile`, or `share = false`, in [providers.{}]",
                names[names.len() - 1]
            );
            findings.push(Finding::warning("tools.earthscope_profile", what, fix));
        }
        findings
    }

    /// Warns of variables that override the login files of EarthScope's tools, which ignore the case of their names.
    fn check_variables(&self, providers: &[Settings<'_>], env: &dyn Env) -> Vec<Finding> {
        let Some(file) = sdk_files(providers, env).into_iter().next() else { return Vec::new() };
        let known = [REFRESH_TOKEN, "ES_OAUTH2__ACCESS_TOKEN"];
        let overrides = |(name, value): &(String, String)| {
            !value.is_empty() && known.iter().any(|known| known.eq_ignore_ascii_case(name))
        };
        let warning = |(name, _): (String, String)| {
            let file = file.display();
            let what =
                format!("{name} is set: EarthScope's tools use this variable instead of the login in {file}");
            Finding::warning("tools.earthscope_variable", what, format!("run: unset {name}"))
        };
        env.vars("").into_iter().filter(overrides).map(warning).collect()
    }
}

/// Returns the files `tokens.json` in the folder `~/.earthscope`.
fn tokens_files(home: &Path) -> Vec<PathBuf> {
    let profiles = std::fs::read_dir(home).into_iter().flatten().flatten();
    let files = profiles.map(|profile| profile.path().join("tokens.json"));
    let mut files: Vec<_> = files.filter(|file| file.symlink_metadata().is_ok()).collect();
    files.sort();
    files
}

/// Returns the files `tokens.json` in the folder that the providers use.
fn sdk_files(providers: &[Settings<'_>], env: &dyn Env) -> Vec<PathBuf> {
    let configured = providers.iter().find_map(|settings| settings.parse::<Config>().ok()?.sdk_home);
    sdk_home(configured.as_deref(), env).map(|home| tokens_files(&home)).unwrap_or_default()
}

fn tokens_in(env: &dyn Env, file: &Path) -> std::result::Result<Map<String, Value>, String> {
    tokens(&env.read_secret(file).map_err(|error| format!("cannot read the token file: {error}"))?)
}

/// Returns the tokens in a file of EarthScope's tools, or why the file has none.
fn tokens(text: &Secret) -> std::result::Result<Map<String, Value>, String> {
    let object =
        object(text.expose().as_bytes()).ok_or("the token file is not JSON, and may be incomplete")?;
    if text_in(&object, "access_token").or(text_in(&object, "refresh_token")).is_none() {
        return Err("the token file has neither an access token nor a refresh token".to_owned());
    }
    Ok(object)
}

fn of_tokens(env: &dyn Env, path: &Path, object: &Map<String, Value>) -> ToolLogin {
    let profile = profile_of(env, path);
    let is_default = profile.as_deref() == Some("default");
    let content = match (profile, text_in(object, "refresh_token")) {
        (Some(profile), _) => ToolLoginContent::Settings(ToolSettings {
            name: (!is_default).then(|| format!("{}-{profile}", KIND.name)),
            texts: vec![("profile", Some(profile))],
            ..ToolSettings::default()
        }),
        (None, Some(refresh)) => refresh_token(refresh),
        (None, None) => ToolLoginContent::Nothing(
            "the file has no refresh token, and its access token expires soon: log in instead".to_owned(),
        ),
    };
    let is_whole_file = matches!(content, ToolLoginContent::RefreshToken { .. });
    let mut login = ToolLogin::new(KIND.name, &path.display().to_string(), content);
    login.has =
        ["access_token", "refresh_token"].into_iter().filter(|key| text_in(object, key).is_some()).collect();
    (login.is_default, login.is_whole_file) = (is_default, is_whole_file);
    login
}

/// Another provider uses EarthScope's default profile, so a new provider gets its own.
fn refresh_token(token: &str) -> ToolLoginContent {
    ToolLoginContent::RefreshToken { token: Secret::cleaned_token(token), name_key: Some("profile") }
}

/// Returns the profile of a file `~/.earthscope/PROFILE/tokens.json`.
fn profile_of(env: &dyn Env, path: &Path) -> Option<String> {
    let path = std::path::absolute(path).ok()?;
    let inner = path.strip_prefix(env.home()?.join(".earthscope")).ok()?;
    let profile = inner.parent().filter(|_| inner.ends_with("tokens.json"))?.to_str()?;
    (!profile.is_empty() && !profile.contains('/')).then(|| profile.to_owned())
}
