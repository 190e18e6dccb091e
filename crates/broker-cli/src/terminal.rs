//! The person at the terminal: prompts, the code to approve a login with, the time that is left.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use broker::{DeviceCode, Error, ErrorKind, Person, Result, Secret, ServiceUrl, printable};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::report::say;
use crate::words;

/// The lines that stand below the QR code.
const WORDS_BELOW: usize = 11;

/// The terminal as it was before a prompt hid what is typed.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Hides what is typed, before a prompt is seen that somebody could answer at once.
fn hide() {
    let stdin = std::io::stdin();
    let (Ok(mut before), Ok(now)) = (BEFORE.lock(), tcgetattr(&stdin)) else { return };
    let mut hidden = now.clone();
    hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
    *before = Some(now);
    let _ = tcsetattr(&stdin, OptionalActions::Now, &hidden);
}

/// Puts the terminal back as it was, if a prompt was cut short.
pub(crate) fn restore() {
    if let Some(before) = BEFORE.lock().ok().and_then(|mut before| before.take()) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &before);
    }
}

/// Whether stderr is a terminal that colours may be used on (`NO_COLOR`).
pub(crate) fn colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Asks on the terminal, tells on stderr.
#[derive(Debug)]
pub(crate) struct Terminal {
    quiet: bool,
    browser: bool,
    /// Whether the line of the time that is left stands there.
    counting: Mutex<bool>,
}

impl Terminal {
    pub(crate) fn new(quiet: bool, browser: bool) -> Self {
        Self { quiet, browser, counting: Mutex::new(false) }
    }

    /// Takes away the line of the time that is left.
    pub(crate) fn clear(&self) {
        if let Ok(mut counting) = self.counting.lock()
            && std::mem::take(&mut *counting)
        {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

#[async_trait]
impl Person for Terminal {
    async fn ask(&self, question: &str) -> Result<String> {
        let question = question.to_owned();
        prompt(move || {
            write!(std::io::stderr().lock(), "{question}: ")?;
            let mut line = String::new();
            match std::io::stdin().read_line(&mut line)? {
                0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
                _ => Ok(line.trim().to_owned()),
            }
        })
        .await
    }

    async fn ask_hidden(&self, question: &str) -> Result<Secret> {
        let question = format!("{question}: ");
        hide();
        let answer = prompt(move || rpassword::prompt_password(question)).await;
        restore();
        answer.map(Secret::new)
    }

    fn show_code(&self, code: &DeviceCode) {
        let DeviceCode { verification_uri, verification_uri_complete, user_code, .. } = code;
        let (bold, plain) = if colours(&std::io::stderr()) { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        let url = printable(verification_uri_complete.as_ref().unwrap_or(verification_uri));
        if std::io::stderr().is_terminal()
            && let Some(picture) = qr(&url)
        {
            say(&picture);
        }
        let code = printable(user_code);
        say(&format!("To sign in, open this page on any device:\n\n    {bold}{url}{plain}\n"));
        say(&format!("and make sure it shows this code (or enter it):\n\n    {bold}{code}{plain}\n"));
        if self.browser && browser_is_here() && ServiceUrl::parse(&url).is_ok() {
            // It may take its time, or the terminal: the login does not wait for it.
            std::thread::spawn(move || webbrowser::open(&url));
        }
    }

    fn waiting(&self, left: Duration) {
        if self.quiet || !std::io::stderr().is_terminal() {
            return;
        }
        if let Ok(mut counting) = self.counting.lock() {
            *counting = true;
            let left = words::duration(left);
            let mut stderr = std::io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[KWaiting, {left} left (Ctrl-C to stop)");
            let _ = stderr.flush();
        }
    }

    fn tell(&self, message: &str) {
        if !self.quiet {
            self.clear();
            say(&printable(message));
        }
    }
}

/// Asks where somebody sits; the answer is waited for in a thread, so that signals are heard meanwhile.
async fn prompt(ask: impl FnOnce() -> std::io::Result<String> + Send + 'static) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::login_required(
            "a question has to be answered, and standard input is not a terminal",
        ));
    }
    let answer =
        tokio::task::spawn_blocking(ask).await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    match answer {
        Ok(text) if text.is_empty() => Err(Error::new(ErrorKind::Cancelled, "nothing was typed")),
        Ok(text) => Ok(text),
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::Interrupted | std::io::ErrorKind::UnexpectedEof
            ) =>
        {
            Err(Error::new(ErrorKind::Cancelled, "stopped at the prompt"))
        }
        Err(error) => Err(Error::failed("the terminal cannot be read").with_source(error)),
    }
}

/// A QR code that scans on dark and light terminals: its colours are set, not left to the theme.
fn qr(url: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(url, EcLevel::L).ok()?;
    // Two modules a row, and a quiet zone; a picture that scrolls or wraps cannot be scanned.
    let (width, height) = (code.width() + 8, code.width() / 2 + 5);
    let size = tcgetwinsize(std::io::stderr()).ok()?;
    // A terminal that does not tell its size (0) may have any.
    let fits = |room: u16, needed| room == 0 || usize::from(room) >= needed;
    if !fits(size.ws_col, width) || !fits(size.ws_row, height + WORDS_BELOW) {
        return None;
    }
    let (dark, light) = (Dense1x2::Dark, Dense1x2::Light);
    if !colours(&std::io::stderr()) {
        // Most terminals are dark: what is printed is the light part.
        return Some(code.render::<Dense1x2>().dark_color(light).light_color(dark).build());
    }
    let picture = code.render::<Dense1x2>().dark_color(dark).light_color(light).build();
    let lines = picture.lines().map(|line| format!("\x1b[38;2;0;0;0;48;2;255;255;255m{line}\x1b[0m"));
    Some(lines.collect::<Vec<_>>().join("\n"))
}

/// Whether a browser opened here would be seen by whoever typed the command.
fn browser_is_here() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let far = set("SSH_CONNECTION") || set("SSH_TTY");
    let display = cfg!(not(target_os = "linux")) || set("DISPLAY") || set("WAYLAND_DISPLAY");
    !far && display
}
