//! The gallery: services that the generic kinds serve, each a table of configuration.

use broker::suggestion;
use toml::{Table, Value};

/// A service of the gallery, as it is in its file.
pub(crate) struct Service {
    /// The name of the file, and of its provider.
    pub(crate) name: &'static str,
    /// The file: comments, of which the first line says what it is, and the provider's tables.
    pub(crate) text: &'static str,
}

macro_rules! gallery {
    ($($name:literal),* $(,)?) => {
        &[$(Service { name: $name, text: include_str!(concat!("../gallery/", $name, ".toml")) }),*]
    };
}

/// Every service, by name.
pub(crate) const GALLERY: &[Service] = gallery![
    "appeears",
    "cds",
    "cdse",
    "cdse-sentinelhub",
    "copernicus-marine",
    "earth-engine",
    "earthdata",
    "eumetsat",
    "global-fishing-watch",
    "knmi",
    "met-office",
    "meteo-france",
    "meteomatics",
    "oneatlas",
    "planet",
    "planet-key",
    "planetary-computer-pro",
    "sentinelhub",
    "terrascope",
    "up42",
    "usgs",
    "wekeo",
];

impl Service {
    /// The service of this name, or else the name that is suggestion.
    pub(crate) fn find(name: &str) -> Result<&'static Self, Option<&'static str>> {
        let found = GALLERY.iter().find(|service| service.name == name);
        found.ok_or_else(|| suggestion(name, GALLERY.iter().map(|service| service.name)))
    }

    /// What it is, in a few words.
    pub(crate) fn about(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches(['#', ' '])
    }

    /// Its tables, for a provider of this name.
    pub(crate) fn named(&self, name: &str) -> String {
        let own = format!("[providers.{}", self.name);
        let line = |line: &str| match line.strip_prefix(&own) {
            Some(rest) if rest.starts_with([']', '.']) => format!("[providers.{name}{rest}"),
            _ => line.to_owned(),
        };
        self.text.split_inclusive('\n').map(line).collect()
    }

    /// Its provider's table.
    fn table(&self) -> Table {
        let mut file: Table = toml::from_str(self.text).unwrap_or_default();
        let Some(Value::Table(mut providers)) = file.remove("providers") else { return Table::new() };
        match providers.remove(self.name) {
            Some(Value::Table(table)) => table,
            _ => Table::new(),
        }
    }

    /// A text of its table; empty if there is none.
    pub(crate) fn get(&self, key: &str) -> String {
        self.table().get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// The keys of its secrets, and the environment variables that they are looked for in.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        variables(&self.table())
    }

    /// The keys that are the person's to fill in: empty, and needed.
    pub(crate) fn blanks(&self) -> Vec<String> {
        let empty = |(key, value): (String, Value)| {
            (key != "prefix" && value.as_str().is_some_and(str::is_empty)).then_some(key)
        };
        self.table().into_iter().filter_map(empty).collect()
    }

    /// Whether a person logs in.
    pub(crate) fn has_login(&self) -> bool {
        match self.get("kind").as_str() {
            "oauth2" => ["device", "authorization_code", "password"].contains(&self.get("flow").as_str()),
            // The name is asked for then.
            "login" => self.text.contains("\n# username = "),
            _ => false,
        }
    }
}

/// The keys of a provider's secrets that are in the environment, and their variables.
pub(crate) fn variables(table: &Table) -> Vec<(String, String)> {
    let nested = table.get("secrets").and_then(Value::as_table);
    let secrets = table.iter().chain(nested.into_iter().flatten());
    let of = |(key, secret): (&String, &Value)| Some((key.clone(), secret.get("env")?.as_str()?.to_owned()));
    secrets.filter_map(of).collect()
}
