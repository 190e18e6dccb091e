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

/// The keys in lower case and the values of a section, in the order of the file.
type Values = Vec<(String, String)>;

/// The sections of an INI file.
#[derive(Debug)]
pub(crate) struct Ini {
    defaults: Values,
    sections: Vec<(String, Values)>,
}

/// Python's white space (`str.isspace`).
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn set(values: &mut Values, key: String, value: String) {
    match values.iter_mut().find(|(known, _)| *known == key) {
        Some((_, known)) => *known = value,
        None => values.push((key, value)),
    }
}

impl Ini {
    /// Parses a file. The error is the number of the first invalid line.
    pub(crate) fn parse(text: &str) -> Result<Self, usize> {
        let mut ini = Self { defaults: Vec::new(), sections: Vec::new() };
        let mut seen = BTreeSet::new();
        // The current section's name and the lines of its current value. A value may continue on indented lines.
        let (mut section, mut value): (Option<String>, Option<(String, Vec<&str>)>) = (None, None);
        let mut indent = 0;
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        for (number, line) in (1..).zip(text.lines()) {
            let trimmed = line.trim_matches(is_space);
            if trimmed.starts_with(['#', ';']) {
                continue;
            }
            if trimmed.is_empty() {
                if let Some((_, lines)) = &mut value {
                    lines.push("");
                }
                continue;
            }
            let depth = line.chars().take_while(|c| is_space(*c)).count();
            if let Some((_, lines)) = value.as_mut().filter(|_| depth > indent) {
                lines.push(trimmed);
                continue;
            }
            indent = depth;
            ini.store(section.as_deref(), value.take());
            if let Some(name) = header(trimmed) {
                let is_new = name == DEFAULT || seen.insert((name.to_owned(), String::new()));
                if !is_new {
                    return Err(number);
                }
                ini.open(name);
                section = Some(name.to_owned());
                continue;
            }
            let name = section.as_ref().ok_or(number)?;
            let (key, text) = trimmed.split_once(['=', ':']).ok_or(number)?;
            let key = key.trim_end_matches(is_space).to_lowercase();
            if key.is_empty() || !seen.insert((name.clone(), key.clone())) {
                return Err(number);
            }
            value = Some((key, vec![text.trim_matches(is_space)]));
        }
        ini.store(section.as_deref(), value);
        Ok(ini)
    }

    fn open(&mut self, name: &str) {
        if name != DEFAULT {
            self.sections.push((name.to_owned(), Values::new()));
        }
    }

    /// Stores a value, whose lines are joined, in the section `name`.
    fn store(&mut self, name: Option<&str>, value: Option<(String, Vec<&str>)>) {
        let (Some(name), Some((key, lines))) = (name, value) else { return };
        let text = lines.join("\n").trim_end_matches(is_space).to_owned();
        match self.sections.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => set(values, key, text),
            None => set(&mut self.defaults, key, text),
        }
    }

    /// Returns the names of the sections, without the section for defaults.
    pub(crate) fn sections(&self) -> impl Iterator<Item = &str> {
        self.sections.iter().map(|(name, _)| name.as_str())
    }

    /// Returns the values of a section and the defaults, with upper-case keys as EarthDaily's client has them; `None`
    /// without such a section. Fails with the key of an invalid reference.
    pub(crate) fn values(&self, name: &str) -> Option<Result<BTreeMap<String, String>, String>> {
        let all = self.raw(name)?;
        let map: BTreeMap<_, _> = all.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let mut left = MAX_REFERENCES;
        let value = |(key, value): &(String, String)| {
            let mut text = String::new();
            replace(&map, value, &mut text, 1, &mut left).ok_or_else(|| key.clone())?;
            Ok((key.to_uppercase(), text))
        };
        Some(all.iter().map(value).collect())
    }

    /// Returns the values of a section and the defaults, with lower-case keys and without replaced references.
    pub(crate) fn raw(&self, name: &str) -> Option<Values> {
        let none = Values::new();
        let own = match self.sections.iter().find(|(known, _)| known == name) {
            Some((_, values)) => values,
            None if name == DEFAULT => &none,
            None => return None,
        };
        let mut all = own.clone();
        all.extend(
            self.defaults.iter().filter(|(key, _)| !own.iter().any(|(known, _)| known == key)).cloned(),
        );
        Some(all)
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
        let ini = Ini::parse(text).unwrap_or_else(|line| panic!("line {line}"));
        ini.values(section).expect("a section").unwrap_or_else(|key| panic!("key {key}"))
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
        assert_eq!(ini.sections().collect::<Vec<_>>(), ["default", " work "]);
        assert_eq!(ini.values(" work ").expect("a section"), Err("two".to_owned()));
        assert!(ini.values("work").is_none() && ini.values(DEFAULT).is_some());
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
        let ini = Ini::parse(&format!("[x]\n{text}\ni =\n")).expect("valid");
        assert_eq!(ini.values("x"), Some(Err("a".to_owned())));
        let ini = Ini::parse("[x]\na = %(a)s\n").expect("valid");
        assert_eq!(ini.values("x"), Some(Err("a".to_owned())));
    }
}
