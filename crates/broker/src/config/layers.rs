//! Where values come from: built in, the machine's file, the person's file, the environment. The last wins.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use broker_core::{Env, Error, Result};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider, Source};

use super::file;
use super::parts::Parts;
use super::source_span::{Mark, SourceSpan};

/// The built-in providers, which are the example of a configuration too.
pub(super) const BUILT_IN: &str = include_str!("../../providers.toml");

/// Environment variables of this prefix are keys: `BROKER_PROVIDERS__NAME__KEY`.
const PREFIX: &str = "BROKER_PROVIDERS__";

/// A file up to this long, in bytes, is always read as a whole, so that what is wrong in it is found at once.
const SHORT: usize = 8 * 1024;

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

/// The layers joined.
pub(super) struct Joined {
    pub(super) figment: Figment,
    /// The environment variables that are keys.
    pub(super) variables: Vec<(String, String)>,
    /// The providers that these set a key of.
    pub(super) set: BTreeSet<String>,
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

/// Joins the layers; of `only` some providers, if they are named.
pub(super) fn join(texts: &[Text], env: &dyn Env, only: Option<&BTreeSet<String>>) -> Result<Joined> {
    let built_in = values(BUILT_IN, only).map_err(|error| Error::failed(error.to_string()))?;
    let mut layers = vec![Layer { metadata: Metadata::named("built in"), values: built_in }];
    for Text { path, text } in texts {
        let only = only.filter(|_| text.len() > SHORT);
        let values = values(text, only).map_err(|error| {
            let place = SourceSpan::at(path, text, error.span().unwrap_or_default(), Mark::Syntax);
            Error::configuration(format!("{place}: {}{}", error.message(), place.picture()))
        })?;
        layers.push(Layer { metadata: Metadata::from("file", Source::File(path.clone())), values });
    }
    let (variables, mut set) = (env.vars(PREFIX), BTreeSet::new());
    let names = if variables.is_empty() { BTreeSet::new() } else { names(texts) };
    for (variable, value) in &variables {
        if let Some(values) = of_variable(variable, value.clone(), &names) {
            let metadata = Metadata::named(format!("environment variable {variable}"));
            set.extend(tables(&values).map(str::to_owned));
            layers.push(Layer { metadata, values });
        }
    }
    whole_secrets(&mut layers);
    Ok(Joined { figment: layers.into_iter().fold(Figment::new(), Figment::merge), variables, set })
}

/// The names of all providers that are built in or in a file, also of those whose tables were not read.
pub(super) fn names(texts: &[Text]) -> BTreeSet<String> {
    let texts = texts.iter().map(|text| text.text.as_str()).chain([BUILT_IN]);
    texts.fold(BTreeSet::new(), |mut names, text| {
        if let Some(parts) = Parts::of(text) {
            names.extend(parts.names().map(str::to_owned));
        }
        // What stands above the tables, or all of it.
        names.extend(tables(&values(text, Some(&BTreeSet::new())).unwrap_or_default()).map(str::to_owned));
        names
    })
}

/// What a text says, of `only` some providers if they are named.
fn values(text: &str, only: Option<&BTreeSet<String>>) -> Result<Dict, toml::de::Error> {
    let part = only.and_then(|only| Some(Parts::of(text)?.of_providers(only)));
    let part = part.and_then(|part| toml::from_str::<toml::Table>(&part).ok());
    // What is wrong in a part is said by its place in the whole.
    let table = part.map_or_else(|| toml::from_str(text), Ok)?;
    // Whatever TOML can say, a figment value can hold.
    Ok(Value::serialize(table).ok().and_then(Value::into_dict).unwrap_or_default())
}

/// The names of the providers that are in some values.
fn tables(values: &Dict) -> impl Iterator<Item = &str> {
    let tables = values.get("providers").and_then(Value::as_dict);
    tables.into_iter().flat_map(|table| table.keys().map(String::as_str))
}

/// So many parts of a variable's name are keys of their own; what follows is one, which no table has.
const DEEPEST: usize = 16;

/// `BROKER_PROVIDERS__NAME__KEY=VALUE` as a table. Values are always text: what looks like a number may be a
/// password. A name is found whatever its case, and with `_` for `-`, which no variable can have.
pub(super) fn of_variable(variable: &str, value: String, names: &BTreeSet<String>) -> Option<Dict> {
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
