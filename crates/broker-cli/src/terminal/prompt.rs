//! Asks questions on the terminal.

use std::io::IsTerminal;
use std::sync::Mutex;

use broker::{Error, ErrorCode, Result};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// The terminal's settings from before a prompt turned the display of typed characters off.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Turns the display of typed characters off, before the question is printed, because users may type early.
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

/// Asks a question if standard input is a terminal. A separate thread reads the answer, because this thread must
/// handle signals.
pub(super) async fn prompt(ask: impl FnOnce() -> std::io::Result<String> + Send + 'static) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::new(
            ErrorCode::PromptUnavailable,
            "cannot ask a question: standard input is not a terminal",
        ));
    }
    let answer =
        tokio::task::spawn_blocking(ask).await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    match answer {
        // Callers ask again after an empty answer, which this source marks, but not at the end of the input.
        Ok(text) if text.is_empty() => {
            Err(Error::new(ErrorCode::Cancelled, "the answer to the question is empty")
                .with_source(std::io::Error::from(std::io::ErrorKind::InvalidInput)))
        }
        Ok(text) => Ok(text),
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::Interrupted | std::io::ErrorKind::UnexpectedEof
            ) =>
        {
            Err(Error::new(
                ErrorCode::Cancelled,
                "the question was not answered: interrupted, or standard input ended",
            ))
        }
        Err(error) => {
            Err(Error::new(ErrorCode::ReadFailed, "cannot read from the terminal").with_source(error))
        }
    }
}
