//! `broker token`.

use broker::{Broker, Clock, ErrorKind, Login, SystemClock, TokenRequest};

use super::{Desk, Outcome, answer, login};
use crate::args::Token;
use crate::format::{About, print};
use crate::report::End;
use crate::run::run as run_async;

pub(super) fn run(desk: &Desk<'_>, args: &Token) -> Outcome {
    let broker = desk.broker(&args.provider)?;
    let request = request(args);
    // What is held is printed without a runtime, a client, a lock.
    let token = match broker.held(&args.provider, &request)? {
        Some(token) => token,
        None => get(desk, &broker, args, &request)?,
    };
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

fn get(desk: &Desk<'_>, broker: &Broker, args: &Token, request: &TokenRequest) -> Outcome<broker::Token> {
    match run_async(broker, broker.token(&args.provider, request)) {
        Err(End::Errors(errors))
            if args.login && errors.iter().any(|e| e.kind() == ErrorKind::LoginRequired) =>
        {
            login::log_in(desk, broker, &args.provider, Login::Usual)?;
            run_async(broker, broker.token(&args.provider, request))
        }
        ended => ended,
    }
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
