//! The gallery: services for the generic kinds, each a table of configuration.

use broker::suggestion;
use toml::{Table, Value};

/// A service of the gallery.
pub(crate) struct Service {
    /// The name of the file, and of its provider.
    pub(crate) name: &'static str,
    /// The file: comments, the first line of which describes the service, and the provider's tables.
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
    /// Returns the service of this name, in any case.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        GALLERY.iter().find(|service| service.name.eq_ignore_ascii_case(name))
    }

    /// Returns the services whose file has this text, with the best matches first: names, then descriptions, then the
    /// rest. Without a match, returns the service of the most similar name.
    pub(crate) fn search(text: &str) -> Vec<&'static Self> {
        let text = text.to_lowercase();
        let has = |part: &str| part.to_lowercase().contains(&text);
        let rank = |service: &Self| match () {
            () if has(service.name) => Some(0),
            () if has(service.about()) => Some(1),
            () if has(service.text) => Some(2),
            () => None,
        };
        let mut found: Vec<_> =
            GALLERY.iter().filter_map(|service| Some((rank(service)?, service))).collect();
        found.sort_by_key(|(rank, _)| *rank);
        let near = || suggestion(&text, GALLERY.iter().map(|service| service.name)).and_then(Self::find);
        match found.as_slice() {
            [] => near().into_iter().collect(),
            found => found.iter().map(|(_, service)| *service).collect(),
        }
    }

    /// Returns a line of the gallery's list.
    pub(crate) fn line(&self) -> String {
        format!("{:<22}  {:<6}  {}", self.name, self.get("kind"), self.about())
    }

    /// Returns its description in a few words.
    pub(crate) fn about(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches(['#', ' '])
    }

    /// Returns its tables for a provider of this name.
    pub(crate) fn named(&self, name: &str) -> String {
        let own = format!("[providers.{}", self.name);
        let line = |line: &str| match line.strip_prefix(&own) {
            Some(rest) if rest.starts_with([']', '.']) => format!("[providers.{name}{rest}"),
            _ => line.to_owned(),
        };
        self.text.split_inclusive('\n').map(line).collect()
    }

    fn table(&self) -> Table {
        let mut file: Table = toml::from_str(self.text).unwrap_or_default();
        let Some(Value::Table(mut providers)) = file.remove("providers") else { return Table::new() };
        match providers.remove(self.name) {
            Some(Value::Table(table)) => table,
            _ => Table::new(),
        }
    }

    /// Returns a text of its table; empty if the table has none.
    pub(crate) fn get(&self, key: &str) -> String {
        self.table().get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Returns the keys of its secrets and their environment variables.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        variables(&self.table())
    }

    /// Returns the empty keys that the user has to fill in.
    pub(crate) fn blanks(&self) -> Vec<String> {
        let empty = |(key, value): (String, Value)| {
            (key != "prefix" && value.as_str().is_some_and(str::is_empty)).then_some(key)
        };
        self.table().into_iter().filter_map(empty).collect()
    }

    /// Whether the user logs in.
    pub(crate) fn has_login(&self) -> bool {
        match self.get("kind").as_str() {
            "oauth2" => ["device", "authorization_code", "password"].contains(&self.get("flow").as_str()),
            // `broker login` asks for the name.
            "login" => self.text.contains("\n# username = "),
            _ => false,
        }
    }
}

/// Returns the keys of the secrets that a table reads from environment variables, and the variables.
pub(crate) fn variables(table: &Table) -> Vec<(String, String)> {
    let nested = table.get("secrets").and_then(Value::as_table);
    let secrets = table.iter().chain(nested.into_iter().flatten());
    let of = |(key, secret): (&String, &Value)| Some((key.clone(), secret.get("env")?.as_str()?.to_owned()));
    secrets.filter_map(of).collect()
}
