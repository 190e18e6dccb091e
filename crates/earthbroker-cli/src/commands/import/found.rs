//! Finds logins and secrets of the services' own tools, on this machine or in a file that the user names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use earthbroker::{Env, EnvFile, Error, ErrorCode, Result, Secret, platform, sanitize};
use serde_json::{Map, Value};

use super::EarthDailyCredentials;

const REFRESH_TOKEN: &str = "ES_OAUTH2__REFRESH_TOKEN";
const EMAIL: &str = "CARBONMAPPER_EMAIL";
const PASSWORD: &str = "CARBONMAPPER_PASSWORD";
const TOKEN: &str = "CARBONMAPPER_TOKEN";

/// A login or a secret of another tool.
pub(super) struct Found {
    pub(super) kind: &'static str,
    pub(super) place: String,
    /// Whether the login or secret is in an environment variable of this process, not in a file.
    pub(super) in_env: bool,
    /// The fields of the file, or the environment variables, that contain the login or secret.
    pub(super) has: Vec<&'static str>,
    pub(super) what: What,
}

impl Found {
    fn new(kind: &'static str, place: &str, has: Vec<&'static str>, what: What) -> Self {
        Self { kind, place: sanitize(place), in_env: false, has, what }
    }

    /// Whether the whole file is unnecessary after the import: it contains only the login or secret.
    pub(super) fn is_whole_file(&self) -> bool {
        match &self.what {
            What::EarthDaily(set) => set.section.is_none(),
            What::CarbonMapper { .. } | What::RefreshToken(_) => true,
            What::Profile(_) | What::Nothing(_) => false,
        }
    }
}

/// What `broker import` can take from a file or an environment variable of another tool.
pub(super) enum What {
    EarthDaily(EarthDailyCredentials),
    CarbonMapper {
        email: Option<String>,
        password: Secret,
    },
    /// The name of an EarthScope SDK profile. The broker uses the profile's token file in place, without a copy.
    Profile(String),
    RefreshToken(Secret),
    /// The reason why nothing can be imported.
    Nothing(String),
}

/// Returns the logins and secrets that other tools keep in files and environment variables, in a fixed order.
pub(super) fn on_machine(env: &dyn Env) -> Vec<Found> {
    let unusable = |why: String| {
        Found::new("earthdaily", "unusable credentials file", Vec::new(), What::Nothing(sanitize(&why)))
    };
    let sets = EarthDailyCredentials::everywhere(env).into_iter();
    let found = sets.map(|set| set.map_or_else(unusable, earthdaily)).chain(profiles(env));
    found.chain(legacy_tokens(env)).chain(of_variables(env)).collect()
}

/// Returns the logins and secrets in a file. Fails if the file has none.
pub(super) fn in_file(env: &Arc<dyn Env>, path: &Path) -> Result<Vec<Found>> {
    let wrong = |code, why: String| {
        Error::new(code, why).with_hint("run: broker import, to list what can be imported")
    };
    let text = env.read_secret(path).map_err(|error| {
        wrong(ErrorCode::ConfigUnreadable, format!("cannot read {}: {error}", path.display()))
    })?;
    let begin = text.expose().trim_start_matches('\u{feff}').trim_start();
    if let Some(tokens) = tokens(&text) {
        return Ok(vec![of_tokens(env.as_ref(), path, &tokens)]);
    }
    let first_line = begin.lines().find(|line| !line.trim().is_empty() && !line.starts_with(['#', ';']));
    let found = if begin.starts_with('{') || first_line.is_some_and(|line| line.starts_with('[')) {
        let sets = EarthDailyCredentials::in_text(&text, path);
        one_of(env.as_ref(), path, sets.map_err(|why| wrong(ErrorCode::ConfigInvalid, why))?)?
    } else {
        let file = EnvFile::read(path, env.clone())?;
        let has_own = |name: &str| file.file_of(name).is_some();
        let set = EarthDailyCredentials::in_environment(&file);
        let set = set.map_err(|why| wrong(ErrorCode::ConfigInvalid, why))?.filter(|_| has_own("EDS_SECRET"));
        let others = of_variables(&file).into_iter();
        let others = others.filter(|found| found.has.iter().any(|name| has_own(name)));
        set.map(earthdaily).into_iter().chain(others).collect()
    };
    if found.is_empty() {
        let names = "EDS_SECRET, CARBONMAPPER_PASSWORD or ES_OAUTH2__REFRESH_TOKEN";
        let why = format!("{} has no secret to import: a file needs {names}", path.display());
        return Err(wrong(ErrorCode::SecretMissing, why));
    }
    Ok(found)
}

