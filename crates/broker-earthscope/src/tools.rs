//! What EarthScope's own SDK and its `es` are told, and where they keep a login: environment, `config.toml`, files.

use std::path::{Path, PathBuf};

use broker_core::{
    Claims, Context, Env, Error, RecordUpdate, Result, ScopeKey, Secret, SettingsError, Token,
};
use serde_json::{Map, Value};

/// Their settings, from one place.
pub(crate) struct Layer {
    /// The place, for people.
    pub(crate) origin: String,
    oauth2: Map<String, Value>,
    resources: Map<String, Value>,
    /// Whether a login in it goes before the one in `tokens.json`.
    pub(crate) first: bool,
    /// Whether it is a file beside that one: as much the person's own.
    pub(crate) of_home: bool,
}

impl Layer {
    /// A key of `oauth2` that is text and not empty.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        text(&self.oauth2, key)
    }

    pub(crate) fn api_url(&self) -> Option<&str> {
        text(&self.resources, "api_url")
    }

    /// The scope: text, or a list of words.
    pub(crate) fn scope(&self) -> Option<String> {
        match self.oauth2.get("scope")? {
            Value::Array(words) => Some(words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")),
            _ => self.text("scope").map(str::to_owned),
        }
    }

    /// The login in it, if there is one.
    pub(crate) fn given(&self) -> Option<Given> {
        let secret = |key| self.text(key).map(Secret::new);
        let (access_token, refresh_token) = (secret("access_token"), secret("refresh_token"));
        (access_token.is_some() || refresh_token.is_some()).then(|| Given {
            origin: self.origin.clone(),
            access_token,
            refresh_token,
        })
    }

    fn of_tree(origin: String, tree: &Map<String, Value>, first: bool) -> Self {
        let table = |key: &str| tree.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
        Self { origin, oauth2: table("oauth2"), resources: table("resources"), first, of_home: false }
    }
}

fn text<'a>(table: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    table.get(key)?.as_str().filter(|text| !text.is_empty())
}

/// An error in what is not the broker's own configuration.
pub(crate) fn of_tools(message: String) -> SettingsError {
    SettingsError::new("", message)
}

/// A login that somebody put into a setting.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) origin: String,
    pub(crate) access_token: Option<Secret>,
    pub(crate) refresh_token: Option<Secret>,
}

impl Given {
    /// What a record without a login begins with: the access token while it serves, else the refresh token.
    pub(crate) fn begin(&self, context: &Context, scopes: &ScopeKey) -> Result<RecordUpdate> {
        let now = context.now();
        let serves = |token: &Secret| {
            let claims = Claims::read(token)?;
            let end = claims.expires_at().filter(|end| *end > now)?;
            Some(Token::new(token.clone(), claims.issued_at().unwrap_or(now), Some(end)))
        };
        let token = self.access_token.as_ref().and_then(serves).filter(|_| scopes.is_empty());
        tracing::info!("the login begins with what is in {}", self.origin);
        match (token, &self.refresh_token) {
            (Some(token), None) => Ok(RecordUpdate::token(scopes, token)),
            (Some(token), Some(refresh_token)) => {
                Ok(RecordUpdate::token(scopes, token).and_grant(refresh_token.clone(), now))
            }
            (None, Some(refresh_token)) => Ok(RecordUpdate::grant(refresh_token.clone(), now)),
            (None, None) => Err(Error::login_required(format!(
                "the access token in {} is over, tells no end, or has other scopes, and there is no refresh token",
                self.origin
            ))),
        }
    }
}

/// Which of their settings are looked at.
pub(crate) struct Tools<'a> {
    pub(crate) env: &'a dyn Env,
    /// `~/.earthscope`.
    pub(crate) home: Option<PathBuf>,
    pub(crate) profile: String,
    /// Whether the environment and the files of no profile are meant for this provider too.
    pub(crate) all: bool,
}

