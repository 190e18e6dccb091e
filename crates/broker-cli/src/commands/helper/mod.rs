//! `broker helper`: the protocols of programs that ask for credentials.

mod aws;
mod cargo;
mod docker;
mod git;
mod kubectl;

use std::io::Read;

use broker::{Broker, Error, ServiceUrl, Token, TokenRequest};
use zeroize::Zeroizing;

use super::token::held_or_new;
use super::{CommandContext, CommandResult, LONGEST_SECRET};
use crate::args::Helper;

pub(super) fn run(context: &CommandContext<'_>, helper: &Helper) -> CommandResult {
    match helper {
        Helper::Git { operation } => git::run(context, operation),
        Helper::Docker { operation } => docker::run(context, *operation),
        Helper::Cargo { .. } => cargo::run(context),
        Helper::Aws { provider, role, param } => aws::run(context, provider, role, param),
        Helper::Kubectl { provider } => kubectl::run(context, provider),
    }
}

/// The usual token of a provider.
fn token(broker: &Broker, provider: &str) -> CommandResult<Token> {
    held_or_new(broker, provider, &TokenRequest::new())
}

/// The first provider that offers its tokens to a URL's host.
fn provider_for(context: &CommandContext<'_>, broker: &Broker, url: &str) -> Option<String> {
    let host = host_of(url)?;
    let offers = |name: &String| match broker.offers_to(name, &host) {
        Ok(offers) => offers,
        Err(error) => {
            context.say(&format!("warning: {error}"));
            false
        }
    };
    let provider = broker.names().into_iter().find(offers)?;
    match ServiceUrl::parse(url) {
        Ok(_) => Some(provider),
        Err(why) => {
            context.say(&format!("{provider}: no token: {why}"));
            None
        }
    }
}

/// The host of a web page's URL, whether a token may be sent there or not; `None` for what programs read in more than
/// one way.
fn host_of(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let ambiguous = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
    let read = ServiceUrl::parse(&format!("https://{rest}")).ok()?;
    (!rest.contains(ambiguous)).then(|| read.host())
}

/// What a program says on standard input: text that may hold a secret.
fn input() -> CommandResult<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = std::io::stdin().lock().take(LONGEST_SECRET).read_to_end(&mut bytes);
    read.map_err(|error| {
        Error::failed(format!("standard input cannot be read: {error}")).with_source(error)
    })?;
    Ok(Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))
}
