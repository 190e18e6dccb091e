//! Asks questions on the terminal.

use std::io::{ErrorKind, IsTerminal};
use std::sync::Mutex;

use earthbroker::{Error, ErrorCode, Result};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// The terminal's settings before a prompt hid the typed characters.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Hides typed characters, before the question is printed, because users may type early.
pub(super) fn hide() {
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
pub(super) async fn prompt(ask: impl FnOnce() -> std::io::Result<String> + Send + 'static) -> Result<String> {
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
