//! The credentials of EarthDaily's own tools. The broker sends a secret only to URLs of the same source, because the
//! writer of another source could redirect the secret.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use broker_core::{Env, Secret};
use serde_json::Value;

use crate::ini;

pub(crate) const SECRET: &str = "EDS_SECRET";

/// A secret and its URLs, from one source of EarthDaily's own tools.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The name of the variable or file with the secret, for messages.
    pub place: String,
    /// Whether a file contains the secret, and not the process environment.
    pub is_in_file: bool,
    /// The section, if the source is an INI file.
    pub section: Option<String>,
    /// The API token, or the client secret if the source also has a client ID.
    pub secret: Secret,
    /// The client ID, if the source has one. Newer sources have only an API token.
    pub client_id: Option<String>,
    /// The token URL, which may be invalid.
    pub auth_url: Option<String>,
    /// The API URL, which may be invalid.
    pub api_url: Option<String>,
}

impl Credentials {
    /// Creates the credentials, if the source contains a secret.
    fn of(place: String, section: Option<String>, get: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let get = |name| get(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let secret = Secret::new(get(SECRET)?);
        let (client_id, auth_url, api_url) = (get("EDS_CLIENT_ID"), get("EDS_AUTH_URL"), get("EDS_API_URL"));
        Some(Self { place, is_in_file: true, section, secret, client_id, auth_url, api_url })
    }

    /// Returns the credentials in the environment.
    #[must_use]
    pub fn in_environment(env: &dyn Env) -> Option<Self> {
        let file = env.file_of(SECRET).map(|path| path.display().to_string());
        let place = format!("{SECRET} ({})", file.as_deref().unwrap_or("environment"));
        let set = Self::of(place, None, |name| env.var(name))?;
        Some(Self { is_in_file: file.is_some(), ..set })
    }

    /// Parses a file: a flat JSON object, or an INI file whose sections each contain credentials.
    pub fn in_text(text: &Secret, path: &Path) -> Result<Vec<Self>, String> {
        let begin = text.expose().trim_start_matches('\u{feff}').trim_start();
        let form = if begin.starts_with('{') { Form::Json } else { Form::Ini };
        form.sets(text, &path.display().to_string(), "")
    }

    /// Returns all credentials on this machine in order of precedence, and the errors of unusable files.
    #[must_use]
    pub fn everywhere(env: &dyn Env) -> Vec<Result<Self, String>> {
        let files = FILES.iter().filter_map(|(variable, form)| {
            let path = env.var(variable)?;
            Some(form.file(env, variable, &path))
        });
        let mut found: Vec<_> = Self::in_environment(env).into_iter().map(Ok).collect();
        for sets in files.chain([in_home(env)]) {
            match sets {
                Ok(sets) => found.extend(sets.into_iter().map(Ok)),
                Err(why) => found.push(Err(why)),
            }
        }
        found
    }
}

/// Returns the credentials from the environment, a file that a variable names, or `~/.earthdaily/credentials`.
pub(crate) fn find(env: &dyn Env) -> Result<Option<Credentials>, String> {
    if let Some(set) = Credentials::in_environment(env) {
        return Ok(Some(set));
    }
    let section = profile(env);
    for (variable, form) in FILES {
        let Some(path) = env.var(variable) else { continue };
        let mut sets = form.file(env, variable, &path)?.into_iter();
        let set = sets.find(|set| set.section.as_ref().is_none_or(|name| *name == section));
        let missing = || format!("{path} ({variable}) has no {SECRET} in its section [{section}]");
        return set.map(Some).ok_or_else(missing);
    }
    if let Some(file) = env.file_of(SECRET) {
        return Err(format!("{} sets variables of EarthDaily, but not {SECRET}", file.display()));
    }
    Ok(in_home(env)?.into_iter().find(|set| set.section.as_ref() == Some(&section)))
}

/// Describes the searched sources, for the error of a missing secret.
pub(crate) fn searched(env: &dyn Env) -> Vec<String> {
    let file = home_file(env).map(|path| format!("{} [{}] (no secret)", path.display(), profile(env)));
    [Some(format!("{SECRET} (not set)")), file].into_iter().flatten().collect()
}

/// The environment variables that name a credentials file.
const FILES: [(&str, Form); 3] =
    [("EDS_JSON_PATH", Form::Json), ("EDS_TOML_PATH", Form::Toml), ("EDS_INI_PATH", Form::Ini)];

fn profile(env: &dyn Env) -> String {
    env.var("EDS_INI_PROFILE").unwrap_or_else(|| "default".to_owned())
}

fn home_file(env: &dyn Env) -> Option<PathBuf> {
    Some(env.home()?.join(".earthdaily/credentials"))
}

/// Returns the credentials in `~/.earthdaily/credentials`, which older clients write.
fn in_home(env: &dyn Env) -> Result<Vec<Credentials>, String> {
    let Some(path) = home_file(env) else { return Ok(Vec::new()) };
    let place = path.display().to_string();
    match env.read_secret(&path) {
        Ok(text) => Form::Ini.sets(&text, &place, ""),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(vec![]),
        Err(error) => Err(format!("{place}: {error}")),
    }
}

#[derive(Clone, Copy)]
enum Form {
    Json,
    Toml,
    Ini,
}

impl Form {
    /// Returns the credentials in a file that an environment variable names.
    fn file(self, env: &dyn Env, variable: &str, path: &str) -> Result<Vec<Credentials>, String> {
        let text =
            env.read_secret(Path::new(path)).map_err(|error| format!("{path} ({variable}): {error}"))?;
        let sets = self.sets(&text, path, &format!(" ({variable})"))?;
        if sets.is_empty() { Err(format!("{path} ({variable}) has no {SECRET}")) } else { Ok(sets) }
    }

    /// Parses the credentials in a file. Errors contain only line numbers, because a line may contain a secret.
    fn sets(self, text: &Secret, path: &str, named_by: &str) -> Result<Vec<Credentials>, String> {
        let bad = |what: &str, line: usize| format!("{path}{named_by}: line {line} is not valid {what}");
        let text = text.expose().trim_start_matches('\u{feff}');
        let values: BTreeMap<String, Value> = match self {
            Self::Json => serde_json::from_str(text).map_err(|error| bad("JSON", error.line()))?,
            Self::Toml => toml::from_str(text).map_err(|error| {
                let start = error.span().map_or(0, |span| span.start);
                bad("TOML", text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1)
            })?,
            Self::Ini => {
                let sections = ini::read(text).map_err(|line| bad("INI", line))?;
                let set = |section: ini::Section| {
                    let place = format!("{path} [{}]{named_by}", section.name);
                    Credentials::of(place, Some(section.name), |name| {
                        let mut values = section.values.iter().rev();
                        values.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
                    })
                };
                return Ok(sections.into_iter().filter_map(set).collect());
            }
        };
        let get = |name: &str| values.get(name)?.as_str().map(str::to_owned);
        Ok(Credentials::of(format!("{path}{named_by}"), None, get).into_iter().collect())
    }
}
