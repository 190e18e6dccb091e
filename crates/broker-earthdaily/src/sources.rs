//! The credentials of EarthDaily's own tools. The broker sends a secret only to URLs of the same source, because the
//! writer of another source could redirect the secret.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use broker_core::tools::ToolLoginOrigin;
use broker_core::{Env, Secret};
use serde_json::{Map, Value};

use crate::ini::Ini;

pub(crate) const SECRET: &str = "EDS_SECRET";

const KEYS: [&str; 4] = [SECRET, "EDS_CLIENT_ID", "EDS_AUTH_URL", "EDS_API_URL"];

/// A secret and its URLs, from one source of EarthDaily's own tools.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    /// The name of the variable or file with the secret, for messages.
    pub(crate) place: String,
    /// What contains the secret.
    pub(crate) origin: ToolLoginOrigin,
    /// The section, if the source is an INI file.
    pub(crate) section: Option<String>,
    /// The API token, or the client secret if the source also has a client ID.
    pub(crate) secret: Secret,
    /// The client ID, if the source has one. Newer sources have only an API token.
    pub(crate) client_id: Option<String>,
    /// The token URL, which may be invalid.
    pub(crate) auth_url: Option<String>,
    /// The API URL, which may be invalid.
    pub(crate) api_url: Option<String>,
}

impl Credentials {
    /// Creates the credentials, if the source contains a secret.
    fn of(place: String, section: Option<&str>, mut get: impl FnMut(&str) -> Option<String>) -> Option<Self> {
        let mut get = |name| {
            let text = Secret::cleaned_token(&get(name)?).expose().to_owned();
            Some(text).filter(|text| !text.is_empty())
        };
        let secret = Secret::new(get(SECRET)?);
        let (client_id, auth_url, api_url) = (get("EDS_CLIENT_ID"), get("EDS_AUTH_URL"), get("EDS_API_URL"));
        let (origin, section) = (ToolLoginOrigin::File, section.map(str::to_owned));
        Some(Self { place, origin, section, secret, client_id, auth_url, api_url })
    }

    /// Returns the credentials in the environment. Fails if one of their variables is not UTF-8: without its URL, the
    /// secret would go to another host.
    pub(crate) fn in_environment(env: &dyn Env) -> Result<Option<Self>, String> {
        env.check_utf8("EDS_", &|name| KEYS.iter().any(|key| key.eq_ignore_ascii_case(name)))?;
        let set = Self::of(env.describe(SECRET), None, |name| env.var(name));
        Ok(set.map(|set| Self { origin: ToolLoginOrigin::of(SECRET, env), ..set }))
    }

    /// Parses a file of EarthDaily's clients: JSON, TOML, or an INI file whose sections each contain credentials.
    pub(crate) fn in_text(text: &Secret, path: &Path) -> Result<Vec<Self>, String> {
        let begin = text.expose().trim_start();
        let usual = if begin.starts_with('{') { Form::Json } else { Form::Profiles };
        let file =
            File { text: text.expose(), path: &path.display().to_string(), named_by: "", profile: None };
        Form::of(path, usual).sets(file)
    }

    /// Returns all credentials on this machine in order of precedence, and the errors of unusable files.
    pub(crate) fn everywhere(env: &dyn Env) -> Vec<Result<Self, String>> {
        let files = FILES.iter();
        let files = files.filter_map(|(name, form)| Some(form.file(env, name, &env.var(name)?, None)));
        let variables = Self::in_environment(env).map(|set| set.into_iter().collect());
        let all = [variables].into_iter().chain(files).chain([in_home(env, None)]);
        let each = |sets: Vec<_>| sets.into_iter().map(Ok).collect();
        all.flat_map(|sets| sets.map_or_else(|why| vec![Err(why)], each)).collect()
    }
}

