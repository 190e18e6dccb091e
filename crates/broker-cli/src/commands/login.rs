//! `broker login`.

use broker::{Broker, Clock, Error, LoggedIn, Secret, SystemClock};

use super::{CommandContext, CommandResult, secret_from_stdin};
use crate::args::Login;
use crate::humanize;
use crate::run::run as run_async;

pub(super) fn run(context: &CommandContext<'_>, args: &Login) -> CommandResult {
    let broker = context.broker(&args.provider)?;
    let how = if args.refresh_token_stdin {
        broker::Login::RefreshToken(from_stdin("--refresh-token-stdin")?)
    } else if args.password_stdin {
        broker::Login::Password(from_stdin("--password-stdin")?)
    } else {
        broker::Login::Usual
    };
    log_in(context, &broker, &args.provider, how)
}

fn log_in(
    context: &CommandContext<'_>,
    broker: &Broker,
    provider: &str,
    how: broker::Login,
) -> CommandResult {
    let ended = run_async(broker, broker.login(provider, how));
    context.terminal.clear();
    say_signed_in(context, provider, ended?);
    Ok(())
}

pub(super) fn say_signed_in(context: &CommandContext<'_>, provider: &str, logged_in: LoggedIn) {
    let whose = logged_in.account.map(|account| format!(" as {account}")).unwrap_or_default();
    let status = context.setup().open().and_then(|broker| broker.status(provider)).ok();
    let left = logged_in.token.and_then(|token| token.window().left(SystemClock.now()));
    let left = left.map(|left| {
        let renewed = status.as_ref().is_some_and(|status| status.grant);
        let renewed = if renewed { ", and renewed by itself" } else { "" };
        format!("; the token is good for {}{renewed}", humanize::duration(left))
    });
    let left = left.unwrap_or_default();
    // Nobody has looked at the key but the broker.
    if status.is_some_and(|status| status.kind == "static") {
        return context
            .say(&format!("{provider}: the token is there{whose}{left}; the service was not asked"));
    }
    context.say(&format!("{provider}: signed in{whose}{left}"));
}

fn from_stdin(flag: &str) -> CommandResult<Secret> {
    secret_from_stdin(flag)?
        .ok_or_else(|| Error::usage(format!("{flag}: nothing came on standard input")).into())
}
