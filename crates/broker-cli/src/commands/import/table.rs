//! A table of the person's configuration that is added to it, and the file that its secret is in.

use std::fs::{DirBuilder, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use broker::{Catalog, Config, Env, Error, Result, Secret, Setup, SystemEnv, printable};
use tempfile::NamedTempFile;

use crate::commands::{Desk, Outcome};

/// A table to be added to the configuration.
pub(super) struct Table<'a> {
    name: &'a str,
    kind: &'static str,
    secret: Option<(&'static str, &'a Secret)>,
    texts: Vec<(&'static str, &'a str)>,
}

impl<'a> Table<'a> {
    pub(super) fn new(kind: &'static str, name: &'a str) -> Self {
        let texts = if name == kind { Vec::new() } else { vec![("kind", kind)] };
        Self { name, kind, secret: None, texts }
    }

    pub(super) fn secret(self, key: &'static str, secret: &'a Secret) -> Self {
        Self { secret: Some((key, secret)), ..self }
    }

    pub(super) fn texts(mut self, texts: &[(&'static str, Option<&'a str>)]) -> Self {
        self.texts.extend(texts.iter().filter_map(|(key, text)| Some((*key, (*text)?))));
        self
    }

    /// Keys and values as they stand in the file.
    fn lines(&self, secret_file: &Path) -> Vec<(&'static str, String)> {
        let file = quoted(&secret_file.display().to_string());
        let secret = self.secret.map(|(key, _)| (key, format!("{{ file = {file} }}")));
        let texts = self.texts.iter().map(|(key, text)| (*key, quoted(text)));
        texts.chain(secret).collect()
    }

    /// Adds it to the person's configuration, its secret in a file beside it. A table that is there is not changed.
    pub(super) fn add(&self, desk: &Desk<'_>, from: &str) -> Outcome {
        let files = desk.setup().config_files();
        let (file, _) = files.last().ok_or_else(|| Error::failed("there is no home folder to write to"))?;
        // A link of the person's own is written through, not replaced.
        let file = file
            .canonicalize()
            .or_else(|_| std::path::absolute(file))
            .map_err(|error| at("found", file, error))?;
        let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
        let secret_file = folder.join("secrets").join(self.name);
        let lines = self.lines(&secret_file);
        private_folder(&folder)?;
        // Of two at once the second reads what the first has written. Where there are no locks, it is as in an editor.
        let turn = File::open(&folder).map_err(|error| at("opened", &folder, error))?;
        drop(turn.lock());
        let config = desk.setup().config()?;
        let there = config.configured()?.into_iter().find(|provider| provider.name == self.name);
        if let Some(there) = there.filter(|there| there.origin != "built in") {
            if !is_same(&config, self.name, &lines) {
                return Err(taken_name(self, &there.origin, &lines).into());
            }
            let told = match self.secret {
                Some((_, secret)) => {
                    keep_secret(&secret_file, secret, true)?;
                    "the secret takes the place of the one before"
                }
                None => "that is in the configuration already",
            };
            desk.say(&format!("{}: taken over from {}: {told}", self.name, from));
            return Ok(());
        }
        let new = composed(&file, &folder, self.name, &lines).map_err(|error| at("written", &file, error))?;
        check(&new, &file, self.name)?;
        for (what, url) in self.unusual_urls() {
            desk.say(&format!("{}: its {what} {}", self.name, printable(url)));
        }
        if let Some((_, secret)) = self.secret {
            keep_secret(&secret_file, secret, false)?;
        }
        replace(new, &file)?;
        desk.say(&format!("{}: taken over from {}, into {}", self.name, from, file.display()));
        Ok(())
    }

