//! `broker token`.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use broker::{Broker, Clock, ErrorKind, Secret, SystemClock, TokenRequest};
use chrono::{DateTime, Utc};

use super::{CommandContext, CommandResult, answer, login, secret_from_stdin};
use crate::args::Token;
use crate::format::{About, Style, print};
use crate::output;
use crate::report::ExitError;
use crate::run::run as run_async;

pub(super) fn run(context: &CommandContext<'_>, args: &Token) -> CommandResult {
    let text =
        if args.refresh_token { refresh_token(context, &args.provider)? } else { token(context, args)? };
    match args.output.as_deref() {
        None => answer(&text),
        Some(path) if path == Path::new("-") => answer(&text),
        Some(path) => Ok(output::write(path, &text)?),
    }
}

/// The token, as it is asked for.
fn token(context: &CommandContext<'_>, args: &Token) -> CommandResult<String> {
    let style = Style::of(args)?;
    let broker = context.broker_of(context.setup().wait_limit(args.wait), &[&args.provider])?;
    let request = request(args, &style);
    let token = get(context, &broker, args, &request)?;
    let now = SystemClock.now();
    warn_if_short(context, &token, args.min_ttl, now);
    let about = About {
        provider: &args.provider,
        // Of a derived credential it is no scope.
        asked: if style.derived.is_some() { "" } else { request.scopes().as_str() },
        variable: &broker.token_variable(&args.provider)?,
        hosts: &broker.hosts(&args.provider)?,
        header: &broker.header(&args.provider)?,
        now,
    };
    let printed = print(&token, &style, &about)?;
    for note in &printed.notes {
        context.say(note);
    }
    Ok(printed.text)
}

/// The grant itself, for another host.
fn refresh_token(context: &CommandContext<'_>, provider: &str) -> CommandResult<String> {
    let secret = context.broker(provider)?.refresh_token(provider)?;
    for line in [
        format!(
            "warning: whoever has this refresh token is you at {provider}, until `broker logout {provider}`"
        ),
        format!("on the other host: broker login {provider} --refresh-token-stdin"),
        "if the service replaces refresh tokens at each use, only one of the two hosts keeps the login"
            .to_owned(),
    ] {
        context.say(&line);
    }
    Ok(format!("{}\n", secret.expose()))
}

fn get(
    context: &CommandContext<'_>,
    broker: &Broker,
    args: &Token,
    request: &TokenRequest,
) -> CommandResult<broker::Token> {
    let ended = if args.rejected {
        run_async(broker, broker.replace_rejected(&args.provider, request, rejected()?))
    } else {
        held_or_new(broker, &args.provider, request)
    };
    match ended {
        Err(ExitError::Errors(errors))
            if args.login && errors.iter().any(|e| e.kind() == ErrorKind::LoginRequired) =>
        {
            // The one that is rejected may still be held, where no other could be had without a login.
            let request = if args.rejected { request.clone().force() } else { request.clone() };
            let ended = run_async(broker, broker.token_or_login(&args.provider, &request));
            context.terminal.clear();
            let (token, logged_in) = ended?;
            if let Some(logged_in) = logged_in {
                login::say_signed_in(context, &args.provider, logged_in);
            }
            Ok(token)
        }
        ended => ended,
    }
}

/// The held token, without a runtime, a client, a lock; or a new one.
pub(super) fn held_or_new(
    broker: &Broker,
    provider: &str,
    request: &TokenRequest,
) -> CommandResult<broker::Token> {
    match broker.stored(provider, request)? {
        Some(held) => Ok(held),
        None => run_async(broker, broker.token(provider, request)),
    }
}

/// Says that a token has less life left than was asked for.
pub(super) fn warn_if_short(
    context: &CommandContext<'_>,
    token: &broker::Token,
    asked: Option<Duration>,
    now: DateTime<Utc>,
) {
    if let (Some(asked), Some(left)) = (asked, token.window().left(now))
        && left < asked
    {
        context.say("warning: even a new token of this service has less life left than --min-ttl asks for");
    }
}

/// The token that a service did not take, if somebody gives it.
fn rejected() -> CommandResult<Option<Secret>> {
    if std::io::stdin().is_terminal() { Ok(None) } else { secret_from_stdin("--rejected") }
}

fn request(args: &Token, style: &Style<'_>) -> TokenRequest {
    let mut request = args.scope.iter().fold(TokenRequest::new(), |request, scope| request.scope(scope));
    if let Some(life) = args.expires {
        request = request.expires(life);
    }
    if let Some(left) = args.min_ttl {
        request = request.min_ttl(left);
    }
    if let Some(name) = &args.name {
        request = request.name(name);
    }
    if let Some(derived) = &style.derived {
        request = request.derived(derived.clone());
    }
    if args.force { request.force() } else { request }
}
