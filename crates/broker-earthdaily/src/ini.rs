//! Reads INI files exactly as Python's `configparser.ConfigParser` does, which EarthDaily's client uses.

use std::collections::{BTreeMap, BTreeSet};

/// The section whose values apply to all sections.
const DEFAULT: &str = "DEFAULT";

/// How deep Python follows references (`configparser.MAX_INTERPOLATION_DEPTH`).
const MAX_DEPTH: usize = 10;

/// The most references that are followed in one section. References to references multiply.
const MAX_REFERENCES: usize = 1000;

/// The longest text, in bytes, of a value with all references replaced.
const MAX_TEXT: usize = 64 * 1024;

/// The sections of an INI file. The first is the section for defaults.
pub(crate) struct Ini(Vec<Section>);

/// The keys in lower case and the values of a section, in the order of the file.
#[derive(Default)]
pub(crate) struct Section {
    pub(crate) name: String,
    values: Vec<(String, String)>,
}

/// Python's white space (`str.isspace`).
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

impl Ini {
    /// Parses a file. The error is the number of the first invalid line.
    pub(crate) fn parse(text: &str) -> Result<Self, usize> {
        let mut sections = vec![Section { name: DEFAULT.to_owned(), ..Section::default() }];
        let mut seen = BTreeSet::new();
        // The index of the current section, and whether indented lines continue the section's last value.
        let (mut section, mut continues) = (None, false);
        let mut indent = 0;
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        for (number, line) in (1..).zip(text.lines()) {
            let trimmed = line.trim_matches(is_space);
            if trimmed.starts_with(['#', ';']) {
                continue;
            }
            let depth = line.chars().take_while(|c| is_space(*c)).count();
            let value = section.filter(|_| continues).and_then(|at: usize| sections[at].values.last_mut());
            match value {
                Some((_, value)) if trimmed.is_empty() || depth > indent => {
                    value.extend(["\n", trimmed]);
                    continue;
                }
                _ if trimmed.is_empty() => continue,
                _ => indent = depth,
            }
            if let Some(name) = header(trimmed) {
                let is_new = seen.insert((name.to_owned(), String::new()));
                (section, continues) = (Some(sections.len()), false);
                match (name, is_new) {
                    (DEFAULT, _) => section = Some(0),
                    (_, true) => sections.push(Section { name: name.to_owned(), ..Section::default() }),
                    (_, false) => return Err(number),
                }
                continue;
            }
            let Section { name, values } = &mut sections[section.ok_or(number)?];
            let (key, text) = trimmed.split_once(['=', ':']).ok_or(number)?;
            let key = key.trim_end_matches(is_space).to_lowercase();
            if key.is_empty() || !seen.insert((name.clone(), key.clone())) {
                return Err(number);
            }
            values.push((key, text.trim_matches(is_space).to_owned()));
            continues = true;
        }
        for (_, value) in sections.iter_mut().flat_map(|section| &mut section.values) {
            value.truncate(value.trim_end_matches(is_space).len());
        }
        Ok(Self(sections))
    }

    /// Returns all sections; that for defaults is the last one.
    pub(crate) fn sections(&self) -> impl Iterator<Item = &Section> {
        self.0.iter().skip(1).chain(self.0.first())
    }

    /// Returns the values of a section and the defaults, with upper-case keys as EarthDaily's client has them. Fails with
    /// the key of an invalid reference.
    pub(crate) fn values(&self, section: &Section) -> Result<BTreeMap<String, String>, String> {
        let all = self.raw(section);
        let mut left = MAX_REFERENCES;
        let value = |(key, value): (&&str, &&str)| {
            let mut text = String::new();
            replace(&all, value, &mut text, 1, &mut left).ok_or_else(|| (*key).to_owned())?;
            Ok((key.to_uppercase(), text))
        };
        all.iter().map(value).collect()
    }

