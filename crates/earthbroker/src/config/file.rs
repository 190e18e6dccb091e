//! The configuration files: their text, and the parts of it that are parsed.
//!
//! Parsing a thousand tables takes longer than returning a stored token. So the headers of the providers' tables are
//! found without a parser, and just the tables of the requested providers are parsed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;
use std::{io, thread};

use broker_core::{Error, ErrorCode, Hint, Result, platform, quoted_path, utf8};
use figment::value::{Dict, Value};

use super::errors::Mark;

/// The text of the built-in configuration. The file is also the commented example for users.
const PROVIDERS: &str = include_str!("../../providers.toml");

/// The size limit of a configuration file in bytes.
const MAX_SIZE: u64 = 16 * 1024 * 1024;

/// Files of up to this many bytes are parsed whole, so that errors in all tables are reported.
const SHORT: usize = 8 * 1024;

/// How long to wait for the program that writes to a pipe. The program may ask the user for a passphrase.
const PIPE_TIMEOUT: Duration = Duration::from_secs(10);

/// The start of the TOML table header of a provider. A file with any other table header is parsed whole.
const HEADER: &str = "[providers.";

/// The configuration files. Values of a later file replace values of an earlier file.
pub(crate) struct Files {
    pub(crate) paths: Vec<PathBuf>,
    /// Whether the user named the file. A named file must exist; default files are optional.
    pub(crate) is_named: bool,
}

/// A configuration file.
#[derive(Default)]
pub(super) struct ConfigFile {
    /// The path; `None` for the built-in configuration.
    pub(super) path: Option<PathBuf>,
    pub(super) text: String,
    headers: OnceLock<Option<Vec<Header>>>,
    names: OnceLock<BTreeSet<String>>,
}

/// A table header `[providers.NAME]` or `[providers.NAME.KEY]`, as positions in the text.
struct Header {
    start: usize,
    name: Range<usize>,
}

impl ConfigFile {
    /// Parses the file. With `only`, parses just these providers' tables of a long file.
    pub(super) fn values(&self, only: Option<&BTreeSet<String>>) -> Result<Dict> {
        let Some(only) = only.filter(|_| self.text.len() > SHORT && self.headers().is_some()) else {
            return self.parse(0..self.text.len());
        };
        let mut values = self.parse(self.part(None).unwrap_or_default())?;
        let mut providers = Dict::new();
        for name in only {
            let Some(part) = self.part(Some(name)) else { continue };
            // The part may contain tables of other providers, but not all of them.
            if let Some(Value::Dict(_, mut tables)) = self.parse(part)?.remove("providers") {
                providers.extend(tables.remove_entry(name));
            }
        }
        values.insert("providers".to_owned(), providers.into());
        Ok(values)
    }

    fn parse(&self, part: Range<usize>) -> Result<Dict> {
        toml::from_str(&self.text[part.clone()]).map_err(|error| {
            let span = error.span().unwrap_or_default();
            let span = part.start + span.start..part.start + span.end;
            self.error(span, Mark::Syntax, ErrorCode::ConfigSyntax, error.message())
        })
    }

    /// Returns the part of the text from a provider's first table to its last one, or without `name` the part before
    /// all tables. Returns the whole text if only a TOML parser can find the tables.
    pub(super) fn part(&self, name: Option<&str>) -> Option<Range<usize>> {
        let Some(headers) = self.headers() else { return Some(0..self.text.len()) };
        let start_of = |at: usize| headers.get(at).map_or(self.text.len(), |header| header.start);
        let Some(name) = name else { return Some(0..start_of(0)) };
        let is_own = |header: &Header| self.text[header.name.clone()] == *name;
        let (first, last) = (headers.iter().position(is_own)?, headers.iter().rposition(is_own)?);
        Some(start_of(first)..start_of(last + 1))
    }

    /// Returns the names of all providers in the file.
    pub(super) fn names(&self) -> &BTreeSet<String> {
        self.names.get_or_init(|| match self.headers() {
            Some(headers) => headers.iter().map(|header| self.text[header.name.clone()].to_owned()).collect(),
            None => tables(&self.values(None).unwrap_or_default()).map(|(name, _)| name.clone()).collect(),
        })
    }

    fn headers(&self) -> Option<&[Header]> {
        self.headers.get_or_init(|| headers(&self.text)).as_deref()
    }
}

