//! Formats the results of all requests and faults as `fault-table.md`, and compares them with that file.

use super::cell::Cell;
use super::hitch::Hitch;
use super::request::Request;

const HEAD: &str = "\
# Results of faults

The test `fault_table` combines each fault with each request, and then repeats the command without the fault. After a
change, `UPDATE=1 cargo test -p broker-e2e fault_table` rewrites this file; review the difference. Whatever the table says,
the test fails if a login is lost that could be kept, if a fault counts as a lost login or a refusal, if the record is
incomplete or not 0600, and if the next call fails.

- *exit*: 0 success, 3 login required, 4 try again, 6 refused.
- *code*: the code of the error.
- *next call*: the same command without the fault, after the pause that `Retry-After` asks for.
- All requests to the route have the fault; only the first one with *once*, at the first poll, and at *one grace*.
- Rotating refresh tokens: faults that do not concern rotation are under *refresh*. *One grace*: the service accepts a spent
  refresh token once more. *No grace*: every client loses the login with the response.
- Not tested: fields that a response does not have, and `Retry-After: 120` at the first poll, which takes too long.

";

const TITLES: [&str; 7] = ["kind", "request", "fault", "exit", "code", "stored", "next call"];

/// Returns the whole text of `fault-table.md`.
pub(crate) fn text(rows: &[(&Request, &Hitch, &Cell)]) -> String {
    let rows = rows.iter().map(|(request, hitch, cell)| {
        let exit = cell.exit.to_string();
        line(&[request.kind, request.name, hitch.name, &exit, &cell.code, &cell.disk, &cell.next])
    });
    let head = HEAD.to_owned() + &line(&TITLES) + &line(&["---"; 7]);
    head + &rows.collect::<String>()
}

fn line(row: &[&str; 7]) -> String {
    const WIDTHS: [usize; 7] = [12, 28, 31, 4, 19, 0, 0];
    let cells = row.iter().zip(WIDTHS).map(|(cell, width)| format!(" {cell:<width$} |"));
    format!("|{}\n", cells.collect::<String>())
}

/// Returns the code in the message `error[CODE]`, or an empty string.
pub(crate) fn code(stderr: &str) -> String {
    let code = stderr.split_once("error[").and_then(|(_, rest)| rest.split_once(']'));
    code.map_or_else(String::new, |(code, _)| code.to_owned())
}

/// Returns the lines that only one of the texts contains: `-` for expected, `+` for observed.
pub(crate) fn differences(expected: &str, observed: &str) -> String {
    let only = |of: &str, not: &str, sign: &str| -> String {
        let lines = of.lines().filter(|line| !not.lines().any(|other| other == *line));
        lines.flat_map(|line| [sign, " ", line, "\n"]).collect()
    };
    only(expected, observed, "-") + &only(observed, expected, "+")
}
