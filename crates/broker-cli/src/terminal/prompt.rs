//! Questions to the person at the terminal.

use std::io::IsTerminal;
use std::sync::Mutex;

use broker::{Error, ErrorCode, Result};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// The terminal as it was before a prompt hid what is typed.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Hides what is typed, before a prompt is seen that somebody could answer at once.
pub(super) fn hide() {
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

/// Asks where somebody sits; the answer is waited for in a thread, so that signals are heard meanwhile.
pub(super) async fn prompt(ask: impl FnOnce() -> std::io::Result<String> + Send + 'static) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::login_required(
            "a question has to be answered, and standard input is not a terminal",
        ));
    }
    let answer =
        tokio::task::spawn_blocking(ask).await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    match answer {
        // Who can ask once more tells it by its source from an end.
        Ok(text) if text.is_empty() => Err(Error::new(ErrorCode::Cancelled, "nothing was typed")
            .with_source(std::io::Error::from(std::io::ErrorKind::InvalidInput))),
        Ok(text) => Ok(text),
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::Interrupted | std::io::ErrorKind::UnexpectedEof
            ) =>
        {
            Err(Error::new(ErrorCode::Cancelled, "stopped at the prompt"))
        }
        Err(error) => Err(Error::failed("the terminal cannot be read").with_source(error)),
    }
}
