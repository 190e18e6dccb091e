//! `broker token`.

use std::io::IsTerminal;

use broker::{Broker, Clock, ErrorKind, Secret, SystemClock, TokenRequest};

use super::{Desk, Outcome, answer, login, secret_from_stdin};
use crate::args::Token;
use crate::format::{About, print};
use crate::report::End;
use crate::run::run as run_async;

pub(super) fn run(desk: &Desk<'_>, args: &Token) -> Outcome {
    if args.refresh_token {
        return refresh_token(desk, &args.provider);
    }
    let broker = desk.broker_of(desk.setup().wait_limit(args.wait), &args.provider)?;
    let request = request(args);
    let token = get(desk, &broker, args, &request)?;
    let now = SystemClock.now();
    if let (Some(asked), Some(left)) = (args.min_ttl, token.window().left(now))
        && left < asked
    {
        desk.say("warning: even a new token of this service has less life left than --min-ttl asks for");
    }
    let about = About {
        provider: &args.provider,
        asked: request.scopes().as_str(),
        variable: &broker.token_variable(&args.provider)?,
        now,
    };
    answer(&print(&token, args.format, &about)?)
}

/// The grant itself, for another host.
fn refresh_token(desk: &Desk<'_>, provider: &str) -> Outcome {
    let secret = desk.broker(provider)?.refresh_token(provider)?;
    desk.say(&format!(
        "warning: whoever has this refresh token is you at {provider}, until `broker logout {provider}`. On the other host: \
         broker login {provider} --refresh-token-stdin. If the service replaces refresh tokens at each use, only one of the two hosts keeps the login"
    ));
    answer(&format!("{}\n", secret.expose()))
}

fn get(desk: &Desk<'_>, broker: &Broker, args: &Token, request: &TokenRequest) -> Outcome<broker::Token> {
    let ended = if args.rejected {
        run_async(broker, broker.replace_rejected(&args.provider, request, rejected()?))
    } else if let Some(held) = broker.held(&args.provider, request)? {
        // What is held is printed without a runtime, a client, a lock.
        return Ok(held);
    } else {
        run_async(broker, broker.token(&args.provider, request))
    };
    match ended {
        Err(End::Errors(errors))
            if args.login && errors.iter().any(|e| e.kind() == ErrorKind::LoginRequired) =>
        {
            // The one that is rejected may still be held, where no other could be had without a login.
            let request = if args.rejected { request.clone().force() } else { request.clone() };
            let ended = run_async(broker, broker.token_or_login(&args.provider, &request));
            desk.terminal.clear();
            let (token, logged_in) = ended?;
            if let Some(logged_in) = logged_in {
                login::say_signed_in(desk, &args.provider, logged_in);
            }
            Ok(token)
        }
        ended => ended,
    }
}

/// The token that a service did not take, if somebody gives it.
fn rejected() -> Outcome<Option<Secret>> {
    if std::io::stdin().is_terminal() { Ok(None) } else { secret_from_stdin("--rejected") }
}

fn request(args: &Token) -> TokenRequest {
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
    if args.force { request.force() } else { request }
}