/// Returns EarthDaily's login from an INI or JSON file. `EDS_INI_PROFILE` selects one of several sections.
fn one_of(env: &dyn Env, path: &Path, mut sets: Vec<EarthDailyCredentials>) -> Result<Vec<Found>> {
    let profile = env.var("EDS_INI_PROFILE").unwrap_or_else(|| "default".to_owned());
    if sets.len() > 1 && sets.iter().any(|set| set.section.as_ref() == Some(&profile)) {
        sets.retain(|set| set.section.as_ref() == Some(&profile));
    }
    if sets.len() > 1 {
        let names: Vec<_> = sets.iter().filter_map(|set| set.section.as_deref()).map(sanitize).collect();
        let several = format!("{} has several accounts: {}", path.display(), names.join(", "));
        return Err(Error::usage(several).with_hint("run: EDS_INI_PROFILE=ACCOUNT broker import FILE"));
    }
    Ok(sets.into_iter().map(earthdaily).collect())
}

fn earthdaily(set: EarthDailyCredentials) -> Found {
    let others =
        [("EDS_CLIENT_ID", &set.client_id), ("EDS_AUTH_URL", &set.auth_url), ("EDS_API_URL", &set.api_url)];
    let others = others.into_iter().filter_map(|(name, value)| value.is_some().then_some(name));
    let has = ["EDS_SECRET"].into_iter().chain(others).collect();
    Found::new("earthdaily", &set.place.clone(), has, What::EarthDaily(set))
}

/// Returns the profiles of EarthScope's SDK.
fn profiles(env: &dyn Env) -> Vec<Found> {
    let Some(folder) = env.home().map(|home| home.join(".earthscope")) else { return Vec::new() };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path().join("tokens.json")).collect();
    files.retain(|path| path.is_file());
    files.sort();
    files.iter().map(|path| in_tokens_file(env, path)).collect()
}

/// Returns the token file of EarthScope's older command line tool.
fn legacy_tokens(env: &dyn Env) -> Option<Found> {
    let set = env.var("APP_DIRECTORY").map(PathBuf::from);
    let folder = set.or_else(|| Some(platform::config_folder(env)?.join("earthscope-cli")))?;
    let path = folder.join("sso_tokens.json");
    path.is_file().then(|| in_tokens_file(env, &path))
}

fn in_tokens_file(env: &dyn Env, path: &Path) -> Found {
    let why = match env.read_secret(path).map(|text| tokens(&text)) {
        Ok(Some(tokens)) => return of_tokens(env, path, &tokens),
        Ok(None) => "the file has no token".to_owned(),
        Err(error) => error.to_string(),
    };
    Found::new("earthscope", &path.display().to_string(), Vec::new(), What::Nothing(why))
}

/// Returns the tokens in a file of EarthScope's tools.
fn tokens(text: &Secret) -> Option<Map<String, Value>> {
    let object: Map<String, Value> = serde_json::from_str(text.expose()).ok()?;
    (token(&object, "access_token").or(token(&object, "refresh_token")).is_some()).then_some(object)
}

fn token<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str().filter(|token| !token.is_empty())
}

fn of_tokens(env: &dyn Env, path: &Path, object: &Map<String, Value>) -> Found {
    let has = ["access_token", "refresh_token"].into_iter().filter(|name| token(object, name).is_some());
    let what = match (profile_of(env, path), token(object, "refresh_token")) {
        (Some(profile), _) => What::Profile(profile),
        (None, Some(refresh)) => What::RefreshToken(Secret::cleaned_token(refresh)),
        (None, None) => What::Nothing(
            "the file has no refresh token, and its access token expires soon: run: broker login earthscope"
                .to_owned(),
        ),
    };
    Found::new("earthscope", &path.display().to_string(), has.collect(), what)
}

/// Returns the profile of a file `~/.earthscope/PROFILE/tokens.json`.
fn profile_of(env: &dyn Env, path: &Path) -> Option<String> {
    let path = std::path::absolute(path).ok()?;
    let inner = path.strip_prefix(env.home()?.join(".earthscope")).ok()?;
    let profile = inner.parent().filter(|_| inner.ends_with("tokens.json"))?.to_str()?;
    (!profile.is_empty() && !profile.contains('/')).then(|| profile.to_owned())
}

/// Returns the logins of EarthScope and Carbon Mapper in environment variables.
fn of_variables(env: &dyn Env) -> Vec<Found> {
    let found = |kind, has: Vec<&'static str>, what| {
        let name = has[has.len() - 1];
        let file = env.file_of(name).map(|path| path.display().to_string());
        let place = format!("{name} ({})", file.as_deref().unwrap_or("environment"));
        Found { kind, place, in_env: file.is_none(), has, what }
    };
    let refresh = env.var(REFRESH_TOKEN).map(|token| {
        found("earthscope", vec![REFRESH_TOKEN], What::RefreshToken(Secret::cleaned_token(&token)))
    });
    let password = env.var(PASSWORD).map(|password| {
        let email = env.var(EMAIL);
        let has = email.iter().map(|_| EMAIL).chain([PASSWORD]).collect();
        let password = Secret::cleaned(&password);
        found("carbonmapper", has, What::CarbonMapper { email, password })
    });
    let token = env.var(TOKEN).map(|_| {
        let why = "the broker uses this token without a login, and cannot renew it".to_owned();
        found("carbonmapper", vec![TOKEN], What::Nothing(why))
    });
    [refresh, password, token].into_iter().flatten().collect()
}
