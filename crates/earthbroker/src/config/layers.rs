//! Merges the layers of the configuration: built-in providers, the system's file, the user's file, environment
//! variables. A later layer wins.

use std::collections::{BTreeMap, BTreeSet};

use broker_core::{Env, Error, ErrorCode, Kind, Result};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider, Source};

use super::ConfigWarning;
use super::secret_tables::remove_replaced;
use super::source_span::{Mark, SourceSpan};
use super::text::{BUILT_IN, Text, all_names, tables, values};
use super::variables::{EnvKey, PREFIX, VariableNames, of_variable};

/// Files of up to this many bytes are parsed whole, so that errors in all tables are reported.
const SHORT: usize = 8 * 1024;

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
