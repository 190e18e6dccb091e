//! A table of the person's configuration that is added to it, and the file that its secret is in.

use std::path::Path;

use broker::{Config, Env, Error, Result, Secret, Setting, SystemEnv, platform, sanitize};

use super::insert::insert;
use crate::commands::config_file::{at, beside, check, person_file, text_of, turn};
use crate::commands::{CommandContext, CommandResult};
use crate::format::word;

/// A key, and its value as it stands in the file.
type Line = (&'static str, String);

/// A table to be added to the configuration.
pub(super) struct Table<'a> {
    name: &'a str,
    kind: &'static str,
    secret: Option<(&'static str, &'a Secret)>,
    texts: Vec<(&'static str, &'a str)>,
    /// The keys that belong together, whether they have a value or not.
    set: Vec<&'static str>,
}

impl<'a> Table<'a> {
    pub(super) fn new(kind: &'static str, name: &'a str) -> Self {
        let texts = if name == kind { Vec::new() } else { vec![("kind", kind)] };
        Self { name, kind, secret: None, texts, set: Vec::new() }
    }

    pub(super) fn secret(mut self, key: &'static str, secret: &'a Secret) -> Self {
        self.set.push(key);
        Self { secret: Some((key, secret)), ..self }
    }

    pub(super) fn texts(mut self, texts: &[(&'static str, Option<&'a str>)]) -> Self {
        self.set.extend(texts.iter().map(|(key, _)| *key));
        self.texts.extend(texts.iter().filter_map(|(key, text)| Some((*key, (*text)?))));
        self
    }

    /// Keys and values as they stand in the file.
    fn lines(&self, secret_file: &Path) -> Vec<Line> {
        let file = quoted(&secret_file.display().to_string());
        let secret = self.secret.map(|(key, _)| (key, format!("{{ file = {file} }}")));
        let texts = self.texts.iter().map(|(key, text)| (*key, quoted(text)));
        texts.chain(secret).collect()
    }

    /// Adds it to the person's configuration, its secret in a file beside it. In a table that is there only keys are
    /// added; what has another value stays, and is an error.
    pub(super) fn add(&self, context: &CommandContext<'_>, from: &str) -> CommandResult {
        let file = person_file(context)?;
        let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
        let secret_file = folder.join("secrets").join(self.name);
        let lines = self.lines(&secret_file);
        let _turn = turn(&folder)?;
        let missing = self.missing(&context.setup().config()?, &lines, &secret_file)?;
        if missing.is_empty() {
            let told = match self.secret {
                Some((_, secret)) => {
                    keep_secret(&secret_file, secret, true)?;
                    "the secret takes the place of the one before"
                }
                None => "that is in the configuration already",
            };
            context.say(&format!("{}: taken over from {}: {told}", self.name, from));
            return Ok(());
        }
        let before = text_of(&file).map_err(|error| at("read", &file, error))?;
        let after = insert(&before, self.name, &missing).ok_or_else(|| {
            let why =
                format!("nothing was changed: {} has a form that nothing can be added to", file.display());
            self.by_hand(Error::configuration, &why, "", &lines, &secret_file)
        })?;
        let new = beside(&file, &after).map_err(|error| at("written", &file, error))?;
        check(&new, &file, self.name)?;
        for (what, url) in self.unusual_urls() {
            context.say(&format!("{}: its {what} {}", self.name, sanitize(url)));
        }
        if let Some((_, secret)) = self.secret {
            keep_secret(&secret_file, secret, false)?;
        }
        platform::put_in_place(new, &file).map_err(|error| at("written", &file, error))?;
        context.say(&format!("{}: taken over from {}, into {}", self.name, from, file.display()));
        Ok(())
    }

    /// The lines that a provider of this name has not yet. What it has of the same set must have the same value: a
    /// secret of one place never meets a URL of the other.
    fn missing(&self, config: &Config, lines: &[Line], secret_file: &Path) -> Result<Vec<Line>> {
        let there = config.configured()?.into_iter().find(|provider| provider.name == self.name);
        let Some(there) = there else { return Ok(lines.to_vec()) };
        let settings = config.settings(self.name)?;
        let has = |(key, value): &Line| {
            settings.iter().any(|setting| setting.key == *key && setting.value == *value)
        };
        let is_other = |setting: &Setting| {
            self.set.contains(&setting.key.as_str())
                && !lines.iter().any(|(key, value)| setting.key == *key && setting.value == *value)
        };
        if there.kind != self.kind || settings.iter().any(is_other) {
            let (name, origin) = (self.name, &there.origin);
            let why = format!("[providers.{name}] is there already ({origin}) and is not changed");
            let other = format!("as a second account: --as {}-2; or ", self.kind);
            return Err(self.by_hand(Error::failed, &why, &other, lines, secret_file));
        }
        Ok(lines.iter().filter(|line| !has(line)).cloned().collect())
    }

    /// An error that says what the person can do instead.
    fn by_hand(
        &self,
        error: fn(String) -> Error,
        why: &str,
        other: &str,
        lines: &[Line],
        secret_file: &Path,
    ) -> Error {
        let lines: Vec<_> = lines.iter().map(|(key, value)| format!("\n  {key} = {value}")).collect();
        let secret = self.secret.map_or_else(String::new, |_| {
            let word = |path: &Path| word(&path.display().to_string());
            let (folder, file) = (word(secret_file.parent().unwrap_or(Path::new("/"))), word(secret_file));
            format!(
                ", and the secret into its file: (umask 077; mkdir -p {folder} && cat > {file}), where it is pasted, \
                 then Enter and Ctrl-D"
            )
        });
        let hint = format!("{other}put these lines into [providers.{}] yourself{secret}", self.name);
        error(format!("{why}; what would be in it:{}", lines.concat())).with_hint(hint)
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

/// Writes a secret to a file that nobody else can read, whole or not at all. One that is there is not overwritten,
/// unless it is known to be of the same provider.
fn keep_secret(file: &Path, secret: &Secret, again: bool) -> Result<()> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    platform::make_folder(folder).map_err(|error| at("made", folder, error))?;
    let same = SystemEnv.read_secret(file).is_ok_and(|there| there.same_as(secret));
    if file.symlink_metadata().is_ok() && !again && !same {
        let error = Error::failed(format!("{} is there already, with another secret", file.display()));
        return Err(error.with_hint("remove it if nothing needs it, or name another provider: --as NAME"));
    }
    platform::write_private(file, secret.expose().as_bytes()).map_err(|error| at("written", file, error))
}

/// Text as TOML has it: the escapes of JSON are TOML's too.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
