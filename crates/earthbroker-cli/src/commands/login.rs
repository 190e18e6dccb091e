//! `broker login` and `broker logout`.

use broker_core::SystemClock;
use earthbroker::{Clock, LoggedIn, Login};

use super::{CommandContext, CommandResult, secret_from_stdin};
use crate::args::Login as Args;
use crate::humanize;
use crate::run::run as run_async;

pub(super) fn run(context: &CommandContext<'_>, args: &Args) -> CommandResult {
    let broker = context.broker(&args.provider)?;
    let method = if args.refresh_token_stdin {
        Login::RefreshToken(secret_from_stdin("--refresh-token-stdin", true)?)
    } else if args.password_stdin {
        Login::Password(secret_from_stdin("--password-stdin", false)?)
    } else {
        Login::Usual
    };
    let result = run_async(&broker, broker.login(&args.provider, method));
    context.terminal.clear();
    say_logged_in(context, &args.provider, result?);
    Ok(())
}

pub(super) fn say_logged_in(context: &CommandContext<'_>, provider: &str, logged_in: LoggedIn) {
    let account = logged_in.account.map(|account| format!(" as {account}")).unwrap_or_default();
    let status = context.setup().open().and_then(|broker| broker.status(provider)).ok();
    let left = logged_in.token.and_then(|token| token.window().left(SystemClock.now()));
    let validity = match left {
        _ if status.as_ref().is_some_and(|status| status.grant) => ". Tokens renew automatically".to_owned(),
        Some(left) => format!(". The token is valid for {}", humanize::duration(left)),
        None => String::new(),
    };
    // A provider of the kind `static` has a fixed key, so its login sends no request.
    let result = if status.is_some_and(|status| status.kind == "static") {
        "the configured key was read, but not checked with the service"
    } else {
        "logged in"
    };
    context.say(&format!("{provider}: {result}{account}{validity}"));
}

pub(super) fn log_out(context: &CommandContext<'_>, provider: &str, local: bool) -> CommandResult {
    let broker = context.broker(provider)?;
    let handle = broker.provider(provider)?;
    let done = if local {
        run_async(&broker, handle.logout_locally())?
    } else {
        run_async(&broker, handle.logout())?
    };
    context.say(&match (done.had_login, done.at_service.revoked) {
        (false, _) => format!("{provider}: not logged in"),
        (true, true) => format!("{provider}: logged out, and revoked at the service"),
        (true, false) => {
            format!("{provider}: deleted the login from this machine; nothing was revoked at the service")
        }
    });
    if done.others_forgotten {
        context.say(&format!(
            "{provider}: logins of an earlier configuration were deleted too, but not revoked"
        ));
    }
    if let Some(note) = done.at_service.note {
        context.say(&format!("{provider}: {note}"));
    }
    Ok(())
}
