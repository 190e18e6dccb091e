//! `broker helper`: credentials for other programs, in their protocols.

mod cargo;
mod git;

use std::collections::BTreeMap;

use broker_core::{ServiceUrl, sanitize};
use earthbroker::{Broker, Derived, Error, ErrorCode, ProviderHandle, Result, Token, TokenRequest};
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::token::stored_or_new;
use super::{CommandContext, CommandResult, answer, answer_json, read_stdin};
use crate::args::{DockerOperation, Helper};
use crate::format::{EXEC_CREDENTIAL, aws, exec_credential, is_exact, plain};
use crate::report::ExitError;

pub(super) fn run(context: &CommandContext<'_>, helper: &Helper) -> CommandResult {
    match helper {
        Helper::Git { operation } => git::run(context, operation),
        Helper::Docker { operation } => docker(context, *operation),
        Helper::Cargo { .. } => cargo::run(context),
        // The format of `credential_process`, like `broker token PROVIDER --format aws --role ROLE`.
        Helper::Aws { provider, role, param } => {
            let request = TokenRequest::new().derived(Derived::aws(role, param.clone()));
            let keys = stored_or_new(&context.broker(provider)?, provider, &request)?;
            plain(&keys)?;
            answer(&aws(&keys)?)
        }
        Helper::Kubectl { provider } => kubectl(context, provider),
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

/// The user name for registries that accept a token as password. The name `<token>` would mean a refresh token.
const DOCKER_USER: &str = "oauth2accesstoken";

/// The message after which docker continues without a credential.
const DOCKER_NOT_FOUND: &str = "credentials not found in native keychain\n";

/// docker's credential helper protocol: reads a server from standard input, and prints JSON or an error.
fn docker(context: &CommandContext<'_>, operation: DockerOperation) -> CommandResult {
    let result = match operation {
        DockerOperation::Get => docker_get(context),
        DockerOperation::List => docker_list(context),
        // `docker login` and `docker logout` succeed, but change no stored token.
        DockerOperation::Store | DockerOperation::Erase => input().map(drop),
    };
    if let Err(ExitError::Errors(errors)) = &result {
        let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        answer(&(texts.join("; ") + "\n"))?;
    }
    result
}

fn docker_get(context: &CommandContext<'_>) -> CommandResult {
    let input = input()?;
    let server = input.trim();
    // docker's registry names have no URL scheme.
    let url = if server.contains("://") { server.to_owned() } else { format!("https://{server}") };
    let broker = context.setup().open()?;
    let Some(provider) = provider_for(context, &broker, &url) else {
        answer(DOCKER_NOT_FOUND)?;
        return Err(ExitError::Code(1, None));
    };
    let token = token(&broker, &provider)?;
    answer_json(&json!({ "ServerURL": server, "Username": DOCKER_USER, "Secret": plain(&token)? }))
}

/// Prints the hosts of providers with a stored token. docker then requests the token of each host, and stops at an error.
fn docker_list(context: &CommandContext<'_>) -> CommandResult {
    let broker = context.setup().open()?;
    let mut hosts = BTreeMap::new();
    for name in broker.names() {
        if let Ok(provider) = broker.provider(&name)
            && matches!(provider.blocking_stored_with(&TokenRequest::new()), Ok(Some(_)))
        {
            let exact = provider.info().hosts.iter().filter(|host| is_exact(host));
            hosts.extend(exact.map(|host| (host.clone(), DOCKER_USER)));
        }
    }
    answer_json(&hosts)
}

/// The environment variable with kubectl's request.
const KUBERNETES_VARIABLE: &str = "KUBERNETES_EXEC_INFO";

const KUBERNETES_VERSIONS: [&str; 2] = [EXEC_CREDENTIAL, "client.authentication.k8s.io/v1beta1"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClusterRequest {
    api_version: String,
    #[serde(default)]
    spec: Spec,
}

#[derive(Default, Deserialize)]
struct Spec {
    cluster: Option<Cluster>,
}

#[derive(Deserialize)]
struct Cluster {
    server: String,
}

/// Kubernetes' credential plugin protocol: kubectl's request is in the environment, the answer is an `ExecCredential`.
fn kubectl(context: &CommandContext<'_>, provider: &str) -> CommandResult {
    let request = kubectl_request()?;
    let broker = context.broker(provider)?;
    let provider = broker.provider(provider)?;
    if let Some(Cluster { server }) = &request.spec.cluster {
        check_server(&provider, server)?;
    }
    let token = token(&broker, &provider)?;
    plain(&token)?;
    answer(&exec_credential(&token, &request.api_version)?)
}

/// Reads kubectl's request from the environment, or returns an empty request of the newest API version.
fn kubectl_request() -> Result<ClusterRequest> {
    let Some(text) = std::env::var_os(KUBERNETES_VARIABLE) else {
        return Ok(ClusterRequest { api_version: KUBERNETES_VERSIONS[0].to_owned(), spec: Spec::default() });
    };
    let request: ClusterRequest = serde_json::from_str(&text.to_string_lossy()).map_err(|error| {
        Error::usage(format!("the environment variable {KUBERNETES_VARIABLE} is not an ExecCredential"))
            .with_source(error)
    })?;
    if KUBERNETES_VERSIONS.contains(&request.api_version.as_str()) {
        return Ok(request);
    }
    let version = sanitize(&request.api_version);
    Err(Error::usage(format!("kubectl requests the apiVersion `{version}`, which is not supported"))
        .with_hint(format!("set in the kubeconfig: apiVersion: {}", KUBERNETES_VERSIONS[0])))
}

/// Checks that the provider's token may be sent to the cluster's server.
fn check_server(provider: &ProviderHandle, server: &str) -> Result<()> {
    let name = provider.name();
    let Some(host) = host_of(server) else {
        let shown = sanitize(server);
        return Err(Error::usage(format!("the cluster's server `{shown}` is not an https URL")));
    };
    if !provider.offers_to(&host) {
        let why = format!("the provider's tokens must not be sent to {host}");
        let hint =
            format!("if you trust this host, add the host in [providers.{name}]: hosts = [\"{host}\"]");
        return Err(Error::new(ErrorCode::HostNotAllowed, why).for_provider(name).with_hint(hint));
    }
    ServiceUrl::parse(server).map_err(|why| Error::usage(why).for_provider(name))?;
    Ok(())
}
