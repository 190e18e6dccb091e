//! The table as text.

use super::cell::Cell;
use super::hitch::Hitch;
use super::request::Request;

const HEAD: &str = "\
# What each fault comes to

Each fault meets each request that the broker sends, then the same command is typed again with the service well. The test
`fault_table` does it all and compares. To write this file anew: `UPDATE=1 cargo test -p broker-e2e fault_table`; read the
difference. Whatever stands here, the test fails where a login is lost that could have been kept, where a fault is called a
lost login or a refusal, where the record is not whole or not 0600, and where the next call does not work.

- *exit*: 0 done, 3 log in, 4 try again, 6 refused.
- *what the person reads*: stderr, with SERVICE, TIME and NAME for what is different each time; ⏎ is a new line.
- *next call*: the same command without the fault. After `Retry-After` that time has passed.
- A fault meets every request to its route, but where it says *once*, at the first poll, and at \"one grace\".
- Rotating refresh tokens: where a fault has nothing to do with rotation, see *refresh*. *One grace*: the service takes a
  spent refresh token once more. *No grace*: an answer that is lost is a login that is lost, by any client.
- Left out: fields that no answer of a request has, and `Retry-After: 120` at the first poll, which waits that long.

";

const TITLES: [&str; 7] =
    ["kind", "request", "fault", "exit", "what the person reads", "what is on disk", "next call"];

/// The whole file.
pub(crate) fn text(rows: &[(&Request, &Hitch, &Cell)]) -> String {
    let rows: Vec<[String; 7]> = rows
        .iter()
        .map(|(request, hitch, cell)| {
            [
                request.kind.to_owned(),
                request.name.to_owned(),
                hitch.name.to_owned(),
                cell.exit.to_string(),
                cell.words.replace('|', "\\|"),
                cell.disk.clone(),
                cell.next.replace('|', "\\|"),
            ]
        })
        .collect();
    let mut text = HEAD.to_owned();
    text += &line(&TITLES.map(str::to_owned));
    text += &line(&["---"; 7].map(str::to_owned));
    text + &rows.iter().map(line).collect::<String>()
}

/// The columns before the words are aligned: a table that is read as it is printed.
fn line(row: &[String; 7]) -> String {
    const WIDTHS: [usize; 7] = [12, 28, 25, 4, 0, 0, 0];
    let cells = row.iter().zip(WIDTHS).map(|(cell, width)| format!(" {cell:<width$} |"));
    format!("|{}\n", cells.collect::<String>())
}

/// The lines that are in one text only, `-` for the first.
pub(crate) fn differences(expected: &str, observed: &str) -> String {
    let only = |of: &str, not: &str, sign: &str| -> String {
        let lines = of.lines().filter(|line| !not.lines().any(|other| other == *line));
        lines.flat_map(|line| [sign, " ", line, "\n"]).collect()
    };
    only(expected, observed, "-") + &only(observed, expected, "+")
}

/// What a person reads, without what is different each time and without the page of a login.
pub(crate) fn words(err: &str, kind: &str, url: &str) -> String {
    let about = ["error:", "hint:", "warning:", "made a token", kind];
    let lines = err.lines().filter(|line| about.iter().any(|about| line.starts_with(about)));
    let lines = lines.map(|line| {
        let line = line.split(". T").next().unwrap_or(line).replace(url, "SERVICE");
        line.split(' ').map(same_each_time).collect::<Vec<_>>().join(" ").replace("TIME TIME UTC", "TIME")
    });
    lines.collect::<Vec<_>>().join(" ⏎ ")
}

/// A word, or what stands for it: times, and names of scoped tokens.
fn same_each_time(word: &str) -> String {
    let core = word.trim_end_matches([',', ';', ':', '.', ')']).trim_start_matches('(');
    let date = core.starts_with("20") && core.len() >= 10 && core.as_bytes()[4] == b'-';
    let time =
        core.len() >= 5 && core.as_bytes()[2] == b':' && core.starts_with(|c: char| c.is_ascii_digit());
    if date || time {
        word.replace(core, "TIME")
    } else if core.starts_with("broker-") && core.len() > 20 {
        word.replace(core, "NAME")
    } else {
        word.to_owned()
    }
}
