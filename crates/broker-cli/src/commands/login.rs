//! `broker login`.

use std::io::Read;

use broker::{Broker, Clock, Error, Secret, SystemClock};

use super::{Desk, Outcome};
use crate::args::Login;
use crate::run::run as run_async;
use crate::words;

/// More than any password or token.
const LONGEST: u64 = 64 * 1024;

pub(super) fn run(desk: &Desk<'_>, args: &Login) -> Outcome {
    let broker = desk.broker(&args.provider)?;
    let how = if args.refresh_token_stdin {
        broker::Login::RefreshToken(from_stdin("--refresh-token-stdin")?)
    } else if args.password_stdin {
        broker::Login::Password(from_stdin("--password-stdin")?)
    } else {
        broker::Login::Usual
    };
    log_in(desk, &broker, &args.provider, how)
}

/// Logs in and says who is signed in now.
pub(super) fn log_in(desk: &Desk<'_>, broker: &Broker, provider: &str, how: broker::Login) -> Outcome {
    let ended = run_async(broker, broker.login(provider, how));
    desk.terminal.clear();
    let logged_in = ended?;
    let whose = logged_in.account.map(|account| format!(" as {account}")).unwrap_or_default();
    let left = logged_in.token.and_then(|token| token.window().left(SystemClock.now()));
    let left =
        left.map(|left| format!("; the token is good for {}", words::duration(left))).unwrap_or_default();
    desk.say(&format!("{provider}: signed in{whose}{left}"));
    Ok(())
}

/// A secret from standard input, without the line end after it.
fn from_stdin(flag: &str) -> Outcome<Secret> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(LONGEST).read_to_string(&mut text);
    read.map_err(|error| Error::failed("standard input cannot be read").with_source(error))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(Error::usage(format!("{flag}: nothing came on standard input")).into()),
        text if text.contains(char::is_control) => {
            Err(Error::usage(format!("{flag}: more than one line came on standard input")).into())
        }
        secret => Ok(Secret::new(secret)),
    }
}
