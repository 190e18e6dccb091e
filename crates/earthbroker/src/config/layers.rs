//! Merges the layers of the configuration: built-in providers, the system's file, the user's file, environment
//! variables. A later layer wins.

use std::collections::{BTreeMap, BTreeSet};

use broker_core::{Kind, Result};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider, Source};

use super::file::tables;
use super::secrets::remove_replaced;
use super::{Config, ConfigWarning};

/// The origin of the built-in configuration.
pub(super) const BUILT_IN: &str = "built in";

struct Layer {
    metadata: Metadata,
    values: Dict,
}

/// The built-in configuration, the configuration files and the environment variables, merged.
#[derive(Default)]
pub(super) struct Merged {
    figment: Figment,
    /// The merged values. Each has the tag of its layer.
    pub(super) values: Dict,
    /// The value of `store` in each file. A later file replaces the whole value.
    pub(super) stores: Vec<Option<Value>>,
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

/// Merges all layers of the configuration. With `only`, just these providers' tables of large files are parsed.
pub(super) fn merge(config: &Config, only: Option<&BTreeSet<String>>) -> Result<Merged> {
    let (mut layers, mut stores) = (Vec::new(), Vec::new());
    for file in &config.files {
        let mut values = file.values(only)?;
        stores.push(values.remove("store"));
        let metadata = match &file.path {
            Some(path) => Metadata::from("file", path.as_path()),
            None => Metadata::named(BUILT_IN),
        };
        layers.push(Layer { metadata, values });
    }
    for (name, keys) in &config.variables.keys {
        layers.extend(keys.iter().map(|key| {
            let table = Value::from(Dict::from([(name.clone(), key.table.clone())]));
            Layer {
                metadata: Metadata::named(format!("environment variable {}", key.variable)),
                values: Dict::from([("providers".to_owned(), table)]),
            }
        }));
    }
    let renamed = rename_keys(&mut layers, &config.kinds);
    for upper in (1..layers.len()).rev() {
        let (lower, rest) = layers.split_at_mut(upper);
        for below in lower {
            remove_replaced(&mut below.values, &rest[0].values);
        }
    }
    let figment = merged(&layers);
    // No layer fails, because each was parsed before.
    let values = figment.data().ok().and_then(|mut data| data.remove(&Profile::Default)).unwrap_or_default();
    Ok(Merged { figment, values, stores, renamed })
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
    let mut renamed = BTreeMap::<_, Vec<_>>::new();
    let keys = kinds.iter().flat_map(|kind| kind.renamed.iter().map(move |key| (kind.name, key)));
    for (kind, (old, new)) in keys {
        let is_affected = |(name, value): &(&String, &Value)| {
            let set = || layers.iter().rev().find_map(|layer| table(&layer.values, name)?.get("kind"));
            let has_old = value.as_dict().is_some_and(|table| table.contains_key(*old));
            has_old && set().map_or(Some(name.as_str()), Value::as_str) == Some(kind)
        };
        let all = layers.iter().flat_map(|layer| tables(&layer.values));
        let affected: BTreeSet<_> = all.filter(is_affected).map(|(name, _)| name.clone()).collect();
        for Layer { metadata, values } in layers.iter_mut() {
            let Some(Value::Dict(_, providers)) = values.get_mut("providers") else { continue };
            for provider in &affected {
                let Some(Value::Dict(_, table)) = providers.get_mut(provider) else { continue };
                let Some(value) = table.remove(*old) else { continue };
                table.entry((*new).to_owned()).or_insert(value);
                let warning = ConfigWarning::renamed(&origin_of(metadata), provider, old, new);
                renamed.entry(provider.clone()).or_default().push(warning);
            }
        }
    }
    renamed
}

/// Returns the file or the environment variable of a layer, or `built in`.
pub(super) fn origin_of(metadata: &Metadata) -> String {
    let file = metadata.source.as_ref().and_then(Source::file_path);
    file.map_or_else(|| metadata.name.to_string(), |file| file.display().to_string())
}

/// Returns a provider's table.
pub(super) fn table<'a>(values: &'a Dict, name: &str) -> Option<&'a Dict> {
    values.get("providers")?.as_dict()?.get(name)?.as_dict()
}
