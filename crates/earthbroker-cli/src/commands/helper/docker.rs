//! docker's credential helper protocol: reads a server from standard input, and prints JSON or an error.

use std::collections::BTreeMap;

use earthbroker::TokenRequest;
use serde_json::json;

use super::{input, provider_for, token};
use crate::args::DockerOperation;
use crate::commands::{CommandContext, CommandResult, answer, answer_json};
use crate::format::{is_exact, plain};
use crate::report::ExitError;

/// The user name for registries that accept a token as password. The name `<token>` would mean a refresh token.
const USER: &str = "oauth2accesstoken";

/// The message after which docker continues without a credential.
const NOT_FOUND: &str = "credentials not found in native keychain\n";

pub(super) fn run(context: &CommandContext<'_>, operation: DockerOperation) -> CommandResult {
    let result = match operation {
        DockerOperation::Get => get(context),
        DockerOperation::List => list(context),
        // `docker login` and `docker logout` succeed, but change no stored token.
        DockerOperation::Store | DockerOperation::Erase => input().map(drop),
    };
    if let Err(ExitError::Errors(errors)) = &result {
        let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        answer(&(texts.join("; ") + "\n"))?;
    }
    result
}

fn get(context: &CommandContext<'_>) -> CommandResult {
    let input = input()?;
    let server = input.trim();
    // docker's registry names have no URL scheme.
    let url = if server.contains("://") { server.to_owned() } else { format!("https://{server}") };
    let broker = context.setup().open()?;
    let Some(provider) = provider_for(context, &broker, &url) else {
        answer(NOT_FOUND)?;
        return Err(ExitError::Code(1, None));
    };
    let token = token(&broker, &provider)?;
    answer_json(&json!({ "ServerURL": server, "Username": USER, "Secret": plain(&token)? }))
}

/// Prints the hosts of providers with a stored token. docker then requests the token of each host, and stops at an error.
fn list(context: &CommandContext<'_>) -> CommandResult {
    let broker = context.setup().open()?;
    let mut hosts = BTreeMap::new();
    for name in broker.names() {
        if let Ok(provider) = broker.provider(&name)
            && matches!(provider.blocking_stored_with(&TokenRequest::new()), Ok(Some(_)))
        {
            let exact = provider.info().hosts.iter().filter(|host| is_exact(host));
            hosts.extend(exact.map(|host| (host.clone(), USER)));
        }
    }
    answer_json(&hosts)
}
