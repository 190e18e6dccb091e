//! The configuration: layers, each value with its origin, and errors that name file, line and column.

mod file;
mod from;
mod layers;
mod parts;
mod secrets;
mod show;
mod source_span;
mod store;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use broker_core::{
    Entry, Env, Error, Header, Kind, ProviderRegistry, Result, Settings, SettingsError, is_provider_name,
};
use figment::Figment;
use figment::value::{Dict, Value};

use crate::suggestion;
use crate::withheld::Withholding;

pub(crate) use layers::Files;
use layers::{Joined, Text};
pub use show::{Configured, Setting};
use source_span::{Mark, SourceSpan};
pub use store::StoreConfig;

/// The keys beside which there are no others.
const TOP_KEYS: [&str; 2] = ["providers", "store"];

/// The keys every provider has, whatever its kind.
const COMMON_KEYS: [&str; 6] = ["kind", "timeout", "env", "hosts", "header", "prefix"];

/// What can be wrong with a value in a thousand ways is said by what would be right.
const SECRET_FORMS: &str =
    "text, { env = \"NAME\" }, { file = \"PATH\" } or { command = [\"PROGRAM\", \"ARGUMENT\"] }";

/// The configuration: which providers there are, of which kind, from which file.
pub struct Config {
    figment: Figment,
    providers: Dict,
    /// The providers that environment variables set a key of.
    set: BTreeSet<String>,
    texts: Vec<Text>,
    kinds: Vec<Kind>,
    pub(crate) store: StoreConfig,
    pub(crate) env: Arc<dyn Env>,
}

impl Config {
    /// Reads it; of `only` these providers and those that they take tokens from, if they are named.
    pub(crate) fn load(
        files: &Files,
        kinds: Vec<Kind>,
        env: Arc<dyn Env>,
        mut only: Option<BTreeSet<String>>,
    ) -> Result<Self> {
        let texts = layers::read(files)?;
        let Joined { figment, variables, set } = layers::join(&texts, env.as_ref(), only.as_ref())?;
        // A layer that has the key is read once more, for its place.
        let with_key = if figment.contains("store") { texts.as_slice() } else { &[] };
        let store = StoreConfig::read(with_key, env.as_ref())?;
        let mut config = Self { figment, providers: Dict::new(), set, texts, kinds, store, env };
        config.providers = config.read_tables()?;
        while let Some(only) = &mut only {
            // Of others there may be a part, which can say otherwise than the whole where a secret goes.
            config.providers.retain(|name, _| only.contains(name));
            let before = only.len();
            only.extend(config.sources());
            // Whether a variable holds a secret is told by its provider's kind.
            only.extend(config.set.iter().cloned());
            if only.len() == before {
                break;
            }
            config.figment = layers::join(&config.texts, config.env.as_ref(), Some(only))?.figment;
            config.providers = config.read_tables()?;
        }
        let mut names = config.secret_variables(variables);
        names.extend(config.store.variables().map(str::to_owned));
        names.extend(config.env.withheld());
        config.env = Arc::new(Withholding { beneath: config.env, names });
        Ok(config)
    }

    /// All providers that are configured, also those whose tables were not read.
    fn all_names(&self) -> BTreeSet<String> {
        let mut names = layers::names(&self.texts);
        names.extend(self.set.iter().cloned());
        names
    }

