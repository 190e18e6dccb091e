//! Adds a provider's table to the user's configuration, and its secret to a file.

use std::path::Path;

use broker_core::tools::ToolSettings;
use broker_core::{SystemEnv, platform};
use earthbroker::config::{Config, Setting};
use earthbroker::{Env, Error, ErrorCode, Result, Secret};

use crate::commands::user_file::{UserFile, appended, cannot_write};
use crate::commands::{CommandContext, CommandResult};
use crate::format::quoted_path;

/// A configuration key and its value as TOML.
type Line = (&'static str, String);

/// A provider's table to add to the configuration.
pub(super) struct Table<'a> {
    pub(super) name: &'a str,
    pub(super) kind: &'static str,
    /// If the existing table has another value for one of these keys, the import fails.
    pub(super) settings: &'a ToolSettings,
}

impl Table<'_> {
    /// Returns the provider's configuration keys, with their values as TOML.
    fn lines(&self, secret_file: &Path) -> Vec<Line> {
        let kind = (self.name != self.kind).then(|| ("kind", quoted(self.kind)));
        let texts = self.settings.texts.iter().filter_map(|(key, text)| Some((*key, quoted(text.as_ref()?))));
        let file = quoted(&secret_file.display().to_string());
        let secret = self.settings.secret.iter().map(|(key, _)| (*key, format!("{{ file = {file} }}")));
        kind.into_iter().chain(texts).chain(secret).collect()
    }

    /// Adds the table to the user's configuration, and its secret to a file in the same folder. An existing table
    /// gets only its missing keys; a key with another value is an error.
    pub(super) fn add(&self, context: &CommandContext<'_>, from: &str) -> CommandResult {
        let Self { name, settings, .. } = self;
        let file = UserFile::lock(context)?;
        let (path, secret_file) = (file.path.display(), file.path.with_file_name("secrets").join(name));
        let lines = self.lines(&secret_file);
        let missing = self.missing(&context.setup().config()?, &lines, &secret_file)?;
        let new = if missing.is_empty() {
            None
        } else {
            let text = insert(&file.text()?, name, &missing).ok_or_else(|| {
                let why = format!("cannot insert keys into {path}, which was not changed");
                self.by_hand(ErrorCode::ConfigInvalid, &why, "", &lines, &secret_file)
            })?;
            let new = file.temporary(&text, Some(name))?;
            settings.notes.iter().for_each(|note| context.say(&format!("{name}: {note}")));
            Some(new)
        };
        if let Some((_, secret)) = &settings.secret {
            write_secret(&secret_file, secret, new.is_none())?;
        }
        let done = match new {
            Some(new) => {
                file.replace(new)?;
                format!(" into {path}")
            }
            None if settings.secret.is_some() => ": the new secret replaced the old one".to_owned(),
            None => ": the provider is already configured".to_owned(),
        };
        context.say(&format!("{name}: imported from {from}{done}"));
        Ok(())
    }

    /// Returns the lines that the provider's existing table lacks. Fails if a key in `settings` has another
    /// value there, because the imported secret must not be sent to another URL.
    fn missing(&self, config: &Config, lines: &[Line], secret_file: &Path) -> Result<Vec<Line>> {
        let existing = config.configured()?.into_iter().find(|provider| provider.name == self.name);
        let Some(existing) = existing else { return Ok(lines.to_vec()) };
        let settings = config.settings(self.name)?;
        let is_other = |setting: &Setting| match lines.iter().find(|(key, _)| setting.key == *key) {
            Some((_, value)) => setting.value != *value,
            // A key without a line must have its default.
            None => self.settings.texts.iter().any(|(key, _)| setting.key == *key),
        };
        if existing.kind != self.kind || settings.iter().any(is_other) {
            let (name, origin) = (self.name, &existing.origin);
            let why = format!("[providers.{name}] exists already in {origin}, and was not changed");
            let other = format!("to import a second account, add --as {}-2; otherwise ", self.kind);
            return Err(self.by_hand(ErrorCode::AlreadyExists, &why, &other, lines, secret_file));
        }
        let is_missing = |(key, _): &&Line| !settings.iter().any(|setting| setting.key == *key);
        Ok(lines.iter().filter(is_missing).cloned().collect())
    }

    /// Returns an error with the lines that the user has to add by hand.
    fn by_hand(&self, code: ErrorCode, why: &str, option: &str, lines: &[Line], secret_file: &Path) -> Error {
        let lines = lines.iter().map(|(key, value)| format!("  {key} = {value}"));
        let save_secret = self.settings.secret.as_ref().map_or_else(String::new, |_| {
            let folder = quoted_path(secret_file.parent().unwrap_or(Path::new("/")));
            let file = quoted_path(secret_file);
            format!(
                "; for the secret, run (umask 077; mkdir -p {folder} && cat > {file}), paste it, and press Enter and \
                 Ctrl-D"
            )
        });
        let add = format!("add the lines above to [providers.{}]", self.name);
        let hint = [option, &add, &save_secret].concat();
        let why = format!("{why}; the lines to add to the configuration:");
        Error::new(code, why).with_lines(lines).with_hint(hint)
    }
}

