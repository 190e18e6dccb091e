//! Asks the user questions on the terminal, shows login instructions and a countdown, and opens pages in a browser.

mod page;

use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use broker_core::{ServiceUrl, sanitize};
use earthbroker::{DeviceCode, Error, ErrorCode, Prompt, Result, Secret};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::humanize;
use crate::report::{draw, say};
use page::{DeviceLogin, Size, browser_login};

/// The frames of the spinner in the countdown.
const SPINNER: [char; 4] = ['◐', '◓', '◑', '◒'];
const ASCII_SPINNER: [char; 4] = ['-', '\\', '|', '/'];

/// Whether output to a stream may have colours: the stream is a terminal, and `NO_COLOR` is not set.
pub(crate) fn colours(stream: &impl IsTerminal) -> bool {
    let none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !is_dumb() && !none
}

/// Whether the terminal supports no control sequences (`TERM=dumb`), like the shell window of an editor.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Whether the terminal can show box-drawing and block characters. The fonts of consoles and old terminals lack them.
fn has_pictures() -> bool {
    const WITHOUT: [&str; 10] =
        ["linux", "vt1", "vt2", "vt3", "vt4", "vt5", "ansi", "cons", "dumb", "unknown"];
    let term = std::env::var("TERM").unwrap_or_default();
    humanize::is_utf8() && !WITHOUT.iter().any(|name| term.starts_with(name))
}

