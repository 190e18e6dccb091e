//! `broker helper`: credentials for other programs, in their protocols.

mod cargo;
mod docker;
mod git;
mod kubectl;

use broker_core::ServiceUrl;
use earthbroker::{Broker, Derived, ProviderHandle, Token, TokenRequest};
use zeroize::Zeroizing;

use super::token::stored_or_new;
use super::{CommandContext, CommandResult, answer, read_stdin};
use crate::args::Helper;
use crate::format::{aws, plain};

pub(super) fn run(context: &CommandContext<'_>, helper: &Helper) -> CommandResult {
    match helper {
        Helper::Git { operation } => git::run(context, operation),
        Helper::Docker { operation } => docker::run(context, *operation),
        Helper::Cargo { .. } => cargo::run(context),
        // The format of `credential_process`, like `broker token PROVIDER --format aws --role ROLE`.
        Helper::Aws { provider, role, param } => {
            let request = TokenRequest::new().derived(Derived::aws(role, param.clone()));
            let keys = stored_or_new(&context.broker(provider)?, provider, &request)?;
            plain(&keys)?;
            answer(&aws(&keys)?)
        }
        Helper::Kubectl { provider } => kubectl::run(context, provider),
    }
}

/// Returns the provider's stored token for the default scopes, or a new one.
fn token(broker: &Broker, provider: &ProviderHandle) -> CommandResult<Token> {
    stored_or_new(broker, provider.name(), &TokenRequest::new())
}

/// Returns the first provider whose tokens may be sent to the host in the URL.
fn provider_for(context: &CommandContext<'_>, broker: &Broker, url: &str) -> Option<ProviderHandle> {
    let host = host_of(url)?;
    let provider = |name: String| {
        let provider = broker.provider(&name).inspect_err(|error| context.say(&format!("warning: {error}")));
        provider.ok().filter(|provider| provider.offers_to(&host))
    };
    let provider = broker.names().into_iter().find_map(provider)?;
    if let Err(why) = ServiceUrl::parse(url) {
        context.say(&format!("warning: {}: no token for this URL: {why}", provider.name()));
        return None;
    }
    Some(provider)
}

/// Returns the host of an http or https URL. Returns `None` for a URL in which programs could see different hosts.
fn host_of(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let ambiguous = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
    let read = ServiceUrl::parse(&format!("https://{rest}")).ok()?;
    (!rest.contains(ambiguous)).then(|| read.host())
}

/// Reads the calling program's request from standard input. The request may contain a secret.
fn input() -> CommandResult<Zeroizing<String>> {
    Ok(Zeroizing::new(String::from_utf8_lossy(&read_stdin()?).into_owned()))
}
