//! Parses dotenv files.

use std::collections::BTreeMap;

use broker_core::Secret;

/// Whether a variable's name begins with one of the prefixes. Some tools ignore the case of variable names.
pub(crate) fn is_in_family(prefixes: &[&str], name: &str) -> bool {
    let begins = |start: &&str| name.get(..start.len()).is_some_and(|own| own.eq_ignore_ascii_case(start));
    prefixes.iter().any(begins)
}

/// Parses lines as python-dotenv does, with `export`, quotes, comments and `${NAME}`, but only of names in the same file:
/// a URL from the environment must not get a secret of the file. Fails with the first invalid line and the reason.
pub(crate) fn parse(
    text: &str,
    prefixes: &[&str],
) -> Result<BTreeMap<String, Secret>, (usize, &'static str)> {
    let (mut variables, mut size) = (BTreeMap::new(), 0);
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    while !rest.is_empty() {
        if rest.starts_with('#') {
            rest = after_line(rest).trim_start();
            continue;
        }
        let line = 1 + text[..text.len() - rest.len()].matches('\n').count();
        let (name, value, after) = variable(rest).ok_or((line, "this line is not NAME=VALUE"))?;
        let value = match expand(&value, &variables) {
            None if is_in_family(prefixes, name) => {
                return Err((line, "`${NAME}` refers to a variable that the lines above do not set"));
            }
            expanded => expanded.unwrap_or(value),
        };
        // References to references multiply.
        size += value.len();
        if size > MAX_SIZE {
            return Err((line, "the values up to this line are longer than 1 MiB"));
        }
        variables.insert(name.to_owned(), Secret::new(value));
        rest = after.trim_start();
    }
    Ok(variables)
}

/// Returns the name and value of the first variable, and the text after its line.
fn variable(text: &str) -> Option<(&str, String, &str)> {
    let text = match text.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start_matches([' ', '\t']),
        _ => text,
    };
    let (name, rest) = text.split_once('=')?;
    let name = name.trim_end_matches([' ', '\t']);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || !name.chars().all(plain) {
        return None;
    }
    let value = rest.trim_start_matches([' ', '\t']);
    if value.len() < rest.len() && value.starts_with('#') {
        return Some((name, String::new(), after_line(value)));
    }
    if let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let (value, after) = quoted(&value[1..], quote)?;
        let line = after.lines().next().unwrap_or_default().trim_start();
        return (line.is_empty() || line.starts_with('#')).then(|| (name, value, after_line(after)));
    }
    let line = value.lines().next().unwrap_or_default();
    // `#` starts a comment only after white space, because `#` may be part of a secret.
    let comment = line.match_indices('#').find(|(at, _)| line[..*at].ends_with([' ', '\t']));
    let line = comment.map_or(line, |(at, _)| &line[..at]);
    Some((name, line.trim_end().to_owned(), after_line(value)))
}

/// The characters that a backslash escapes in quotes, and their meanings. Single quotes know the first two.
const ESCAPES: (&str, &str) = (r#"\'"nrtabfv"#, "\\'\"\n\r\t\x07\x08\x0c\x0b");

/// Returns the text up to the closing quote, which may be on a later line, and the text after that quote.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            c if c == quote => return Some((value, &text[at + 1..])),
            '\\' => {
                let next = characters.next()?.1;
                let known = if quote == '"' { usize::MAX } else { 2 };
                match ESCAPES.0.chars().zip(ESCAPES.1.chars()).take(known).find(|(name, _)| *name == next) {
                    Some((_, meaning)) => value.push(meaning),
                    None => value.extend(['\\', next]),
                }
            }
            other => value.push(other),
        }
    }
    None
}

/// The size limit, in bytes, of all values of a file.
const MAX_SIZE: usize = 1024 * 1024;

/// Replaces `${NAME}` and `${NAME:-DEFAULT}`. Returns `None` if a variable is unknown and has no default.
fn expand(value: &str, variables: &BTreeMap<String, Secret>) -> Option<String> {
    let (mut text, mut rest) = (String::new(), value);
    while let Some((before, after)) = rest.split_once("${") {
        text.push_str(before);
        let reference = after.split_once('}').and_then(|(reference, end)| match reference.split_once(':') {
            Some((name, default)) => Some((name, Some(default.strip_prefix('-')?), end)),
            None => Some((reference, None, end)),
        });
        // Python leaves other references as they are.
        let Some((name, default, end)) = reference else {
            text.push_str("${");
            rest = after;
            continue;
        };
        text.push_str(variables.get(name).map(Secret::expose).or(default)?);
        rest = end;
        (text.len() <= MAX_SIZE).then_some(())?;
    }
    text.push_str(rest);
    Some(text)
}

fn after_line(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotenv_file_is_parsed_as_by_python_dotenv() {
        let text = "\u{feff}# words\r\nA=b\r\nexport B = \"x # \\\"y\\\"\\n\" # comment\nC='it''s'\n";
        assert_eq!(parse(text, &["LAB_"]).err().map(|error| error.0), Some(4), "text after a quote");
        let text = "A=b # c\nB=b#c\n\n  C='\\'x\\n'\nD=\nE=\"two\nlines\"\nF=$A '${B}' ${X:-y}\nA=again\nG=#\nexport=x\n\
             H= # c\nI='${A}/${B}'\nJ=${X}\n";
        let expected = [
            ("A", "again"),
            ("B", "b#c"),
            ("C", "'x\\n"),
            ("D", ""),
            ("E", "two\nlines"),
            ("F", "$A 'b#c' y"),
            ("G", "#"),
            ("H", ""),
            ("I", "again/b#c"),
            ("J", "${X}"),
            ("export", "x"),
        ];
        let read = parse(text, &["LAB_"]).unwrap_or_else(|(line, why)| panic!("line {line}: {why}"));
        let read: Vec<_> = read.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn invalid_dotenv_line_is_reported_by_its_number() {
        for (text, line) in [
            ("A=b\nwords", 2),
            ("\n\n=b", 3),
            ("A=\"x\ny", 1),
            ("A='x' y", 1),
            ("[section]\nA=b", 1),
            ("{\"A\": 1}", 1),
            ("\0\0", 1),
            ("A=b\nLAB_URL=${B}/t", 2),
        ] {
            assert_eq!(parse(text, &["LAB_"]).err().map(|error| error.0), Some(line), "{text}");
        }
    }
}