/// Returns the text in a colour or style of the control sequence `SGR` (ECMA-48), such as 1 for bold.
pub(crate) fn paint(colours: bool, style: u8, text: &str) -> String {
    if colours { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Returns the size of the terminal on stderr, if the terminal supports control sequences.
fn size() -> Option<Size> {
    let stderr = std::io::stderr();
    let size = tcgetwinsize(&stderr).ok().filter(|_| stderr.is_terminal() && !is_dumb())?;
    // A terminal that does not know its size reports 0.
    let known = |size: u16| if size == 0 { usize::MAX } else { usize::from(size) };
    Some(Size { columns: known(size.ws_col), rows: known(size.ws_row) })
}

/// Asks the user on the terminal, and prints messages and login instructions on stderr.
#[derive(Debug)]
pub(crate) struct Terminal {
    quiet: bool,
    browser: bool,
    /// How many times the countdown was drawn; 0 if no countdown is on the screen.
    drawn: Mutex<usize>,
    /// The environment variables that child processes do not get.
    pub(crate) withheld: OnceLock<Vec<String>>,
}

impl Terminal {
    pub(crate) fn new(quiet: bool, browser: bool) -> Self {
        Self { quiet, browser, drawn: Mutex::default(), withheld: OnceLock::new() }
    }

    pub(crate) fn withheld(&self) -> &[String] {
        self.withheld.get().map(Vec::as_slice).unwrap_or_default()
    }

    /// Prints the text that `instructions` returns, and opens the page in a browser if possible. `instructions` gets
    /// whether a browser opens. The text is printed even with `--quiet`, because the user needs it to log in.
    fn show(&self, url: &str, instructions: impl FnOnce(bool) -> String) {
        let opens = self.browses() && ServiceUrl::parse(url).is_ok();
        draw(&instructions(opens));
        if opens {
            open_in_browser(url, self.withheld());
        }
    }

    /// Removes the countdown from the screen.
    pub(crate) fn clear(&self) {
        if let Ok(mut drawn) = self.drawn.lock()
            && std::mem::take(&mut *drawn) > 0
        {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

#[async_trait]
impl Prompt for Terminal {
    async fn ask(&self, question: &str) -> Result<String> {
        let question = sanitize(question);
        let ask = move || {
            let stderr = std::io::stderr();
            write!(stderr.lock(), "{}: ", humanize::displayable(&question, &stderr))?;
            let mut line = String::new();
            match std::io::stdin().read_line(&mut line)? {
                0 => Err(ErrorKind::UnexpectedEof.into()),
                _ => Ok(line.trim().to_owned()),
            }
        };
        prompt(ask).await
    }

    async fn ask_hidden(&self, question: &str) -> Result<Secret> {
        let question = humanize::displayable(&(sanitize(question) + ": "), &std::io::stderr()).into_owned();
        hide();
        let answer = prompt(move || rpassword::prompt_password(question)).await;
        restore();
        answer.map(Secret::new)
    }

    fn show_code(&self, code: &DeviceCode) {
        let DeviceCode { verification_uri, verification_uri_complete, user_code, .. } = code;
        let url = sanitize(verification_uri_complete.as_ref().unwrap_or(verification_uri));
        let complete = verification_uri_complete.is_some();
        let page = DeviceLogin { url: &url, code: &sanitize(user_code), complete };
        self.show(&url, |_| match size() {
            Some(size) => page.picture(size, colours(&std::io::stderr()), has_pictures()),
            None => page.line(),
        });
    }

    fn show_page(&self, url: &str) {
        let url = sanitize(url);
        self.show(&url, |opens| match size() {
            Some(size) => browser_login(&url, opens, size, colours(&std::io::stderr())),
            None => format!("To log in, open {url}"),
        });
    }

    fn browses(&self) -> bool {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        // The user must see the browser, which opens on this machine.
        let remote = set("SSH_CONNECTION") || set("SSH_TTY");
        let display = cfg!(not(target_os = "linux")) || set("DISPLAY") || set("WAYLAND_DISPLAY");
        self.browser && !remote && display
    }

    fn waiting(&self, left: Duration) {
        let Some(size) = size().filter(|_| !self.quiet) else { return };
        if let Ok(mut drawn) = self.drawn.lock() {
            let frames = if has_pictures() { SPINNER } else { ASCII_SPINNER };
            let spinner = frames[*drawn % frames.len()];
            *drawn += 1;
            let line = format!("{spinner} Waiting, {} left (Ctrl-C to stop)", humanize::duration(left));
            // The line is cut to the screen's width, because a wrapped line could not be erased.
            let line: String = line.chars().take(size.columns.saturating_sub(1)).collect();
            let mut stderr = std::io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[K{line}");
            let _ = stderr.flush();
        }
    }

    fn notify(&self, message: &str) {
        if !self.quiet {
            self.clear();
            say(message);
        }
    }
}

/// With this name as `argv[0]`, this program only opens a page in the browser.
const OPENER: &str = "broker-open-page";

/// Opens a page in the background, in a separate process without the environment variables in `without`: the browser
/// must not inherit secrets.
fn open_in_browser(url: &str, without: &[String]) {
    // On Linux, this path stays valid after an upgrade replaces the program's file.
    let linux = Path::new("/proc/self/exe").to_owned();
    let program = if cfg!(target_os = "linux") { Ok(linux) } else { std::env::current_exe() };
    let Ok(program) = program else { return };
    let mut command = Command::new(program);
    command.arg0(OPENER).arg(url);
    for name in without {
        command.env_remove(name);
    }
    // If the browser cannot be started, the user can open the printed address.
    let Ok(mut opener) = command.spawn() else { return };
    std::thread::spawn(move || opener.wait());
}

/// If [`open_in_browser`] started this process, opens the URL from the arguments and returns true.
pub(crate) fn open_page(words: &[OsString]) -> bool {
    let [name, url] = words else { return false };
    let is_opener = name.as_os_str() == OsStr::new(OPENER);
    if let Some(url) = url.to_str().filter(|_| is_opener) {
        let _ = webbrowser::open(url);
    }
    is_opener
}

/// The terminal's settings before a prompt hid the typed characters.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Hides typed characters, before the question is printed, because users may type early.
fn hide() {
    let stdin = std::io::stdin();
    let (Ok(mut before), Ok(now)) = (BEFORE.lock(), tcgetattr(&stdin)) else { return };
    let mut hidden = now.clone();
    hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
    *before = Some(now);
    let _ = tcsetattr(&stdin, OptionalActions::Now, &hidden);
}

/// Restores the terminal's settings after an interrupted prompt.
pub(crate) fn restore() {
    if let Some(before) = BEFORE.lock().ok().and_then(|mut before| before.take()) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &before);
    }
}

/// Asks a question if standard input is a terminal. Another thread waits for the answer, because this thread handles
/// signals.
async fn prompt(ask: impl FnOnce() -> std::io::Result<String> + Send + 'static) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        let why = "cannot ask a question: standard input is not a terminal";
        return Err(Error::new(ErrorCode::PromptUnavailable, why));
    }
    let answer = tokio::task::spawn_blocking(ask).await.unwrap_or_else(|error| Err(error.into()));
    let cancelled = |why: &str| Error::new(ErrorCode::Cancelled, why);
    match answer {
        // The error source `InvalidInput` marks an empty answer, after which callers ask again.
        Ok(text) if text.is_empty() => {
            Err(cancelled("the answer is empty").with_source(std::io::Error::from(ErrorKind::InvalidInput)))
        }
        Ok(text) => Ok(text),
        Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::UnexpectedEof) => {
            Err(cancelled("the question was not answered: interrupted, or standard input ended"))
        }
        Err(error) => {
            Err(Error::new(ErrorCode::ReadFailed, "cannot read from the terminal").with_source(error))
        }
    }
}
