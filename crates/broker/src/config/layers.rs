//! Merges the layers of the configuration: built-in providers, the system's file, the user's file, environment
//! variables. A later layer wins.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::OnceLock;

use broker_core::{Env, Error, ErrorCode, Hint, Kind, Result};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider, Source};

use super::environment::EnvKey;
use super::parts::Parts;
use super::source_span::{Mark, SourceSpan};
use super::{ConfigWarning, file};

/// The configuration of the built-in providers. The file is also the commented example for users.
pub(super) const BUILT_IN: &str = include_str!("../../providers.toml");

/// Environment variables with this prefix set keys of providers: `BROKER_PROVIDERS__NAME__KEY`.
pub(super) const PREFIX: &str = "BROKER_PROVIDERS__";

/// The tables of the requests of a provider.
pub(super) const REQUESTS: [&str; 4] = ["login", "refresh", "revoke", "mint"];

/// Files of up to this many bytes are parsed whole, so that errors in all tables are reported.
const SHORT: usize = 8 * 1024;

/// The configuration files. Values of a later file replace values of an earlier file.
pub(crate) struct Files {
    pub(crate) paths: Vec<PathBuf>,
    /// Whether the user named the file. A named file must exist; default files are optional.
    pub(crate) is_named: bool,
}

#[expect(clippy::struct_field_names, reason = "the text of the file")]
pub(super) struct Text {
    pub(super) path: PathBuf,
    pub(super) text: String,
    names: OnceLock<BTreeSet<String>>,
    ranges: OnceLock<BTreeMap<String, Range<usize>>>,
}

impl Text {
    pub(super) fn new(path: PathBuf, text: String) -> Self {
        Self { path, text, names: OnceLock::new(), ranges: OnceLock::new() }
    }

    /// Returns the names of all providers in the file.
    pub(super) fn names(&self) -> &BTreeSet<String> {
        self.names.get_or_init(|| names(&self.text))
    }

    /// Returns the byte range of a provider's tables, or of the whole file if only a TOML parser can find the tables.
    pub(super) fn range_of(&self, name: &str) -> Range<usize> {
        let ranges = || Parts::of(&self.text).map(|parts| parts.ranges()).unwrap_or_default();
        self.ranges.get_or_init(ranges).get(name).cloned().unwrap_or(0..self.text.len())
    }
}

struct Layer {
    metadata: Metadata,
    values: Dict,
}

/// The built-in configuration, the configuration files and the environment variables, merged.
pub(super) struct Merged {
    figment: Figment,
    /// The merged values. Each has the tag of its layer.
    pub(super) values: Dict,
    /// The environment variables that set keys of providers.
    pub(super) variables: Vec<(String, String)>,
    /// The keys that environment variables set, by provider.
    pub(super) in_env: BTreeMap<String, Vec<EnvKey>>,
    /// The environment variables of each provider that are not UTF-8.
    pub(super) not_utf8: BTreeMap<String, String>,
    /// The warnings of each provider about keys that are set under an old name.
    pub(super) renamed: BTreeMap<String, Vec<ConfigWarning>>,
}