/// Returns the credentials from the environment, a file that a variable names, or `~/.earthdaily/credentials`.
pub(crate) fn find(env: &dyn Env) -> Result<Option<Credentials>, String> {
    if let Some(set) = Credentials::in_environment(env)? {
        return Ok(Some(set));
    }
    env.check_utf8("EDS_", &|_| true)?;
    let section = profile(env);
    for (variable, form) in FILES {
        let Some(path) = env.var(variable) else { continue };
        return Ok(form.file(env, variable, &path, Some(&section))?.into_iter().next());
    }
    if let Some(file) = env.file_of(SECRET) {
        return Err(format!("{} sets variables of EarthDaily, but not {SECRET}", file.display()));
    }
    Ok(in_home(env, Some(&section))?.into_iter().next())
}

/// Describes the searched sources, for the error of a missing secret.
pub(crate) fn searched(env: &dyn Env) -> Vec<String> {
    let file = home_file(env).map(|path| format!("{} [{}] (no secret)", path.display(), profile(env)));
    [Some(format!("{SECRET} (not set)")), file].into_iter().flatten().collect()
}

/// The environment variables that name a credentials file.
pub(crate) const FILES: [(&str, Form); 3] =
    [("EDS_JSON_PATH", Form::Json), ("EDS_TOML_PATH", Form::Toml), ("EDS_INI_PATH", Form::Ini)];

pub(crate) fn profile(env: &dyn Env) -> String {
    env.var("EDS_INI_PROFILE").unwrap_or_else(|| "default".to_owned())
}

fn home_file(env: &dyn Env) -> Option<PathBuf> {
    Some(env.home()?.join(".earthdaily/credentials"))
}

/// Returns the credentials in `~/.earthdaily/credentials`, which older clients write. With `profile`, only those of this
/// profile.
fn in_home(env: &dyn Env, profile: Option<&str>) -> Result<Vec<Credentials>, String> {
    let Some(path) = home_file(env) else { return Ok(Vec::new()) };
    let place = path.display().to_string();
    match env.read_secret(&path) {
        Ok(text) => Form::Profiles.sets(File { text: text.expose(), path: &place, named_by: "", profile }),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(vec![]),
        Err(error) => Err(format!("{place}: {error}")),
    }
}

/// The format of a credentials file.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    /// A flat JSON object.
    Json,
    /// A flat TOML table.
    Toml,
    /// INI as Python's `configparser` reads it.
    Ini,
    /// TOML with a table for each profile, which clients before version 1 read. Other files are read as INI, without
    /// the quotes around values.
    Profiles,
}

impl Form {
    /// Returns the format of a file by its name's ending, as EarthDaily's client does, or else the `usual` format.
    fn of(path: &Path, usual: Self) -> Self {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        match ending.to_ascii_lowercase().as_str() {
            "json" => Self::Json,
            "toml" => Self::Toml,
            "ini" => Self::Ini,
            _ => usual,
        }
    }

    /// Returns the credentials in a file that an environment variable names. With `profile`, only those of this profile.
    /// Fails if there are none.
    fn file(
        self,
        env: &dyn Env,
        variable: &str,
        path: &str,
        profile: Option<&str>,
    ) -> Result<Vec<Credentials>, String> {
        let text =
            env.read_secret(Path::new(path)).map_err(|error| format!("{path} ({variable}): {error}"))?;
        let named_by = &format!(" ({variable})");
        let form = Self::of(Path::new(path), self);
        let sets = form.sets(File { text: text.expose(), path, named_by, profile })?;
        let section = profile.filter(|_| matches!(form, Self::Ini | Self::Profiles));
        let section = section.map(|name| format!(" in its section [{name}]")).unwrap_or_default();
        if sets.is_empty() { Err(format!("{path}{named_by} has no {SECRET}{section}")) } else { Ok(sets) }
    }