    /// The tables of the providers, if the configuration has the right form.
    fn read_tables(&self) -> Result<Dict> {
        // Figment's own errors do not happen: everything was read before.
        let all: Dict = self.figment.extract().map_err(|error| Error::configuration(error.to_string()))?;
        if let Some(other) = all.keys().find(|key| !TOP_KEYS.contains(&key.as_str())) {
            let meant = suggestion(other, TOP_KEYS).map_or_else(
                || "there are `store` and tables [providers.NAME]".to_owned(),
                |key| format!("did you mean `{key}`?"),
            );
            return Err(self.wrong(&[other], Mark::Key, &format!("`{other}` is not a key here: {meant}")));
        }
        let why = "`providers` is not a table: write [providers.NAME]";
        let providers = match all.get("providers") {
            Some(Value::Dict(_, providers)) => providers,
            Some(_) => return Err(self.wrong(&["providers"], Mark::Value, why)),
            // None of those that were asked for is there.
            None => return Ok(Dict::new()),
        };
        for (name, value) in providers {
            if !is_provider_name(name) {
                let why =
                    format!("`{name}` is no name for a provider: up to 64 letters, digits, `-` and `_`");
                return Err(self.wrong(&["providers", name], Mark::Key, &why));
            }
            if value.as_dict().is_none() {
                let why = format!("`providers.{name}` is not a table: write [providers.{name}]");
                return Err(self.wrong(&["providers", name], Mark::Key, &why));
            }
            // Below a table's header it would be that table's, and records would stay plain text.
            if value.as_dict().is_some_and(|table| table.contains_key("store")) && !self.a_kind_has("store") {
                let why = "`store` stands above all tables: move it to the top of the file";
                return Err(self.wrong(&["providers", name, "store"], Mark::Key, why));
            }
        }
        Ok(providers.clone())
    }

    fn a_kind_has(&self, key: &str) -> bool {
        self.kinds.iter().any(|kind| kind.keys.contains(&key))
    }

    fn table(&self, name: &str) -> Result<&Dict> {
        self.providers.get(name).and_then(Value::as_dict).ok_or_else(|| {
            let error = Error::usage(format!("there is no provider `{name}`"));
            let names = self.all_names();
            if names.contains(name) {
                return error.with_hint("it is configured, but `Setup::providers` did not name it");
            }
            match suggestion(name, names.iter().map(String::as_str)) {
                Some(meant) => error.with_hint(format!("did you mean `{meant}`? `broker list` shows all")),
                None => error.with_hint(format!("there are: {}", Vec::from_iter(names).join(", "))),
            }
        })
    }

    fn kind_of(&self, name: &str) -> Result<&Kind> {
        let table = self.table(name)?;
        let named = match table.get("kind") {
            None => None,
            Some(Value::String(_, kind)) => Some(kind.as_str()),
            Some(_) => {
                return Err(self.wrong(&["providers", name, "kind"], Mark::Value, "`kind` must be text"));
            }
        };
        let kind = self.kinds.iter().find(|kind| kind.name == named.unwrap_or(name));
        kind.ok_or_else(|| {
            let kinds = || self.kinds.iter().map(|kind| kind.name);
            let known = kinds().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(", ");
            let Some(kind) = named else {
                let why = format!("`{name}` is not a kind, so it needs a key `kind`, one of {known}");
                return self.wrong(&["providers", name], Mark::Key, &why);
            };
            let meant = suggestion(kind, kinds())
                .map(|meant| format!("did you mean `{meant}`? "))
                .unwrap_or_default();
            let why = format!("there is no kind `{kind}`: {meant}the kinds are {known}");
            self.wrong(&["providers", name, "kind"], Mark::Value, &why)
        })
    }

