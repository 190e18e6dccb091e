//! Asks questions on the terminal.

use std::io::IsTerminal;
use std::sync::Mutex;

use broker::{Error, ErrorCode, Result};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// The terminal's settings before a prompt turned the echo off.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Turns the echo off. The question is printed later, because the user may type at once.
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

/// Asks a question if standard input is a terminal. A separate thread reads, so that signals are still handled.
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
        // This source marks an empty answer, so that callers can ask again. At the end of the input they cannot.
        Ok(text) if text.is_empty() => Err(Error::new(ErrorCode::Cancelled, "nothing was typed")
            .with_source(std::io::Error::from(std::io::ErrorKind::InvalidInput))),
        Ok(text) => Ok(text),
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::Interrupted | std::io::ErrorKind::UnexpectedEof
            ) =>
        {
            Err(Error::new(ErrorCode::Cancelled, "stopped at the question"))
        }
        Err(error) => {
            Err(Error::new(ErrorCode::ReadFailed, "cannot read from the terminal").with_source(error))
        }
    }
}
