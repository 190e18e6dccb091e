//! The settings and logins of EarthScope's SDK and command `es`: environment variables, `config.toml` and other
//! files.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use broker_core::{
    Claims, Env, Error, ErrorCode, Operation, RecordUpdate, Result, ScopeKey, Secret, ServiceUrl,
    SettingsError, Token, platform,
};
use serde_json::{Map, Value};

use crate::{API_URL, DOMAIN};

/// The settings of one source, such as the environment or a file.
#[derive(Clone)]
pub(crate) struct Layer {
    /// The name of the source, for messages.
    pub(crate) origin: String,
    /// The table `oauth2`, and `api_url` of the table `resources`.
    settings: Map<String, Value>,
    /// Whether a login in this source overrides the login in `tokens.json`.
    pub(crate) first: bool,
    /// Whether the source is a file, and not the process environment.
    pub(crate) is_file: bool,
    /// Whether the source is a file in the folder `~/.earthscope`.
    pub(crate) in_home: bool,
}

impl Layer {
    /// Returns the text at `key` without blanks around it, unless the text is empty.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        let text = self.settings.get(key)?.as_str()?.trim_start_matches('\u{feff}').trim();
        Some(text).filter(|text| !text.is_empty())
    }

    /// Returns the client secret.
    pub(crate) fn client_secret(&self) -> Option<Secret> {
        let secret = Secret::cleaned(self.settings.get("client_secret")?.as_str()?);
        Some(secret).filter(|secret| !secret.expose().is_empty())
    }

    /// Returns the scope, which may be a text or a list.
    pub(crate) fn scope(&self) -> Option<String> {
        match self.settings.get("scope")? {
            Value::Array(words) => Some(words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")),
            _ => self.text("scope").map(str::to_owned),
        }
    }

    /// Returns the access token.
    fn access_token(&self) -> Option<Secret> {
        self.text("access_token").map(Secret::cleaned_token)
    }

    /// Returns the refresh token.
    pub(crate) fn refresh_token(&self) -> Option<Secret> {
        self.text("refresh_token").map(Secret::cleaned_token)
    }

    /// Returns the refresh token, or else the access token; `None` if the settings contain no login.
    pub(crate) fn login(&self) -> Option<Secret> {
        self.refresh_token().or_else(|| self.access_token())
    }

    /// Returns a record update with the login's refresh token and, if it is valid, the login's access token.
    pub(crate) fn begin(&self, operation: &Operation, scopes: &ScopeKey) -> Result<RecordUpdate> {
        let (access_token, refresh_token, origin) = (self.access_token(), self.refresh_token(), &self.origin);
        for secret in access_token.iter().chain(&refresh_token) {
            let invalid = |why| {
                let message = format!("cannot use the login in {origin}: {why}");
                Error::new(ErrorCode::SecretUnreadable, message)
            };
            secret.check_line().map_err(invalid)?;
        }
        let now = operation.now();
        let valid = |token: Secret| {
            let claims = Claims::read(&token)?;
            let expiry = claims.expires_at().filter(|expiry| *expiry > now)?;
            Some(Token::new(token, claims.issued_at().unwrap_or(now), Some(expiry)))
        };
        let token = access_token.and_then(valid).filter(|_| scopes.is_empty());
        tracing::info!("the broker uses the login in {origin}");
        if token.is_none() && refresh_token.is_none() {
            return Err(Error::login_required(format!(
                "the access token in {origin} has expired, has no expiry or has other scopes, and no refresh token is set"
            )));
        }
        Ok(RecordUpdate::default().and_token(scopes, token).and_grant(refresh_token, now))
    }
}

/// Returns the table `oauth2`, and `api_url` of the table `resources`.
fn settings_in(origin: &str, tree: &Map<String, Value>) -> Result<Map<String, Value>, SettingsError> {
    let table = |key: &str| tree.get(key).and_then(Value::as_object);
    let mut settings = table("oauth2").cloned().unwrap_or_default();
    let of_wrong_type = |key: &&&str| match settings.get(**key) {
        None | Some(Value::Null | Value::String(_)) => false,
        Some(Value::Array(words)) => **key != "scope" || !words.iter().all(Value::is_string),
        Some(_) => true,
    };
    if let Some(key) = TEXTS.iter().find(of_wrong_type) {
        return Err(tools_error(format!("{origin}: the value of oauth2.{key} is not text")));
    }
    settings.remove("api_url");
    let api_url = table("resources").and_then(|table| table.get("api_url")).cloned();
    settings.extend(api_url.map(|url| ("api_url".to_owned(), url)));
    Ok(settings)
}