    fn check_keys(&self, name: &str, kind: &Kind) -> Result<()> {
        let known = || COMMON_KEYS.iter().chain(kind.keys).copied();
        let Some(key) = self.table(name)?.keys().find(|key| !known().any(|known| known == *key)) else {
            return Ok(());
        };
        let meant = match suggestion(key, known()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => {
                format!("it has {}", known().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", "))
            }
        };
        let why = format!("kind `{}` has no key `{key}`: {meant}", kind.name);
        Err(self.wrong(&["providers", name, key], Mark::Key, &why))
    }

    fn timeout(&self, name: &str) -> Result<Option<Duration>> {
        let Some(value) = self.table(name)?.get("timeout") else { return Ok(None) };
        let read = value.as_str().and_then(|text| humantime::parse_duration(text).ok());
        match read.filter(|timeout| !timeout.is_zero()) {
            Some(timeout) => Ok(Some(timeout)),
            None => Err(self.wrong(
                &["providers", name, "timeout"],
                Mark::Value,
                "`timeout` must be a duration: \"30s\", \"2m\"",
            )),
        }
    }

    /// The environment variable that programs look for the token in.
    fn variable(&self, name: &str) -> Result<Option<String>> {
        let Some(value) = self.table(name)?.get("env") else { return Ok(None) };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        match value.as_str().filter(|text| text.chars().all(plain) && !text.is_empty()) {
            Some(text) if !text.starts_with(|c: char| c.is_ascii_digit()) && !steers_programs(text) => {
                Ok(Some(text.to_owned()))
            }
            _ => Err(self.wrong(
                &["providers", name, "env"],
                Mark::Value,
                "`env` must be the name of an environment variable, and none that programs are steered by: \"MY_TOKEN\"",
            )),
        }
    }

    /// The hosts that tokens are offered to. As one text (an environment layer has no lists) they stand between commas.
    fn hosts(&self, name: &str) -> Result<Option<Vec<String>>> {
        let Some(value) = self.table(name)?.get("hosts") else { return Ok(None) };
        let hosts: Option<Vec<String>> = match value {
            Value::String(_, text) => Some(text.split(',').map(|host| host.trim().to_owned()).collect()),
            Value::Array(_, hosts) => hosts.iter().map(|host| host.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        match hosts.filter(|hosts| hosts.iter().all(|host| is_host(host))) {
            Some(hosts) => Ok(Some(hosts)),
            None => Err(self.wrong(
                &["providers", name, "hosts"],
                Mark::Value,
                "`hosts` must be a list of hosts: [\"example.org\", \"*.example.org\", \"127.0.0.1:8080\"]",
            )),
        }
    }

    /// The header that tokens go into, by `header` and `prefix`; `own` is the provider's.
    fn header(&self, name: &str, own: Header) -> Result<Header> {
        let text = |key: &'static str, right: fn(&str) -> bool, what: &str| match self.table(name)?.get(key) {
            None => Ok(None),
            Some(value) => match value.as_str().filter(|text| right(text)) {
                Some(text) => Ok(Some(text.to_owned())),
                None => Err(self.wrong(
                    &["providers", name, key],
                    Mark::Value,
                    &format!("`{key}` must be {what}"),
                )),
            },
        };
        let is_name = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        };
        let is_prefix = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
        let header = text("header", is_name, "the name of a header: \"X-Auth-Token\"")?;
        let prefix = text("prefix", is_prefix, "a word that stands before the token, or empty: \"api-key\"")?;
        let mut header = header.map_or(own, |header| match header.to_ascii_lowercase().as_str() {
            "authorization" => Header::default(),
            _ => Header::bare(&header),
        });
        if prefix.is_some() {
            header.prefix = prefix;
        }
        Ok(header)
    }

    /// A setting that its kind cannot use.
    fn unfit(&self, name: &str, kind: &Kind, error: &SettingsError) -> Error {
        // Of no key: what is wrong is outside of the configuration.
        if error.key.is_empty() {
            return Error::configuration(error.message.clone());
        }
        // `fields.NAME`, `list[0]`: a place in a list is shown as its list.
        let path = error.key.split('[').next().unwrap_or_default().split('.').filter(|key| !key.is_empty());
        let mut keys: Vec<&str> = ["providers", name].into_iter().chain(path).collect();
        let mut key = keys[2..].join(".");
        let secret = keys.get(2).is_some_and(|key| kind.secrets.contains(key));
        let is_sent = keys[2..].iter().any(|key| show::SENT.contains(key));
        let unknown = error.message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
        let place = match () {
            () if secret => Mark::Secret,
            () if is_sent => Mark::Key,
            () => Mark::Value,
        };
        let (mark, why) = match (unknown, error.message.rsplit_once("expected ")) {
            _ if secret && is_of_form(&error.message) => {
                // What a source is made of is part of the secret; several stand in `secrets`.
                keys.truncate(if keys[2] == "secrets" { 4 } else { 3 });
                key = keys[2..].join(".");
                (Mark::Secret, format!("`{key}` must be {SECRET_FORMS}"))
            }
            (Some((field, known)), _) => {
                keys.retain(|key| *key != field);
                let table = keys[2..].join(".");
                keys.push(field);
                let known = || known.split('`').skip(1).step_by(2);
                let meant = suggestion(field, known()).map(|meant| format!("did you mean `{meant}`?"));
                let all = || {
                    format!("it has {}", known().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", "))
                };
                (Mark::Key, format!("`{table}` has no key `{field}`: {}", meant.unwrap_or_else(all)))
            }
            // What is there is seen in the file's own words.
            (None, Some((_, expected))) => (place, format!("`{key}` must be {}", in_words(expected))),
            (None, None) => (place, format!("`{key}`: {}", error.message)),
        };
        self.wrong(&keys, mark, &why)
    }

    /// An error at a key: in the file that set it last, else in what else set it.
    fn wrong(&self, keys: &[&str], mark: Mark, why: &str) -> Error {
        let metadata = self.figment.find_metadata(&keys.join("."));
        let path = metadata.and_then(|metadata| metadata.source.as_ref()?.file_path());
        // Of a table that several files have a part in, figment names none.
        let texts = self.texts.iter().rev().filter(|text| path.is_none_or(|path| text.path == path));
        let is_variable = metadata.is_some_and(|metadata| metadata.name.starts_with("environment"));
        let place = texts
            .filter(|_| !is_variable)
            .find_map(|text| SourceSpan::of_key(&text.path, &text.text, keys, mark));
        Error::configuration(match place {
            Some(place) => format!("{place}: {why}{}", place.picture()),
            None => format!("{}: {why}", self.origin(keys)),
        })
    }
}