    /// Parses the credentials in a file. Errors contain only line numbers and keys, because a line may contain a secret.
    fn sets(self, file: File<'_>) -> Result<Vec<Credentials>, String> {
        let values = match self {
            Self::Json => {
                serde_json::from_str(file.text).map_err(|error| file.invalid("JSON", error.line()))?
            }
            Self::Toml => file.toml()?,
            // Quotes belong to a value, but no URL begins with a quote.
            Self::Ini => return file.sections(true, |key| key.ends_with("_URL")),
            Self::Profiles => {
                let Ok(tables) = file.toml() else { return file.sections(false, |_| true) };
                let tables = tables.iter().filter(|(name, _)| file.is_wanted(name));
                let sets = tables.map(|(name, table)| file.table(Some(name), table.as_object()));
                return sets.filter_map(Result::transpose).collect();
            }
        };
        Ok(file.table(None, Some(&values))?.into_iter().collect())
    }
}

/// A credentials file.
#[derive(Clone, Copy)]
struct File<'a> {
    text: &'a str,
    path: &'a str,
    /// The variable that names the file, in parentheses.
    named_by: &'a str,
    /// The only profile to read, if the file has several.
    profile: Option<&'a str>,
}

impl File<'_> {
    fn is_wanted(self, profile: &str) -> bool {
        self.profile.is_none_or(|wanted| wanted == profile)
    }

    fn invalid(self, what: &str, line: usize) -> String {
        format!("{}: line {line} is not valid {what}", self.place(None))
    }

    fn toml(self) -> Result<Map<String, Value>, String> {
        toml::from_str(self.text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = self.text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
            self.invalid("TOML", line)
        })
    }

    /// Returns the credentials of a JSON object or TOML table. Like Python's `or`, ignores empty values.
    fn table(
        self,
        section: Option<&str>,
        values: Option<&Map<String, Value>>,
    ) -> Result<Option<Credentials>, String> {
        let mut texts = BTreeMap::new();
        for key in KEYS {
            match values.and_then(|values| values.get(key)) {
                None | Some(Value::Null | Value::Bool(false)) => {}
                Some(Value::Number(number)) if number.as_f64() == Some(0.0) => {}
                Some(Value::String(text)) => drop(texts.insert(key, text.clone())),
                Some(_) => return Err(format!("{}: the value of {key} is not text", self.place(None))),
            }
        }
        Ok(Credentials::of(self.place(section), section, |key| texts.remove(key)))
    }

    /// Returns the credentials in the sections of an INI file. Without `strict`, values with invalid references are
    /// literal. `has_quotes` says whose quotes are removed.
    fn sections(self, strict: bool, has_quotes: impl Fn(&str) -> bool) -> Result<Vec<Credentials>, String> {
        let ini = Ini::parse(self.text).map_err(|line| self.invalid("INI", line))?;
        let mut sets = Vec::new();
        for section in ini.sections().filter(|section| self.is_wanted(&section.name)) {
            let name = Some(section.name.as_str());
            let mut values = match ini.values(section) {
                Err(key) if strict => {
                    return Err(format!(
                        "{}: `{key}`: write `%` as `%%`, and `%(NAME)s` only for a key NAME",
                        self.place(name)
                    ));
                }
                Err(_) => ini.raw(section).iter().map(|(k, v)| (k.to_uppercase(), (*v).to_owned())).collect(),
                Ok(values) => values,
            };
            let get = |key: &str| {
                let value = values.remove(key)?;
                Some(if has_quotes(key) { unquoted(&value) } else { value })
            };
            sets.extend(Credentials::of(self.place(name), name, get));
        }
        Ok(sets)
    }

    /// Returns the name of the file, and of the section if the file has sections.
    fn place(self, section: Option<&str>) -> String {
        let section = section.map(|name| format!(" [{name}]")).unwrap_or_default();
        format!("{}{section}{}", self.path, self.named_by)
    }
}

/// Removes the quotes around a value.
pub(crate) fn unquoted(value: &str) -> String {
    let inside = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or_else(|| inside('\'')).unwrap_or(value).to_owned()
}