/// Writes a secret atomically to a private file. Replaces another secret in the file only if `replace` is set.
fn write_secret(file: &Path, secret: &Secret, replace: bool) -> Result<()> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    platform::make_folder(folder).map_err(|error| cannot_write(folder, error))?;
    let same = SystemEnv.read_secret(file).is_ok_and(|old| old.same_as(secret));
    if file.symlink_metadata().is_ok() && !replace && !same {
        let why = format!("{} already contains another secret", file.display());
        return Err(Error::new(ErrorCode::AlreadyExists, why).with_hint(
            "remove the file if you do not need its secret, or name another provider with --as NAME",
        ));
    }
    platform::write_private(file, secret.expose().as_bytes()).map_err(|error| cannot_write(file, error))
}

/// Quotes text for TOML, which accepts the escapes of JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Inserts keys in a provider's table: after the table's header, or in a new table at the end. Keeps all other bytes.
/// Returns `None` for tables that this function cannot extend, such as an inline table.
fn insert(before: &str, name: &str, lines: &[Line]) -> Option<String> {
    let lines = lines.iter().map(|(key, value)| format!("{key} = {value}\n")).collect::<Vec<_>>().concat();
    let wanted = extended(before, name, &lines)?;
    let header: toml::Table = toml::from_str(&format!("[providers.{name}]")).ok()?;
    let is_header = |line: &str| {
        line.trim_start().starts_with('[')
            && toml::from_str(line).is_ok_and(|table: toml::Table| table == header)
    };
    let mut end = 0;
    let headers = before.split_inclusive('\n').filter_map(|line| {
        end += line.len();
        is_header(line).then_some((end, line))
    });
    let after_header = headers.map(|(at, line)| {
        let (start, rest) = before.split_at(at);
        let gap = if line.ends_with('\n') { "" } else { "\n" };
        format!("{start}{gap}{lines}{rest}")
    });
    let new_table = appended(before, &format!("[providers.{name}]\n{lines}"));
    // Each possible new file text is parsed: a line in a multi-line string may look like the table's header.
    after_header.chain([new_table]).find(|new| toml::from_str(new).as_ref() == Ok(&wanted))
}

/// Returns the parsed configuration, with the lines added to the provider's table.
fn extended(before: &str, name: &str, lines: &str) -> Option<toml::Table> {
    let mut all: toml::Table = toml::from_str(before).ok()?;
    let mut table = &mut all;
    for key in ["providers", name] {
        let inner = table.entry(key).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        table = inner.as_table_mut()?;
    }
    table.extend(toml::from_str::<toml::Table>(lines).ok()?);
    Some(all)
}