/// Whether a value has not the form that it must have, as serde says it.
fn is_of_form(message: &str) -> bool {
    let begins = ["invalid ", "unknown ", "missing ", "expected ", "data did not match"];
    begins.iter().any(|begin| message.starts_with(begin))
}

/// What serde expects, in words for people.
fn in_words(expected: &str) -> &str {
    match expected {
        _ if expected.starts_with("struct ")
            || expected.starts_with("a map")
            || expected == "map with a single key" =>
        {
            "a table: { name = \"value\" }"
        }
        "a sequence" => "a list: [\"one\", \"two\"]",
        "a string" | "string or map" => "text",
        "a boolean" => "true or false",
        other => other,
    }
}

/// Whether programs do what such a variable says, or print it: no place for a token.
fn steers_programs(variable: &str) -> bool {
    let names = ["PATH", "HOME", "IFS", "SHELL", "PWD", "USER", "TMPDIR", "ENV", "BASH_ENV"];
    names.contains(&variable) || ["LD_", "DYLD_", "BROKER_"].iter().any(|start| variable.starts_with(start))
}

/// Whether it can stand in `hosts`: no URL, no path, and no pattern that means everybody.
fn is_host(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    let name = text.strip_prefix("*.").unwrap_or(text);
    let read = broker_core::ServiceUrl::parse(&format!("https://{name}/"));
    let is_one = read.is_ok() && !name.starts_with('.') && !name.ends_with(':');
    is_one && name.chars().all(plain) && (name == text || name.contains('.'))
}

impl ProviderRegistry for Config {
    fn names(&self) -> Vec<String> {
        self.all_names().into_iter().collect()
    }

    fn entry(&self, name: &str) -> Result<Entry> {
        let kind = self.kind_of(name)?;
        self.build(name, kind).map_err(|error| error.for_provider(name))
    }
}

impl Config {
    fn build(&self, name: &str, kind: &Kind) -> Result<Entry> {
        self.check_keys(name, kind)?;
        let (timeout, variable, hosts) = (self.timeout(name)?, self.variable(name)?, self.hosts(name)?);
        let mut own = self.table(name)?.clone();
        own.retain(|key, _| !COMMON_KEYS.contains(&key.as_str()));
        let json = serde_json::to_value(&own).map_err(|error| Error::configuration(error.to_string()))?;
        let settings = Settings::new(name, json, self.env.as_ref());
        let provider = (kind.build)(&settings).map_err(|error| self.unfit(name, kind, &error))?;
        if let Some(from) = provider.derives_from() {
            self.check_from(name, from)?;
        }
        let mut entry = Entry::new(provider);
        entry.header = self.header(name, entry.header)?;
        kind.token_variable.clone_into(&mut entry.token_variable);
        if let Some(timeout) = timeout {
            entry.timeout = timeout;
        }
        if let Some(variable) = variable {
            entry.token_variable = variable;
        }
        if let Some(hosts) = hosts {
            entry.hosts = hosts;
        }
        Ok(entry)
    }
}