/// Whether both texts are the same URL.
pub(crate) fn is_url(text: &str, usual: &str) -> bool {
    let url = |text| ServiceUrl::parse(text).map(|url| url.as_str().to_owned());
    url(text).is_ok_and(|one| url(usual).is_ok_and(|other| one == other))
}

/// The keys of the table `oauth2` that the broker reads.
const TEXTS: [&str; 7] =
    ["domain", "audience", "client_id", "client_secret", "scope", "access_token", "refresh_token"];

/// Removes URLs that are the SDK's defaults. The SDK does so too before it merges the tables of `config.toml`, so a secret
/// of a profile goes to the URL that the table `default` sets.
fn remove_default_urls(tables: &mut Map<String, Value>) {
    for (table, key, usual) in [("oauth2", "domain", DOMAIN), ("resources", "api_url", API_URL)] {
        if let Some(Value::Object(table)) = tables.get_mut(table) {
            table.retain(|name, value| name != key || value.as_str().is_none_or(|text| !is_url(text, usual)));
        }
    }
}

/// Creates an error about invalid settings of EarthScope's SDK or its command `es`.
pub(crate) fn tools_error(message: String) -> SettingsError {
    SettingsError::new("", message)
}

/// Returns the folder of EarthScope's tools, by default `~/.earthscope`. Returns `None` if the path is not absolute.
pub(crate) fn sdk_home(configured: Option<&Path>, env: &dyn Env) -> Option<PathBuf> {
    let home = platform::expand(configured.unwrap_or(Path::new("~/.earthscope")), env);
    home.is_absolute().then_some(home)
}

/// Returns the path of `sso_tokens.json`, which the first version of `es` wrote.
pub(crate) fn legacy_file(env: &dyn Env) -> Option<PathBuf> {
    let folder = |name| env.var(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = || folder("XDG_CONFIG_HOME").or_else(|| Some(env.home()?.join(".config")));
    let folder = folder("APP_DIRECTORY").or_else(|| Some(base()?.join("earthscope-cli")))?;
    Some(folder.join("sso_tokens.json"))
}

/// The variable with settings that all other sources override.
const BOOTSTRAP: &str = "ES_BOOTSTRAP_SETTINGS";

/// Returns the environment variables `ES_…` that are not empty, with upper-case names. Fails if a variable of EarthScope's
/// tools is not UTF-8. `ES_PROFILE` is not checked if the configuration has a `profile`.
pub(crate) fn variables(env: &dyn Env, has_profile: bool) -> Result<BTreeMap<String, String>, SettingsError> {
    let is_read = |name: &str| {
        let name = name.to_ascii_uppercase();
        let starts = ["ES_OAUTH2", "ES_RESOURCES", BOOTSTRAP];
        (name == "ES_PROFILE" && !has_profile) || starts.iter().any(|start| name.starts_with(start))
    };
    env.check_utf8("ES_", &is_read).map_err(tools_error)?;
    let is_own = |name: &str| name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("ES_"));
    let set = env.vars("").into_iter().filter(|(name, value)| is_own(name) && !value.is_empty());
    Ok(set.map(|(name, value)| (name.to_ascii_uppercase(), value)).collect())
}

/// The sources of the settings of EarthScope's SDK and its command `es`.
pub(crate) struct Sources<'a> {
    pub(crate) env: &'a dyn Env,
    /// The folder `~/.earthscope`.
    pub(crate) home: Option<PathBuf>,
    pub(crate) profile: String,
    /// Whether to read environment variables and `sso_tokens.json` too, not only the EarthScope profile's files.
    pub(crate) all: bool,
    /// The environment variables `ES_…`, with upper-case names.
    pub(crate) variables: BTreeMap<String, String>,
}

