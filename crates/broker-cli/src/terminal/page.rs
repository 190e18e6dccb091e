//! The page of a login: where to go, the code, and a picture of it for a phone.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// How large a terminal is.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// What a person needs to sign in.
pub(super) struct Page<'a> {
    pub(super) url: &'a str,
    pub(super) code: &'a str,
    /// Whether the URL has the code in it.
    pub(super) complete: bool,
}

/// Longer codes are not spaced out.
const LONG_CODE: usize = 12;

/// Between the picture and what stands beside it.
const GAP: usize = 2;

impl Page<'_> {
    /// All in one line, for logs, notebooks and pipes.
    pub(super) fn line(&self) -> String {
        let then = if self.complete { "check that it shows" } else { "enter there" };
        format!("To sign in, open {} and {then} the code {}", self.url, self.code)
    }

    /// As much as fits: a picture that scrolls or wraps cannot be scanned.
    pub(super) fn picture(&self, size: Size, colours: bool) -> String {
        let code = self.code_in_a_box(colours);
        let url_rows = self.url.chars().count().div_ceil(size.columns.max(1));
        // The head, the URL, and the line of the time that is left.
        let room = size.rows.saturating_sub(url_rows + 2);
        let qr = qr(self.url, colours).filter(|qr| qr.width <= size.columns);
        let beside = qr.as_ref().filter(|qr| {
            qr.width + GAP + code.width <= size.columns && qr.lines.len().max(code.lines.len()) <= room
        });
        let below = qr.as_ref().filter(|qr| qr.lines.len() + 1 + code.lines.len() <= room);
        let (lines, scan) = match (beside, below) {
            (Some(qr), _) => (qr.beside(&code), true),
            (None, Some(qr)) => ([&qr.lines[..], &[String::new()], &code.lines].concat(), true),
            (None, None) => (code.lines, false),
        };
        let head = if scan {
            "To sign in, scan this, or open on any device:"
        } else {
            "To sign in, open this page on any device:"
        };
        // Where there is room, there is air.
        let air = if lines.len() + 2 <= room { "\n" } else { "" };
        let (bold, plain) = if colours { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        format!("{head}\n{air}{bold}{}{plain}\n{air}{}", self.url, lines.join("\n"))
    }

    /// The code, large: what has to be typed stays in one piece, so that it can be copied.
    fn code_in_a_box(&self, colours: bool) -> Block {
        let spaced = self.complete && self.code.chars().count() <= LONG_CODE;
        let spread = || self.code.chars().map(String::from).collect::<Vec<_>>().join(" ");
        let code = if spaced { spread() } else { self.code.to_owned() };
        let bar = "─".repeat(code.chars().count() + 4);
        let words =
            if self.complete { "and check that it shows this code:" } else { "and enter this code there:" };
        let width = words.chars().count().max(bar.chars().count() + 2);
        let (bold, plain) = if colours { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        let lines = vec![
            words.to_owned(),
            format!("╭{bar}╮"),
            format!("│  {bold}{code}{plain}  │"),
            format!("╰{bar}╯"),
        ];
        Block { lines, width }
    }
}

/// The page where a person signs in with a browser that comes back by itself. There is no picture of it: a phone could
/// not come back to this machine.
pub(super) struct SignIn<'a> {
    pub(super) url: &'a str,
    /// Whether a browser is being opened here.
    pub(super) opens: bool,
}

impl SignIn<'_> {
    /// All in one line, for logs, notebooks and pipes.
    pub(super) fn line(&self) -> String {
        format!("To sign in, open {}", self.url)
    }

    /// The URL stands in a line of its own, which the terminal alone may wrap: then it can be copied in one piece.
    pub(super) fn lines(&self, size: Size, colours: bool) -> String {
        let words = if self.opens {
            "A browser opens to sign in; if not, open this page on this machine:"
        } else {
            "To sign in, open this page in a browser:"
        };
        let words_rows = words.chars().count().div_ceil(size.columns.max(1));
        let url_rows = self.url.chars().count().div_ceil(size.columns.max(1));
        // Where there is room, there is air; the last row is for the time that is left, or a question.
        let air = if words_rows + url_rows + 3 <= size.rows { "\n" } else { "" };
        let (bold, plain) = if colours { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        format!("{words}\n{air}{bold}{}{plain}{air}", self.url)
    }
}

/// Lines of a known width, which control sequences have no part in.
struct Block {
    lines: Vec<String>,
    width: usize,
}

impl Block {
    /// This, and another in the middle of its right side.
    fn beside(&self, other: &Self) -> Vec<String> {
        let above = self.lines.len().saturating_sub(other.lines.len()) / 2;
        let line = |(number, line): (usize, &String)| {
            let beside = number.checked_sub(above).and_then(|number| other.lines.get(number));
            beside.map_or_else(|| line.clone(), |beside| format!("{line}{}{beside}", " ".repeat(GAP)))
        };
        self.lines.iter().enumerate().map(line).collect()
    }
}

/// A QR code that scans on dark and light terminals: its colours are set, not left to the theme.
fn qr(url: &str, colours: bool) -> Option<Block> {
    let code = QrCode::with_error_correction_level(url, EcLevel::L).ok()?;
    let (dark, light) = (Dense1x2::Dark, Dense1x2::Light);
    // Most terminals are dark: without colours what is printed is the light part.
    let (dark, light) = if colours { (dark, light) } else { (light, dark) };
    let picture = code.render::<Dense1x2>().dark_color(dark).light_color(light).build();
    // Of the 256 colours that every terminal has these two belong to no theme.
    let (before, after) = if colours { ("\x1b[38;5;16;48;5;231m", "\x1b[0m") } else { ("", "") };
    let lines: Vec<_> = picture.lines().map(|line| format!("{before}{line}{after}")).collect();
    let width = picture.lines().map(|line| line.chars().count()).max()?;
    Some(Block { lines, width })
}
