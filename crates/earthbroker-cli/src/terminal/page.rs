//! The login instructions: the page's address, the code, and a QR code for phones.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use super::paint;

/// The size of a terminal in characters.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

impl Size {
    /// Returns the number of rows that a text fills.
    fn rows_of(self, text: &str) -> usize {
        text.chars().count().div_ceil(self.columns.max(1))
    }
}

/// Instructions for a login that the user completes with a code, on any device.
pub(super) struct DeviceLogin<'a> {
    pub(super) url: &'a str,
    pub(super) code: &'a str,
    /// Whether `url` contains `code`, so that the user need not enter the code.
    pub(super) complete: bool,
}

/// A login code with more characters than this is printed without spaces between the characters.
const MAX_SPACED: usize = 12;

/// Screen columns between the QR code and the text beside it.
const GAP: usize = 2;

impl DeviceLogin<'_> {
    /// Returns the login instructions in one line, for logs, notebooks and pipes.
    pub(super) fn line(&self) -> String {
        let then = if self.complete { "check that it shows" } else { "enter" };
        format!("To log in, open {} and {then} the code {}", self.url, self.code)
    }

    /// Returns the login instructions for a terminal. A QR code that does not fit is left out, and also without
    /// `pictures`: in ASCII, it would be wider than most terminals.
    pub(super) fn picture(&self, size: Size, colours: bool, pictures: bool) -> String {
        let code = self.code_in_a_box(colours, pictures);
        let url_rows = size.rows_of(self.url);
        // The first line, the URL and the countdown also need rows on the screen.
        let room = size.rows.saturating_sub(url_rows + 2);
        let qr = qr(self.url, colours).filter(|qr| pictures && qr.width <= size.columns);
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
            "To log in, scan this code or open this page:"
        } else {
            "To log in, open this page on any device:"
        };
        let blank = if lines.len() + 2 <= room { "\n" } else { "" };
        let url = paint(colours, 1, self.url);
        format!("{head}\n{blank}{url}\n{blank}{}", lines.join("\n"))
    }

    /// Returns the login code in a box, without spaces if the user has to copy the code.
    fn code_in_a_box(&self, colours: bool, pictures: bool) -> Block {
        let spaced = self.complete && self.code.chars().count() <= MAX_SPACED;
        let spread = || self.code.chars().map(String::from).collect::<Vec<_>>().join(" ");
        let code = if spaced { spread() } else { self.code.to_owned() };
        let [line, side, corners @ ..] = if pictures {
            ["─", "│", "╭", "╮", "╰", "╯"]
        } else {
            ["-", "|", "+", "+", "+", "+"]
        };
        let [top_left, top_right, bottom_left, bottom_right] = corners;
        let bar = line.repeat(code.chars().count() + 4);
        let words = if self.complete { "The page must show this code:" } else { "Enter this code there:" };
        let width = words.chars().count().max(bar.chars().count() + 2);
        let lines = vec![
            words.to_owned(),
            format!("{top_left}{bar}{top_right}"),
            format!("{side}  {}  {side}", paint(colours, 1, &code)),
            format!("{bottom_left}{bar}{bottom_right}"),
        ];
        Block { lines, width }
    }
}

/// Returns the instructions on a terminal for a login in a browser on this machine. One line contains only the URL, for
/// copying. There is no QR code, because the service redirects to this machine, which a phone cannot reach. `opens`
/// means that a browser opens automatically.
pub(super) fn browser_login(url: &str, opens: bool, size: Size, colours: bool) -> String {
    let words = if opens {
        "To log in, use the browser that opens now, or open this page on this machine:"
    } else {
        "To log in, open this page in a browser:"
    };
    let rows = size.rows_of(words) + size.rows_of(url);
    // The screen's last row is reserved for the countdown or a question.
    let blank = if rows + 3 <= size.rows { "\n" } else { "" };
    format!("{words}\n{blank}{}{blank}", paint(colours, 1, url))
}

/// Lines of text, and their width on the screen without control sequences.
struct Block {
    lines: Vec<String>,
    width: usize,
}

impl Block {
    /// Returns this block's lines with the lines of `other` to the right, centred vertically.
    fn beside(&self, other: &Self) -> Vec<String> {
        let above = self.lines.len().saturating_sub(other.lines.len()) / 2;
        let line = |(number, line): (usize, &String)| {
            let beside = number.checked_sub(above).and_then(|number| other.lines.get(number));
            beside.map_or_else(|| line.clone(), |beside| format!("{line}{}{beside}", " ".repeat(GAP)))
        };
        self.lines.iter().enumerate().map(line).collect()
    }
}

/// Renders a QR code in fixed colours, which a camera can read on dark and light terminals.
fn qr(url: &str, colours: bool) -> Option<Block> {
    let code = QrCode::with_error_correction_level(url, EcLevel::L).ok()?;
    let (dark, light) = (Dense1x2::Dark, Dense1x2::Light);
    // Without colours, the terminal is assumed to show light characters on a dark background.
    let (dark, light) = if colours { (dark, light) } else { (light, dark) };
    let image = code.render::<Dense1x2>().dark_color(dark).light_color(light).build();
    // Colours 16 and 231 are black and white in every theme.
    let (before, after) = if colours { ("\x1b[38;5;16;48;5;231m", "\x1b[0m") } else { ("", "") };
    let lines: Vec<_> = image.lines().map(|line| format!("{before}{line}{after}")).collect();
    let width = image.lines().map(|line| line.chars().count()).max()?;
    Some(Block { lines, width })
}