    /// Returns the values of a section and the defaults, with lower-case keys and without replaced references.
    pub(crate) fn raw<'a>(&'a self, section: &'a Section) -> BTreeMap<&'a str, &'a str> {
        let defaults = self.0.first().into_iter().flat_map(|defaults| &defaults.values);
        defaults.chain(&section.values).map(|(key, value)| (key.as_str(), value.as_str())).collect()
    }
}

/// Returns NAME of `[NAME]`. Like Python, ignores text after the last `]`.
fn header(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix('[')?.rsplit_once(']')?;
    Some(name).filter(|name| !name.is_empty())
}

/// Replaces `%%` and `%(key)s` in `rest`, and appends the result to `text`. Returns `None` if a reference is invalid.
fn replace(
    map: &BTreeMap<&str, &str>,
    mut rest: &str,
    text: &mut String,
    depth: usize,
    left: &mut usize,
) -> Option<()> {
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        rest = if let Some(rest) = after.strip_prefix('%') {
            text.push('%');
            rest
        } else {
            let (key, rest) = after.strip_prefix('(')?.split_once(')')?;
            let value = map.get(key.to_lowercase().as_str()).filter(|_| !key.is_empty())?;
            *left = left.checked_sub(1)?;
            if value.contains('%') {
                (depth < MAX_DEPTH).then_some(())?;
                replace(map, value, text, depth + 1, left)?;
            } else {
                text.push_str(value);
            }
            rest.strip_prefix('s')?
        };
        (text.len() <= MAX_TEXT).then_some(())?;
    }
    text.push_str(rest);
    Some(())
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "tests")]
mod tests {
    use super::*;

    fn read(text: &str, section: &str) -> BTreeMap<String, String> {
        values(text, section).expect("a section").unwrap_or_else(|key| panic!("key {key}"))
    }

    fn values(text: &str, section: &str) -> Option<Result<BTreeMap<String, String>, String>> {
        let ini = Ini::parse(text).expect("valid");
        Some(ini.values(ini.sections().find(|own| own.name == section)?))
    }

    #[test]
    fn ini_is_read_as_by_python_configparser() {
        let text = "[DEFAULT]\nBase = http://a\ntwo = %(base)s/%%\n# x\r\n[default]\na = \"x # y\"\r\nB : p=q\n  more\n\n; no\n  last\n[ work ]x\nempty =\ntwo=%(TWO\n";
        let default = read(text, "default");
        // The line `B` does not continue `a`, because it is not indented deeper.
        for (key, value) in
            [("BASE", "http://a"), ("TWO", "http://a/%"), ("A", "\"x # y\""), ("B", "p=q\nmore\n\nlast")]
        {
            assert_eq!(default.get(key).map(String::as_str), Some(value), "{key}");
        }
        let ini = Ini::parse(text).expect("valid");
        let names = ini.sections().map(|section| section.name.as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["default", " work ", DEFAULT]);
        assert_eq!(values(text, " work ").expect("a section"), Err("two".to_owned()));
        assert!(values(text, "work").is_none() && values(text, DEFAULT).is_some());
    }

    #[test]
    fn ini_parser_returns_number_of_first_invalid_line() {
        for (text, line) in [
            ("a = b", 1),
            ("[x]\njust words", 2),
            ("[x\n", 1),
            ("[x]\n= y", 2),
            ("[x]\n{\"a\"}", 2),
            ("[x]\na=1\nA=2", 3),
            ("[x]\n[x]", 2),
            ("[]\n", 1),
        ] {
            assert_eq!(Ini::parse(text).err(), Some(line), "{text}");
        }
    }

    #[test]
    fn references_that_multiply_are_refused() {
        let ten = |key: char| format!("%({key})s").repeat(10);
        let lines = ('a'..='h').map(|key| format!("{key} = {}", ten((key as u8 + 1).into())));
        let text = lines.collect::<Vec<_>>().join("\n");
        assert_eq!(values(&format!("[x]\n{text}\ni =\n"), "x"), Some(Err("a".to_owned())));
        assert_eq!(values("[x]\na = %(a)s\n", "x"), Some(Err("a".to_owned())));
    }
}
