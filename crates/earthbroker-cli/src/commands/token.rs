//! `broker token`.

use std::path::Path;
use std::time::Duration;

use broker_core::{SystemClock, platform};
use chrono::TimeDelta;
use earthbroker::{Broker, Clock, Error, ErrorCode, ErrorKind, Lifetime, Token, TokenRequest};

use super::login::say_logged_in;
use super::user_file::cannot_write;
use super::{CommandContext, CommandResult, answer, secret_from_stdin};
use crate::args::Token as Args;
use crate::format::{Style, TokenInfo, print};
use crate::humanize;
use crate::report::ExitError;
use crate::run::run as run_async;

pub(super) fn run(context: &CommandContext<'_>, args: &Args) -> CommandResult {
    let text =
        if args.refresh_token { refresh_token(context, &args.provider)? } else { token(context, args)? };
    match args.output.as_deref().filter(|path| *path != Path::new("-")) {
        None => answer(&text),
        Some(path) => Ok(write(path, &text)?),
    }
}

/// Writes text atomically to a file that only the user can read. Refuses to replace a link, a folder or a device.
fn write(path: &Path, text: &str) -> earthbroker::Result<()> {
    if std::fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        let message = format!("cannot write {}: it is a link, a folder or a device", path.display());
        return Err(Error::new(ErrorCode::WriteFailed, message)
            .with_hint("use the name of a regular file, or `-` for standard output"));
    }
    platform::write_private(path, text.as_bytes()).map_err(|error| {
        // The complete error would name a temporary file.
        cannot_write(path, error.kind().into())
            .with_hint("choose a file in an existing folder that you can write to")
            .with_source(error)
    })
}

fn token(context: &CommandContext<'_>, args: &Args) -> CommandResult<String> {
    let style = Style::of(args)?;
    let broker = context.broker_of(context.setup().wait_limit(args.wait), &[&args.provider])?;
    let request = request(args, &style);
    let token = get(context, &broker, args, &request)?;
    warn_if_short(context, &token, args.min_ttl, args.expires);
    let provider = broker.provider(&args.provider)?;
    let info = TokenInfo {
        provider: &provider,
        // In a request for AWS keys or a cookie, `scopes()` names the credential and contains no OAuth scopes.
        scopes: if style.derived.is_some() { "" } else { request.scopes().as_str() },
        note: &|note| context.say(note),
    };
    Ok(print(&token, &style, &info)?)
}

/// Returns the refresh token, and tells the user how to log in with the token on another host.
fn refresh_token(context: &CommandContext<'_>, provider: &str) -> CommandResult<String> {
    let secret = context.broker(provider)?.provider(provider)?.refresh_token()?;
    context.say(&format!(
        "warning: with this refresh token anyone can act as you at {provider}, until you run: broker logout {provider}"
    ));
    context.say(&format!("to log in on another host, run: broker login {provider} --refresh-token-stdin"));
    context.say(
        "note: if the service replaces refresh tokens at each use, only this host or the other one stays logged in",
    );
    Ok(format!("{}\n", secret.expose()))
}

fn get(
    context: &CommandContext<'_>,
    broker: &Broker,
    args: &Args,
    request: &TokenRequest,
) -> CommandResult<Token> {
    let rejected = args.rejected || args.rejected_stdin;
    let result = if rejected {
        let secret = args.rejected_stdin.then(|| secret_from_stdin("--rejected-stdin", true)).transpose()?;
        run_async(broker, broker.replace_rejected(&args.provider, request, secret.as_ref()))
    } else {
        stored_or_new(broker, &args.provider, request)
    };
    match result {
        Err(ExitError::Errors(errors))
            if args.login && errors.iter().any(|e| e.kind() == ErrorKind::LoginRequired) =>
        {
            // With `force`, the broker ignores the stored token, which the service may have rejected.
            let request = if rejected { request.clone().force() } else { request.clone() };
            let result = run_async(broker, broker.provider(&args.provider)?.token_or_login(&request));
            context.terminal.clear();
            let (token, logged_in) = result?;
            if let Some(logged_in) = logged_in {
                say_logged_in(context, &args.provider, logged_in);
            }
            Ok(token)
        }
        result => result,
    }
}

/// Returns the stored token, or requests a new one. A stored token needs no async runtime, HTTP client or lock.
pub(super) fn stored_or_new(broker: &Broker, provider: &str, request: &TokenRequest) -> CommandResult<Token> {
    match broker.provider(provider)?.blocking_stored_with(request)? {
        Some(token) => Ok(token),
        None => run_async(broker, broker.token(provider, request)),
    }
}

/// Some services issue tokens that end at midnight, and so up to a day earlier than requested.
const LIFETIME_TOLERANCE: TimeDelta = TimeDelta::days(1);

/// Warns if the token's lifetime is shorter than requested.
pub(super) fn warn_if_short(
    context: &CommandContext<'_>,
    token: &Token,
    min_ttl: Option<Duration>,
    expires: Option<Lifetime>,
) {
    let Some(expires_at) = token.expires_at() else { return };
    let remaining = token.window().left(SystemClock.now()).unwrap_or_default();
    if min_ttl.is_some_and(|min_ttl| remaining < min_ttl) {
        let remaining = humanize::duration(remaining);
        context.say(&format!(
            "warning: even a new token is only valid for {remaining}, less than --min-ttl requests"
        ));
    }
    let issued_at = token.issued_at();
    let issued_for = expires_at - issued_at;
    if let Some(end) = expires.and_then(|expires| expires.end(issued_at))
        && issued_for < end - issued_at - LIFETIME_TOLERANCE.min((end - issued_at) / 2)
    {
        let issued_for = humanize::duration(issued_for.to_std().unwrap_or_default());
        context.say(&format!(
            "warning: the token was only issued for {issued_for}, less than --expires requests"
        ));
    }
}

fn request(args: &Args, style: &Style<'_>) -> TokenRequest {
    let request = args.scope.iter().fold(TokenRequest::new(), |request, scope| request.scope(scope));
    let request = args.expires.into_iter().fold(request, TokenRequest::expires);
    let request = args.min_ttl.into_iter().fold(request, TokenRequest::min_ttl);
    let request = args.name.iter().fold(request, TokenRequest::name);
    let request = style.derived.iter().cloned().fold(request, TokenRequest::derived);
    if args.force { request.force() } else { request }
}
