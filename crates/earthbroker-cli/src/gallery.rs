//! The gallery: services that `broker add` can configure. Each service is a table for the configuration.

use earthbroker::config::suggestion;
use toml::{Table, Value};

pub(crate) struct Service {
    /// The name of the service's TOML file in the folder `gallery`, and of the provider in that file.
    pub(crate) name: &'static str,
    /// The content of the TOML file: a description in the first line, more comments, and the provider's tables.
    pub(crate) text: &'static str,
}

macro_rules! gallery {
    ($($name:literal),* $(,)?) => {
        &[$(Service { name: $name, text: include_str!(concat!("../gallery/", $name, ".toml")) }),*]
    };
}

/// All services that `broker add` can configure, ordered by name.
pub(crate) const GALLERY: &[Service] = gallery![
    "appeears", "cds", "cdse", "cdse-sentinelhub", "copernicus-marine", "earth-engine", "earthdata",
    "eumetsat", "global-fishing-watch", "knmi", "met-office", "meteo-france", "meteomatics", "oneatlas",
    "planet", "planet-key", "planetary-computer-pro", "sentinelhub", "terrascope", "up42", "usgs", "wekeo",
];

impl Service {
    /// Returns the gallery's service with this name, ignoring upper and lower case.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        GALLERY.iter().find(|service| service.name.eq_ignore_ascii_case(name))
    }

    /// Returns the services whose file contains the text: first matches in names, then in descriptions, then
    /// elsewhere. Without a match, returns the service with the most similar name.
    pub(crate) fn search(text: &str) -> Vec<&'static Self> {
        let text = text.to_lowercase();
        let has = |part: &str| part.to_lowercase().contains(&text);
        let rank = |service: &Self| [service.name, service.about(), service.text].into_iter().position(has);
        let mut found: Vec<_> =
            GALLERY.iter().filter_map(|service| Some((rank(service)?, service))).collect();
        found.sort_by_key(|(rank, _)| *rank);
        if found.is_empty() {
            let similar = suggestion(&text, GALLERY.iter().map(|service| service.name));
            return similar.and_then(Self::find).into_iter().collect();
        }
        found.into_iter().map(|(_, service)| service).collect()
    }

    /// Returns the service's line in the list that `broker add` prints.
    pub(crate) fn line(&self) -> String {
        format!("{:<22}  {:<6}  {}", self.name, self.get("kind"), self.about())
    }

    /// Returns the service's description in a few words.
    pub(crate) fn about(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches(['#', ' '])
    }

    /// Returns the service's configuration tables, with the provider renamed to `name`.
    pub(crate) fn named(&self, name: &str) -> String {
        let own = format!("[providers.{}", self.name);
        let line = |line: &str| match line.strip_prefix(&own) {
            Some(rest) if rest.starts_with([']', '.']) => format!("[providers.{name}{rest}"),
            _ => line.to_owned(),
        };
        self.text.split_inclusive('\n').map(line).collect()
    }

    fn table(&self) -> Table {
        let file: Table = toml::from_str(self.text).unwrap_or_default();
        let table = file.get("providers").and_then(|providers| providers.get(self.name)?.as_table());
        table.cloned().unwrap_or_default()
    }

    /// Returns the text value of a key in the service's table, or empty text if the key is missing.
    pub(crate) fn get(&self, key: &str) -> String {
        self.table().get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Returns the key and the environment variable of each secret that the service needs.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let table = self.table();
        let nested = table.get("secrets").and_then(Value::as_table);
        let secrets = table.iter().chain(nested.into_iter().flatten());
        let of =
            |(key, secret): (&String, &Value)| Some((key.clone(), secret.get("env")?.as_str()?.to_owned()));
        secrets.filter_map(of).collect()
    }

    /// Returns the keys of the service's table whose empty values the user has to fill in.
    pub(crate) fn blanks(&self) -> Vec<String> {
        let empty = |(key, value): (String, Value)| {
            (key != "prefix" && value.as_str().is_some_and(str::is_empty)).then_some(key)
        };
        self.table().into_iter().filter_map(empty).collect()
    }

    /// Whether the user has to log in to the service, with `broker login`.
    pub(crate) fn has_login(&self) -> bool {
        match self.get("kind").as_str() {
            "oauth2" => ["device", "authorization_code", "password"].contains(&self.get("flow").as_str()),
            // A service's file in the gallery has this comment if `broker login` asks for the user name.
            "login" => self.text.contains("\n# username = "),
            _ => false,
        }
    }
}
