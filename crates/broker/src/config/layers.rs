//! Where values come from: built in, the machine's file, the person's file, the environment. The last wins.

use std::path::{Path, PathBuf};

use broker_core::{Env, Error, Result};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider, Source};

use super::file;
use super::place::{Mark, Place};

/// The built-in providers, which are the example of a configuration too.
pub(super) const BUILT_IN: &str = include_str!("../../providers.toml");

/// Environment variables of this prefix are keys: `BROKER_PROVIDERS__NAME__KEY`.
pub(super) const PREFIX: &str = "BROKER_PROVIDERS__";

/// The configuration files.
pub(crate) enum Files {
    /// One that was named, in the place of the others.
    Named(PathBuf),
    /// The machine's and the person's, each if it is there.
    Usual { machine: PathBuf, person: Option<PathBuf> },
}

/// A file that was read.
pub(super) struct Text {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// A layer: its values, and where they are from.
struct Layer {
    metadata: Metadata,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn data(&self) -> figment::error::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// Reads the files that are there.
pub(super) fn read(files: &Files) -> Result<Vec<Text>> {
    let (paths, must): (Vec<&Path>, bool) = match files {
        Files::Named(path) => (vec![path], true),
        Files::Usual { machine, person } => {
            ([Some(machine), person.as_ref()].into_iter().flatten().map(PathBuf::as_path).collect(), false)
        }
    };
    let mut texts = Vec::new();
    for path in paths {
        match file::read(path, must) {
            Ok(text) => texts.push(Text { path: path.to_owned(), text }),
            Err(error)
                if !must
                    && matches!(
                        error.kind(),
                        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                    ) => {}
            Err(error) => {
                let error = Error::configuration(format!("cannot read {}: {error}", path.display()))
                    .with_source(error);
                return Err(if must {
                    error.with_hint("--config or BROKER_CONFIG named this file")
                } else {
                    error
                });
            }
        }
    }
    Ok(texts)
}

/// Joins the layers.
pub(super) fn join(texts: &[Text], env: &dyn Env) -> Result<Figment> {
    let mut layers =
        vec![layer(Metadata::named("built in"), BUILT_IN).map_err(|error| Error::failed(error.to_string()))?];
    for Text { path, text } in texts {
        let metadata = Metadata::from("file", Source::File(path.clone()));
        layers.push(layer(metadata, text).map_err(|error| {
            let place = Place::at(path, text, error.span().unwrap_or_default(), Mark::Syntax);
            Error::configuration(format!("{place}: {}{}", error.message(), place.picture()))
        })?);
    }
    let names = names(&layers);
    for (variable, value) in env.vars(PREFIX) {
        if let Some(values) = of_variable(&variable, value, &names) {
            layers.push(Layer {
                metadata: Metadata::named(format!("environment variable {variable}")),
                values,
            });
        }
    }
    whole_secrets(&mut layers);
    Ok(layers.into_iter().fold(Figment::new(), Figment::merge))
}

fn layer(metadata: Metadata, text: &str) -> Result<Layer, toml::de::Error> {
    let table: toml::Table = toml::from_str(text)?;
    // Whatever TOML can say, a figment value can hold.
    let values = Value::serialize(table).ok().and_then(Value::into_dict).unwrap_or_default();
    Ok(Layer { metadata, values })
}

fn names(layers: &[Layer]) -> Vec<String> {
    let tables = layers.iter().filter_map(|layer| layer.values.get("providers")?.as_dict());
    tables.flat_map(|table| table.keys().cloned()).collect()
}

/// So many parts of a variable's name are keys of their own; what follows is one, which no table has.
const DEEPEST: usize = 16;

/// `BROKER_PROVIDERS__NAME__KEY=VALUE` as a table. Values are always text: what looks like a number may be a
/// password. A name is found whatever its case, and with `_` for `-`, which no variable can have.
pub(super) fn of_variable(variable: &str, value: String, names: &[String]) -> Option<Dict> {
    let rest = variable.strip_prefix(PREFIX)?;
    let (name, keys) = rest.split_once("__").map_or((rest, None), |(name, keys)| (name, Some(keys)));
    let name = Some(name).filter(|name| !name.is_empty())?.to_lowercase();
    let known = names.iter().find(|known| known.to_lowercase().replace('-', "_") == name.replace('-', "_"));
    let keys: Vec<_> = keys.into_iter().flat_map(|keys| keys.splitn(DEEPEST, "__")).collect();
    let within = |value, key: &&str| Value::from(Dict::from([(key.to_lowercase(), value)]));
    let nested = keys.iter().rev().fold(Value::from(value), within);
    let table = Dict::from([(known.cloned().unwrap_or(name), nested)]);
    Some(Dict::from([("providers".to_owned(), Value::from(table))]))
}

/// A secret is replaced as a whole: `{ env = … }` of one layer and `{ file = … }` of the next are not one table. All
/// other tables are joined key by key.
fn whole_secrets(layers: &mut [Layer]) {
    for upper in (1..layers.len()).rev() {
        let (lower, rest) = layers.split_at_mut(upper);
        let Some(layer) = rest.first() else { continue };
        for below in lower {
            make_way(&mut below.values, &layer.values);
        }
    }
}

/// Takes out of `lower` what `upper` replaces.
fn make_way(lower: &mut Dict, upper: &Dict) {
    lower.retain(|key, below| match (below, upper.get(key)) {
        (_, None) => true,
        (Value::Dict(_, below), Some(Value::Dict(_, above))) => {
            let replaced = says_where(below) && says_where(above);
            if !replaced {
                make_way(below, above);
            }
            !replaced
        }
        _ => false,
    });
}

/// Whether a table says where a secret comes from.
pub(super) fn says_where(table: &Dict) -> bool {
    let says = |(key, value): (&String, &Value)| match key.as_str() {
        "env" | "file" => value.as_str().is_some(),
        "command" => value.as_dict().is_none(),
        _ => false,
    };
    !table.is_empty() && table.iter().all(says)
}