/// Returns the headers of the providers' tables. Returns `None` if the file has multi-line strings, other tables, spaces
/// or quotes in headers, or keys besides `store` above all tables: only a TOML parser can find the tables of such a file.
fn headers(text: &str) -> Option<Vec<Header>> {
    let has_multiline =
        |quote: char, quotes| text.match_indices(quote).any(|(index, _)| text[index..].starts_with(quotes));
    if has_multiline('"', "\"\"\"") || has_multiline('\'', "'''") {
        return None;
    }
    let mut headers = Vec::new();
    for (start, _) in text.match_indices('[') {
        let before = text[..start].trim_end_matches([' ', '\t']);
        if before.is_empty() || before.ends_with('\n') {
            let length = name_of(text[start..].lines().next()?)?.len();
            let name = start + HEADER.len();
            headers.push(Header { start, name: name..name + length });
        }
    }
    let head = &text[..headers.first().map_or(text.len(), |header| header.start)];
    let is_plain = |line: &str| line.is_empty() || line.starts_with('#') || line.starts_with("store");
    head.lines().all(|line| is_plain(line.trim_start())).then_some(headers)
}

/// Returns NAME of a TOML table header `[providers.NAME]` or `[providers.NAME.KEY]`.
fn name_of(line: &str) -> Option<&str> {
    let (path, rest) = line.strip_prefix(HEADER)?.split_once(']')?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let is_plain = path.split('.').all(|key| !key.is_empty() && key.bytes().all(plain));
    let rest = rest.trim_start();
    path.split('.').next().filter(|_| is_plain && (rest.is_empty() || rest.starts_with('#')))
}

/// Returns the providers' tables of a parsed file.
pub(super) fn tables(values: &Dict) -> impl Iterator<Item = (&String, &Value)> {
    values.get("providers").and_then(Value::as_dict).into_iter().flatten()
}

/// Reads the built-in configuration and the configuration files.
pub(super) fn read(Files { paths, is_named }: &Files) -> Result<Vec<ConfigFile>> {
    let is_absent = |kind| matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory);
    // Comments are most of the text, and take time to parse.
    let text = PROVIDERS.split_inclusive('\n').filter(|line| !line.starts_with('#')).collect();
    let mut files = vec![ConfigFile { text, ..ConfigFile::default() }];
    for path in paths {
        match read_file(path, *is_named) {
            Ok(text) => files.push(ConfigFile { path: Some(path.clone()), text, ..ConfigFile::default() }),
            Err(error) if !*is_named && is_absent(error.kind()) => {}
            Err(error) => {
                let why = format!("cannot read {}: {error}", path.display());
                let (kind, is_own) = (error.kind(), error.raw_os_error().is_none());
                let error = Error::new(ErrorCode::ConfigUnreadable, why).with_source(error);
                return Err(match kind {
                    ErrorKind::InvalidData => error.with_hint("save the file as UTF-8 text"),
                    // Every user can change the file: this error is not the operating system's.
                    ErrorKind::PermissionDenied if is_own => {
                        error.with_hint(format!("run: chmod o-w {}", quoted_path(path)))
                    }
                    _ if *is_named => error.with_hint(Hint::CorrectConfigPath),
                    _ => error,
                });
            }
        }
    }
    Ok(files)
}

/// Reads a configuration file. A file that the user named may be a pipe (`<(…)` of a shell); a default file must be
/// regular. A file that every user can change is refused.
fn read_file(path: &Path, is_named: bool) -> io::Result<String> {
    let file = match platform::open_followed(path) {
        Err(error) if is_named && error.kind() == ErrorKind::InvalidInput && !path.is_dir() => {
            return read_pipe(path.to_owned());
        }
        opened => opened?,
    };
    if platform::everybody_writes(&file.metadata()?) {
        let why = "every user can change this file, which names programs to run";
        return Err(io::Error::new(ErrorKind::PermissionDenied, why));
    }
    read_text(file)
}

fn read_text(file: File) -> io::Result<String> {
    let mut bytes = Vec::new();
    match file.take(MAX_SIZE + 1).read_to_end(&mut bytes)? as u64 {
        size if size > MAX_SIZE => {
            Err(io::Error::new(ErrorKind::FileTooLarge, "the file is longer than 16 MiB"))
        }
        _ => Ok(utf8(&bytes)?.trim_start_matches('\u{feff}').to_owned()),
    }
}

/// Reads a pipe in another thread, so that a pipe without a writer causes a timeout, not a hang.
fn read_pipe(path: PathBuf) -> io::Result<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(File::open(path).and_then(read_text)));
    let late = || io::Error::new(ErrorKind::TimedOut, "no program wrote to this pipe within 10 s");
    receiver.recv_timeout(PIPE_TIMEOUT).unwrap_or_else(|_| Err(late()))
}
