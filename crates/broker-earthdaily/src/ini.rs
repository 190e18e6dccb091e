//! A parser for INI files in the dialect of Python's `configparser`.

pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) values: Vec<(String, String)>,
}

/// Parses the text of an INI file. The error is the number of the first invalid line.
pub(crate) fn read(text: &str) -> Result<Vec<Section>, usize> {
    let mut sections: Vec<Section> = Vec::new();
    for (number, line) in (1_usize..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            let name = name.strip_suffix(']').ok_or(number)?.trim();
            sections.push(Section { name: name.to_owned(), values: Vec::new() });
            continue;
        }
        let (key, value) = line.split_once(['=', ':']).filter(|(key, _)| is_key(key.trim())).ok_or(number)?;
        let section = sections.last_mut().ok_or(number)?;
        section.values.push((key.trim().to_owned(), unquoted(value.trim()).to_owned()));
    }
    Ok(sections)
}

fn is_key(key: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !key.is_empty() && key.chars().all(plain)
}

/// Removes the quotes that older clients wrote around values.
fn unquoted(value: &str) -> &str {
    let inside = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or_else(|| inside('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ini_parser_reads_sections_comments_and_quotes() {
        let text = "\u{feff}# words\r\n[default]\r\n a = \"x # y\"\r\nB: 'p=q'\n; more\n\n[ work ]\nempty =\nhalf = \"z\n";
        let [default, work] = &read(text).unwrap_or_else(|line| panic!("line {line}"))[..] else {
            panic!("two sections")
        };
        let values = |pairs: [(&str, &str); 2]| pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!((default.name.as_str(), work.name.as_str()), ("default", "work"));
        assert_eq!(default.values, values([("a", "x # y"), ("B", "p=q")]));
        assert_eq!(work.values, values([("empty", ""), ("half", "\"z")]));
    }

    #[test]
    fn ini_parser_returns_number_of_first_invalid_line() {
        for (text, line) in
            [("a = b", 1), ("[x]\njust words", 2), ("[x\n", 1), ("[x]\n= y", 2), ("[x]\n{\"a\": 1}", 2)]
        {
            assert_eq!(read(text).err(), Some(line), "{text}");
        }
    }
}
