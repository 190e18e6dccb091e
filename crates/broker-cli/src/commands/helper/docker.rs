//! The protocol of docker's credential helpers: a server on standard input, JSON on standard output, errors there too.

use std::collections::BTreeMap;

use broker::{Broker, TokenRequest};
use serde_json::json;

use super::{input, provider_for, token};
use crate::args::DockerOperation;
use crate::commands::{CommandContext, CommandResult, answer};
use crate::format::plain;
use crate::report::ExitError;

/// What registries that take a token as a password want for a name. (`<token>` would mean a refresh token.)
const USERNAME: &str = "oauth2accesstoken";

/// The words that docker knows: it goes on without a credential.
const NOT_FOUND: &str = "credentials not found in native keychain\n";

pub(super) fn run(context: &CommandContext<'_>, operation: DockerOperation) -> CommandResult {
    let done = match operation {
        DockerOperation::Get => get(context),
        DockerOperation::List => list(context),
        // `docker login` and `docker logout` go well; what is held is not theirs to change.
        DockerOperation::Store | DockerOperation::Erase => input().map(drop),
    };
    if let Err(ExitError::Errors(errors)) = &done {
        let words: Vec<_> = errors.iter().map(ToString::to_string).collect();
        answer(&(words.join("; ") + "\n"))?;
    }
    done
}

fn get(context: &CommandContext<'_>) -> CommandResult {
    let asked = input()?;
    let server = asked.trim();
    // A registry is mostly named without a scheme, and https is meant.
    let url = if server.contains("://") { server.to_owned() } else { format!("https://{server}") };
    let broker = context.setup().open()?;
    let Some(provider) = provider_for(context, &broker, &url) else {
        answer(NOT_FOUND)?;
        return Err(ExitError::Code(1, None));
    };
    let token = token(&broker, &provider)?;
    let found = json!({ "ServerURL": server, "Username": USERNAME, "Secret": plain(&token)? });
    answer(&format!("{found}\n"))
}

/// The hosts whose token is held: docker asks for each of them, and takes one that fails for a fault of all.
fn list(context: &CommandContext<'_>) -> CommandResult {
    let broker = context.setup().open()?;
    let mut hosts = BTreeMap::new();
    for name in broker.names() {
        let exact = exact_hosts(&broker, &name).into_iter().map(|host| (host, USERNAME));
        hosts.extend(exact);
    }
    answer(&format!("{}\n", json!(hosts)))
}

fn exact_hosts(broker: &Broker, name: &str) -> Vec<String> {
    let is_held = matches!(broker.stored(name, &TokenRequest::new()), Ok(Some(_)));
    let hosts = broker.hosts(name).ok().filter(|_| is_held).unwrap_or_default();
    hosts.into_iter().filter(|host| !host.starts_with("*.")).collect()
}