impl Tools<'_> {
    /// Their settings, the first wins.
    pub(crate) fn layers(&self) -> Result<Vec<Layer>, SettingsError> {
        let mut layers = Vec::new();
        if self.all {
            layers.extend(self.environment());
        }
        layers.extend(self.config_file()?);
        if self.all {
            layers.extend(self.legacy_file());
            layers.extend(self.bootstrap());
        }
        Ok(layers)
    }

    /// The file of the profile's login.
    pub(crate) fn tokens_file(&self) -> Option<PathBuf> {
        let words: Vec<_> = self.profile.split_whitespace().collect();
        let folder = words.join("-").to_lowercase();
        // A name is a folder's name here, and no way out of the home.
        let plain = !folder.is_empty() && folder != "." && folder != ".." && !folder.contains('/');
        self.home.as_ref().filter(|_| plain).map(|home| home.join(folder).join("tokens.json"))
    }

    /// `ES_OAUTH2__REFRESH_TOKEN` and the like, in any case; `ES_OAUTH2` may have all of it as JSON.
    fn environment(&self) -> Option<Layer> {
        let mut tree = Map::new();
        let mut names = Vec::new();
        let variables = self.env.vars("");
        let of_tools = || variables.iter().map(|(name, value)| (name.to_ascii_uppercase(), value));
        for (table, value) in of_tools().filter(|(name, _)| name == "ES_OAUTH2" || name == "ES_RESOURCES") {
            if let Ok(Value::Object(object)) = serde_json::from_str(value) {
                tree.insert(table["ES_".len()..].to_lowercase(), Value::Object(object));
                names.push(table);
            }
        }
        for (name, value) in of_tools().filter(|(_, value)| !value.is_empty()) {
            let Some((table @ ("OAUTH2" | "RESOURCES"), key)) =
                name.strip_prefix("ES_").and_then(|name| name.split_once("__"))
            else {
                continue;
            };
            let table = tree.entry(table.to_lowercase()).or_insert_with(|| Value::Object(Map::new()));
            if let Some(table) = table.as_object_mut() {
                table.insert(key.to_lowercase(), Value::from(value.as_str()));
                names.push(name);
            }
        }
        names.sort_unstable();
        (!names.is_empty())
            .then(|| Layer::of_tree(format!("{} (environment)", names.join(", ")), &tree, true))
    }

    /// `config.toml`: the profile's table over the one for all.
    fn config_file(&self) -> Result<Option<Layer>, SettingsError> {
        let Some(path) = self.home.as_ref().map(|home| home.join("config.toml")) else { return Ok(None) };
        let Some(text) = self.read(&path) else { return Ok(None) };
        let tree: Map<String, Value> = toml::from_str(text.expose()).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = text.expose().get(..start).unwrap_or_default().matches('\n').count() + 1;
            of_tools(format!("{}:{line}, which EarthScope's own tools read too, is not TOML", path.display()))
        })?;
        let of_profile = || tree.get("profile")?.get(&self.profile)?.as_object();
        let mut tables = tree.get("default").and_then(Value::as_object).cloned().unwrap_or_default();
        for (name, table) in of_profile().into_iter().flatten() {
            let below = tables.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
            if let (Some(below), Some(table)) = (below.as_object_mut(), table.as_object()) {
                below.extend(table.clone());
            }
        }
        Ok(Some(Layer { of_home: true, ..Layer::of_tree(path.display().to_string(), &tables, true) }))
    }

    /// The file of the tools' first version.
    fn legacy_file(&self) -> Option<Layer> {
        let set = self.env.var("APP_DIRECTORY").map(PathBuf::from).filter(|path| path.is_absolute());
        let base = || {
            let set = self.env.var("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
            set.or_else(|| Some(self.env.home()?.join(".config"))).map(|base| base.join("earthscope-cli"))
        };
        let path = set.or_else(base)?.join("sso_tokens.json");
        let oauth2: Map<String, Value> = serde_json::from_str(self.read(&path)?.expose()).ok()?;
        let origin = path.display().to_string();
        Some(Layer { origin, oauth2, resources: Map::new(), first: false, of_home: false })
    }

    fn bootstrap(&self) -> Option<Layer> {
        let tree = serde_json::from_str(&self.env.var("ES_BOOTSTRAP_SETTINGS")?).ok()?;
        Some(Layer::of_tree("ES_BOOTSTRAP_SETTINGS (environment)".to_owned(), &tree, false))
    }

    fn read(&self, path: &Path) -> Option<Secret> {
        self.env.read_secret(path).ok()
    }
}