    /// Where what is secret goes, if that is not where EarthDaily's usually goes.
    fn unusual_urls(&self) -> impl Iterator<Item = (&'static str, &'a str)> {
        let usual = |url: &str| {
            let rest = url.strip_prefix("https://api.earthdaily.com");
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let said = |(key, url): &(&'static str, &'a str)| match *key {
            "auth_url" => Some(("secret goes to", *url)),
            "api_url" => Some(("tokens go to", *url)),
            _ => None,
        };
        self.texts.iter().filter_map(said).filter(move |(_, url)| !usual(url))
    }
}

/// Whether a table is what this very import has made before.
fn is_same(config: &Config, name: &str, lines: &[(&'static str, String)]) -> bool {
    let settings = config.settings(name).unwrap_or_default();
    let has = |(key, value): &(&str, String)| {
        settings.iter().any(|setting| setting.key == *key && setting.value == *value)
    };
    settings.len() == lines.len() && lines.iter().all(has)
}

fn taken_name(table: &Table<'_>, origin: &str, lines: &[(&'static str, String)]) -> Error {
    let name = table.name;
    let lines: Vec<_> = lines.iter().map(|(key, value)| format!("\n  {key} = {value}")).collect();
    let lines = lines.concat();
    Error::failed(format!(
        "[providers.{name}] is there already ({origin}) and is not changed; what would be in it:{lines}"
    ))
    .with_hint(format!(
        "as a second account: --as {}-2; or put these lines and the secret there yourself",
        table.kind
    ))
}

/// The configuration with the table after what is there, in a file beside it.
fn composed(
    file: &Path,
    folder: &Path,
    name: &str,
    lines: &[(&'static str, String)],
) -> std::io::Result<NamedTempFile> {
    let mut new = NamedTempFile::new_in(folder)?;
    let before = match std::fs::read(file) {
        Ok(before) => {
            let mode = std::fs::metadata(file)?.permissions().mode() & 0o777;
            new.as_file().set_permissions(Permissions::from_mode(mode))?;
            before
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let gap = match before.as_slice() {
        [] => "",
        [.., b'\n'] => "\n",
        _ => "\n\n",
    };
    new.write_all(&before)?;
    writeln!(new, "{gap}[providers.{name}]")?;
    for (key, value) in lines {
        writeln!(new, "{key} = {value}")?;
    }
    Ok(new)
}

/// Whether it is a configuration, before it takes the place of the one that is there.
fn check(new: &NamedTempFile, file: &Path, name: &str) -> Result<()> {
    let entry = Setup::new().config_file(new.path()).config().and_then(|config| config.entry(name));
    entry.map(drop).map_err(|error| {
        let told = error.message().replace(&new.path().display().to_string(), &file.display().to_string());
        Error::configuration(format!("nothing was changed: {told}"))
    })
}

/// Writes a secret to a file that nobody else can read, whole or not at all. One that is there is not overwritten,
/// unless it is known to be of the same provider.
fn keep_secret(file: &Path, secret: &Secret, again: bool) -> Result<()> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    private_folder(folder)?;
    let same = SystemEnv.read_secret(file).is_ok_and(|there| there.same_as(secret));
    if file.symlink_metadata().is_ok() && !again && !same {
        let error = Error::failed(format!("{} is there already, with another secret", file.display()));
        return Err(error.with_hint("remove it if nothing needs it, or name another provider: --as NAME"));
    }
    let written = NamedTempFile::new_in(folder).and_then(|mut new| {
        new.write_all(secret.expose().as_bytes())?;
        Ok(new)
    });
    replace(written.map_err(|error| at("written", file, error))?, file)
}

/// Puts a new file in the place of the one that is there.
fn replace(new: NamedTempFile, file: &Path) -> Result<()> {
    let put = || {
        new.as_file().sync_all()?;
        new.persist(file).map_err(|error| error.error)?;
        File::open(file.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    put().map_err(|error| at("written", file, error))
}

fn private_folder(folder: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| at("made", folder, error))
}

fn at(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::failed(format!("{} cannot be {what}: {error}", path.display())).with_source(error)
}

/// Text as TOML has it: the escapes of JSON are TOML's too.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