impl Merged {
    /// Returns the layer that sets a configuration key. `Figment::find_metadata` would clone all values.
    pub(super) fn metadata(&self, keys: &[&str]) -> Option<&Metadata> {
        let (last, tables) = keys.split_last()?;
        let table = tables.iter().try_fold(&self.values, |table, key| table.get(*key)?.as_dict())?;
        self.figment.get_metadata(table.get(*last)?.tag())
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn data(&self) -> figment::error::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// Reads the configuration files.
pub(super) fn read(Files { paths, is_named }: &Files) -> Result<Vec<Text>> {
    let is_absent = |kind| matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory);
    let mut texts = Vec::new();
    for path in paths {
        match file::read(path, *is_named) {
            Ok(text) => texts.push(Text::new(path.clone(), text)),
            Err(error) if !*is_named && is_absent(error.kind()) => {}
            Err(error) => {
                let why = format!("cannot read {}: {error}", path.display());
                let error = Error::new(ErrorCode::ConfigUnreadable, why).with_source(error);
                return Err(if *is_named { error.with_hint(Hint::CorrectConfigPath) } else { error });
            }
        }
    }
    Ok(texts)
}

/// Merges all layers of the configuration. With `only`, just these providers' tables of large files are parsed.
pub(super) fn merge(
    texts: &[Text],
    env: &dyn Env,
    kinds: &[Kind],
    only: Option<&BTreeSet<String>>,
) -> Result<Merged> {
    let built_in = values(BUILT_IN, only).map_err(|error| Error::failed(error.to_string()))?;
    let mut layers = vec![Layer { metadata: Metadata::named("built in"), values: built_in }];
    for Text { path, text, .. } in texts {
        let only = only.filter(|_| text.len() > SHORT);
        let values = values(text, only).map_err(|error| {
            let place = SourceSpan::at(path, text, error.span().unwrap_or_default(), Mark::Syntax);
            place.error(ErrorCode::ConfigSyntax, error.message())
        })?;
        layers.push(Layer { metadata: Metadata::from("file", Source::File(path.clone())), values });
    }
    let (variables, mut in_env) = (env.vars(PREFIX), BTreeMap::<_, Vec<_>>::new());
    let invalid = env.not_utf8(PREFIX);
    let has_variables = !variables.is_empty() || !invalid.is_empty();
    let names = VariableNames::of(if has_variables { all_names(texts) } else { BTreeSet::new() });
    for (variable, value) in &variables {
        if let Some(values) = of_variable(variable, value.clone(), &names) {
            let metadata = Metadata::named(format!("environment variable {variable}"));
            if let Some((name, key)) = EnvKey::read(variable, value, &values) {
                in_env.entry(name).or_default().push(key);
            }
            layers.push(Layer { metadata, values });
        }
    }
    let mut not_utf8 = BTreeMap::new();
    for variable in invalid {
        let values = of_variable(&variable, String::new(), &names).unwrap_or_default();
        not_utf8.extend(tables(&values).map(|name| (name.to_owned(), variable.clone())));
    }
    let renamed = rename_keys(&mut layers, kinds);
    replace_secrets_whole(&mut layers);
    let figment = merged(&layers);
    // No layer fails, because each was parsed before.
    let values = figment.data().ok().and_then(|mut data| data.remove(&Profile::Default)).unwrap_or_default();
    Ok(Merged { figment, values, variables, in_env, not_utf8, renamed })
}

/// Merges layers in pairs, because the time of each merge grows with the sizes of both.
fn merged(layers: &[Layer]) -> Figment {
    match layers {
        [] => Figment::new(),
        [layer] => Figment::from(layer),
        _ => {
            let (lower, upper) = layers.split_at(layers.len() / 2);
            merged(lower).merge(merged(upper))
        }
    }
}

/// Replaces old key names with the new ones. If one layer has both names, the value of the new name wins.
fn rename_keys(layers: &mut [Layer], kinds: &[Kind]) -> BTreeMap<String, Vec<ConfigWarning>> {
    let mut renamed: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for kind in kinds.iter().filter(|kind| !kind.renamed.is_empty()) {
        let has_old_key = |name: &str, layer: &Layer| {
            table(&layer.values, name)
                .is_some_and(|table| kind.renamed.iter().any(|(old, _)| table.contains_key(*old)))
        };
        let is_of_kind = |name: &str| {
            let set = layers.iter().rev().find_map(|layer| table(&layer.values, name)?.get("kind"));
            set.map_or(Some(name), Value::as_str) == Some(kind.name)
        };
        let affected = layers.iter().flat_map(|layer| {
            tables(&layer.values).filter(move |name| has_old_key(name, layer) && is_of_kind(name))
        });
        let affected: BTreeSet<_> = affected.map(str::to_owned).collect();
        if affected.is_empty() {
            continue;
        }
        for layer in &mut *layers {
            let file = layer.metadata.source.as_ref().and_then(Source::file_path);
            let origin =
                file.map_or_else(|| layer.metadata.name.to_string(), |file| file.display().to_string());
            for name in &affected {
                let Some(table) = table_mut(&mut layer.values, name) else { continue };
                for (old, new) in kind.renamed {
                    let Some(value) = table.remove(*old) else { continue };
                    table.entry((*new).to_owned()).or_insert(value);
                    let (origin, provider) = (origin.clone(), name.clone());
                    let warning = ConfigWarning::KeyRenamed { origin, provider, old, new };
                    renamed.entry(name.clone()).or_default().push(warning);
                }
            }
        }
    }
    renamed
}

fn table<'a>(values: &'a Dict, name: &str) -> Option<&'a Dict> {
    values.get("providers")?.as_dict()?.get(name)?.as_dict()
}

fn table_mut<'a>(values: &'a mut Dict, name: &str) -> Option<&'a mut Dict> {
    let Some(Value::Dict(_, providers)) = values.get_mut("providers") else { return None };
    match providers.get_mut(name) {
        Some(Value::Dict(_, table)) => Some(table),
        _ => None,
    }
}

/// Returns the names of all providers in the configuration files and the built-in configuration.
pub(super) fn all_names(texts: &[Text]) -> BTreeSet<String> {
    let mut all = names(BUILT_IN);
    all.extend(texts.iter().flat_map(Text::names).cloned());
    all
}

fn names(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    if let Some(parts) = Parts::of(text) {
        names.extend(parts.names().map(str::to_owned));
    }
    // Only the TOML parser finds providers without a table header, such as `providers.lab.kind = "exec"`.
    names.extend(tables(&values(text, Some(&BTreeSet::new())).unwrap_or_default()).map(str::to_owned));
    names
}