impl Sources<'_> {
    /// Reads the settings of all sources, in order of precedence.
    pub(crate) fn layers(&self) -> Result<Vec<Layer>, SettingsError> {
        if !self.all {
            return Ok(self.config_file()?.into_iter().collect());
        }
        let layers = [self.environment()?, self.config_file()?, self.legacy_file()?, self.bootstrap()?];
        Ok(layers.into_iter().flatten().collect())
    }

    /// Returns the path of the EarthScope profile's `tokens.json`.
    pub(crate) fn tokens_file(&self) -> Option<PathBuf> {
        let words: Vec<_> = self.profile.split_whitespace().collect();
        let folder = words.join("-").to_lowercase();
        // A profile with the name `..` or with a slash would select a file outside `~/.earthscope`.
        let plain = !["", ".", ".."].contains(&folder.as_str()) && !folder.contains('/');
        self.home.as_ref().filter(|_| plain).map(|home| home.join(folder).join("tokens.json"))
    }

    /// Reads variables such as `ES_OAUTH2__REFRESH_TOKEN`, in upper or lower case. `ES_OAUTH2` may contain a JSON
    /// object.
    fn environment(&self) -> Result<Option<Layer>, SettingsError> {
        let (mut tree, mut names) = (Map::new(), Vec::new());
        // The names are sorted, so a JSON object comes before the variables that override its values.
        for (name, value) in &self.variables {
            let Some(path) = name.strip_prefix("ES_") else { continue };
            let (table, key) = path.split_once("__").map_or((path, None), |(table, key)| (table, Some(key)));
            if table != "OAUTH2" && table != "RESOURCES" {
                continue;
            }
            let table = tree.entry(table.to_lowercase()).or_insert_with(|| Value::Object(Map::new()));
            if let Some(key) = key {
                // The indexing cannot fail, because `tree` contains only objects.
                table[key.to_lowercase()] = Value::from(value.as_str());
            } else {
                let object = serde_json::from_str(value).map(Value::Object);
                *table =
                    object.map_err(|_| tools_error(format!("{name} (environment) is not a JSON object")))?;
            }
            names.push(name.as_str());
        }
        if names.is_empty() {
            return Ok(None);
        }
        self.of_variables(&names.join(", "), &tree, true).map(Some)
    }

    /// Reads `config.toml`. Settings of the EarthScope profile override those of the table `default`.
    fn config_file(&self) -> Result<Option<Layer>, SettingsError> {
        let Some(path) = self.home.as_ref().map(|home| home.join("config.toml")) else { return Ok(None) };
        let Some(text) = self.read(&path)? else { return Ok(None) };
        let tree: Map<String, Value> = toml::from_str(text.expose()).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = text.expose().get(..start).unwrap_or_default().matches('\n').count() + 1;
            tools_error(format!("{}:{line}: invalid TOML (a file of EarthScope's own tools)", path.display()))
        })?;
        let profile = || tree.get("profile")?.get(&self.profile)?.as_object().cloned();
        let mut tables = tree.get("default").and_then(Value::as_object).cloned().unwrap_or_default();
        let mut profile = profile().unwrap_or_default();
        [&mut tables, &mut profile].into_iter().for_each(remove_default_urls);
        for (name, table) in &profile {
            let merged = tables.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
            if let (Some(merged), Some(table)) = (merged.as_object_mut(), table.as_object()) {
                merged.extend(table.clone());
            }
        }
        let origin = path.display().to_string();
        let settings = settings_in(&origin, &tables)?;
        Ok(Some(Layer { origin, settings, first: true, is_file: true, in_home: true }))
    }

    /// Reads `sso_tokens.json`.
    fn legacy_file(&self) -> Result<Option<Layer>, SettingsError> {
        let Some(path) = legacy_file(self.env) else { return Ok(None) };
        let Some(text) = self.read(&path)? else { return Ok(None) };
        let Ok(mut settings) = serde_json::from_str::<Map<String, Value>>(text.expose()) else {
            return Ok(None);
        };
        settings.retain(|key, _| key == "access_token" || key == "refresh_token");
        let origin = path.display().to_string();
        Ok(Some(Layer { origin, settings, first: false, is_file: true, in_home: false }))
    }

    fn bootstrap(&self) -> Result<Option<Layer>, SettingsError> {
        let tree = self.env.var(BOOTSTRAP).and_then(|text| serde_json::from_str(&text).ok());
        tree.map(|tree| self.of_variables(BOOTSTRAP, &tree, false)).transpose()
    }

    /// Creates the layer of variables, which are in the environment or in a dotenv file.
    fn of_variables(
        &self,
        names: &str,
        tree: &Map<String, Value>,
        first: bool,
    ) -> Result<Layer, SettingsError> {
        let (origin, is_file) = (self.env.describe(names), self.env.file_of(names).is_some());
        let settings = settings_in(&origin, tree)?;
        Ok(Layer { origin, settings, first, is_file, in_home: false })
    }

    /// Reads a file. Like the SDK, ignores only an absent or empty file, and a path that is not a file: other settings
    /// would select another issuer.
    fn read(&self, path: &Path) -> Result<Option<Secret>, SettingsError> {
        use ErrorKind::{InvalidInput, NotADirectory, NotFound, UnexpectedEof};
        match self.env.read_secret(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if matches!(error.kind(), NotFound | NotADirectory | InvalidInput | UnexpectedEof) => {
                Ok(None)
            }
            Err(error) => Err(tools_error(format!("cannot read {}: {error}", path.display()))),
        }
    }
}
