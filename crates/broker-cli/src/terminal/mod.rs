//! The person at the terminal: prompts, the page of a login, the time that is left.

mod browser;
mod page;
mod prompt;

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use broker::{DeviceCode, Prompt, Result, Secret, ServiceUrl, sanitize};
use rustix::termios::tcgetwinsize;

use crate::humanize;
use crate::report::say;
pub(crate) use browser::opened;
use page::{Page, SignIn, Size};
pub(crate) use prompt::restore;
use prompt::{hide, prompt};

/// What turns while something is waited for.
const WHEEL: [char; 4] = ['◐', '◓', '◑', '◒'];

/// Whether stderr is a terminal that colours may be used on (`NO_COLOR`).
pub(crate) fn colours(stream: &impl IsTerminal) -> bool {
    let none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !is_dumb() && !none
}

/// Whether it only shows one line after another, as an editor's shell does.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// How large the terminal on stderr is, if one is there that can do more than show one line after another.
fn size() -> Option<Size> {
    let stderr = std::io::stderr();
    let size = tcgetwinsize(&stderr).ok().filter(|_| stderr.is_terminal() && !is_dumb())?;
    // One that does not tell its size (0) may have any.
    let any = |size: u16| if size == 0 { usize::MAX } else { usize::from(size) };
    Some(Size { columns: any(size.ws_col), rows: any(size.ws_row) })
}

/// Asks on the terminal, tells on stderr.
#[derive(Debug)]
pub(crate) struct Terminal {
    quiet: bool,
    browser: bool,
    /// How often the line of the time that is left was written, while it stands there.
    counting: Mutex<usize>,
    /// The environment variables that no browser gets.
    withheld: OnceLock<Vec<String>>,
}

impl Terminal {
    pub(crate) fn new(quiet: bool, browser: bool) -> Self {
        Self { quiet, browser, counting: Mutex::default(), withheld: OnceLock::new() }
    }

    /// Whatever is started from here does not get these environment variables.
    pub(crate) fn withhold(&self, variables: Vec<String>) {
        let _ = self.withheld.set(variables);
    }

    /// The environment variables that children do not get.
    pub(crate) fn withheld(&self) -> &[String] {
        self.withheld.get().map(Vec::as_slice).unwrap_or_default()
    }

    /// Takes away the line of the time that is left.
    pub(crate) fn clear(&self) {
        if let Ok(mut counting) = self.counting.lock()
            && std::mem::take(&mut *counting) > 0
        {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

#[async_trait]
impl Prompt for Terminal {
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

    /// Shown even to who wants quiet: without it there is no login.
    fn show_code(&self, code: &DeviceCode) {
        let DeviceCode { verification_uri, verification_uri_complete, user_code, .. } = code;
        let url = sanitize(verification_uri_complete.as_ref().unwrap_or(verification_uri));
        let complete = verification_uri_complete.is_some();
        let page = Page { url: &url, code: &sanitize(user_code), complete };
        say(&match size() {
            Some(size) => page.picture(size, colours(&std::io::stderr())),
            None => page.line(),
        });
        if self.browses() && ServiceUrl::parse(&url).is_ok() {
            browser::open(&url, self.withheld());
        }
    }

    /// Shown even to who wants quiet: without it there is no login.
    fn show_page(&self, url: &str) {
        let url = sanitize(url);
        let opens = self.browses() && ServiceUrl::parse(&url).is_ok();
        let page = SignIn { url: &url, opens };
        say(&match size() {
            Some(size) => page.lines(size, colours(&std::io::stderr())),
            None => page.line(),
        });
        if opens {
            browser::open(&url, self.withheld());
        }
    }

    fn browses(&self) -> bool {
        self.browser && browser_is_here()
    }

    fn waiting(&self, left: Duration) {
        let Some(size) = size().filter(|_| !self.quiet) else { return };
        if let Ok(mut counting) = self.counting.lock() {
            let wheel = WHEEL[*counting % WHEEL.len()];
            *counting += 1;
            let line = format!("{wheel} Waiting, {} left (Ctrl-C to stop)", humanize::duration(left));
            // A line that wraps could not be taken away.
            let line: String = line.chars().take(size.columns.saturating_sub(1)).collect();
            let mut stderr = std::io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[K{line}");
            let _ = stderr.flush();
        }
    }

    fn notify(&self, message: &str) {
        if !self.quiet {
            self.clear();
            say(&sanitize(message));
        }
    }
}

/// Whether a browser opened here would be seen by whoever typed the command.
fn browser_is_here() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let far = set("SSH_CONNECTION") || set("SSH_TTY");
    let display = cfg!(not(target_os = "linux")) || set("DISPLAY") || set("WAYLAND_DISPLAY");
    !far && display
}