/// Parses a file. With `only`, parses just the tables of these providers.
fn values(text: &str, only: Option<&BTreeSet<String>>) -> Result<Dict, toml::de::Error> {
    let part = only.and_then(|only| Some(Parts::of(text)?.of_providers(only)));
    let part = part.and_then(|part| toml::from_str::<toml::Table>(&part).ok());
    // If a requested table has an error, the whole file is parsed, so that the error has the right line number.
    let table = part.map_or_else(|| toml::from_str(text), Ok)?;
    // This conversion cannot fail, because figment has a value for every TOML value.
    Ok(Value::serialize(table).ok().and_then(Value::into_dict).unwrap_or_default())
}

/// Returns the names of the providers that have a table.
fn tables(values: &Dict) -> impl Iterator<Item = &str> {
    let tables = values.get("providers").and_then(Value::as_dict);
    tables.into_iter().flat_map(|table| table.keys().map(String::as_str))
}

/// The maximum number of nested keys in the name of an environment variable. The rest of a longer name becomes one
/// key, which is reported as unknown.
const MAX_DEPTH: usize = 16;

/// The names of configured providers as environment variables spell them: in any case, and with `_` for `-`, which
/// variable names cannot contain.
pub(super) struct VariableNames(BTreeMap<String, String>);

impl VariableNames {
    pub(super) fn of(names: BTreeSet<String>) -> Self {
        // The first of several names that differ only in this way wins.
        Self(names.into_iter().rev().map(|name| (Self::spelled(&name), name)).collect())
    }

    fn spelled(name: &str) -> String {
        name.to_lowercase().replace('-', "_")
    }
}

/// Reads `BROKER_PROVIDERS__NAME__KEY=VALUE` as a table. A number stays text, because it may be a password.
pub(super) fn of_variable(variable: &str, value: String, names: &VariableNames) -> Option<Dict> {
    let rest = variable.strip_prefix(PREFIX)?;
    let (name, keys) = rest.split_once("__").map_or((rest, None), |(name, keys)| (name, Some(keys)));
    let name = Some(name).filter(|name| !name.is_empty())?.to_lowercase();
    let known = names.0.get(&VariableNames::spelled(&name));
    let keys: Vec<_> = keys.into_iter().flat_map(|keys| keys.splitn(MAX_DEPTH, "__")).collect();
    let within = |value, key: &&str| Value::from(Dict::from([(key.to_lowercase(), value)]));
    let value = json_table(&keys, &value).unwrap_or_else(|| Value::from(value));
    let nested = keys.iter().rev().fold(value, within);
    let table = Dict::from([(known.cloned().unwrap_or(name), nested)]);
    Some(Dict::from([("providers".to_owned(), Value::from(table))]))
}

/// Reads the tables of requests from JSON. Kinds read other tables from text; a secret that looks like JSON stays text.
fn json_table(keys: &[&str], value: &str) -> Option<Value> {
    let [key] = keys else { return None };
    REQUESTS.iter().find(|request| key.eq_ignore_ascii_case(request))?;
    Value::serialize(serde_json::from_str::<serde_json::Map<_, serde_json::Value>>(value).ok()?).ok()
}

/// Removes secrets that a later layer sets again. Otherwise `{ env = … }` and `{ file = … }` would be merged into one
/// table.
fn replace_secrets_whole(layers: &mut [Layer]) {
    for upper in (1..layers.len()).rev() {
        let (lower, rest) = layers.split_at_mut(upper);
        let Some(layer) = rest.first() else { continue };
        for below in lower {
            remove_replaced(&mut below.values, &layer.values);
        }
    }
}

/// Removes secrets from the `lower` layer that the `upper` layer replaces.
fn remove_replaced(lower: &mut Dict, upper: &Dict) {
    for (key, above) in upper {
        match (lower.get_mut(key), above) {
            (None, _) => {}
            (Some(Value::Dict(_, below)), Value::Dict(_, above))
                if !(is_secret_table(below) && is_secret_table(above)) =>
            {
                remove_replaced(below, above);
            }
            _ => drop(lower.remove(key)),
        }
    }
}

/// Whether a table says where to read a secret, such as `{ env = "NAME" }`.
fn is_secret_table(table: &Dict) -> bool {
    let is_source = |(key, value): (&String, &Value)| match key.as_str() {
        "env" | "file" => value.as_str().is_some(),
        "command" => value.as_dict().is_none(),
        _ => false,
    };
    !table.is_empty() && table.iter().all(is_source)
}

/// Whether the table of the setting `key` says where to read one secret. `secrets` does not: it has many secrets.
pub(super) fn is_source(key: &str, table: &Dict) -> bool {
    key != "secrets" && table.len() == 1 && is_secret_table(table)
}
