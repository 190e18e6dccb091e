//! Kubernetes' credential plugin protocol: kubectl's request is in the environment, the answer is an `ExecCredential`.

use broker_core::{ServiceUrl, sanitize};
use earthbroker::{Error, ErrorCode, ProviderHandle, Result};
use serde::Deserialize;

use super::{host_of, token};
use crate::commands::{CommandContext, CommandResult, answer};
use crate::format::{EXEC_CREDENTIAL, exec_credential, plain};

/// The environment variable with kubectl's request.
const VARIABLE: &str = "KUBERNETES_EXEC_INFO";

const VERSIONS: [&str; 2] = [EXEC_CREDENTIAL, "client.authentication.k8s.io/v1beta1"];

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

pub(super) fn run(context: &CommandContext<'_>, provider: &str) -> CommandResult {
    let request = request()?;
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
fn request() -> Result<ClusterRequest> {
    let Some(text) = std::env::var_os(VARIABLE) else {
        return Ok(ClusterRequest { api_version: VERSIONS[0].to_owned(), spec: Spec::default() });
    };
    let request: ClusterRequest = serde_json::from_str(&text.to_string_lossy()).map_err(|error| {
        Error::usage(format!("the environment variable {VARIABLE} is not an ExecCredential"))
            .with_source(error)
    })?;
    if VERSIONS.contains(&request.api_version.as_str()) {
        return Ok(request);
    }
    let version = sanitize(&request.api_version);
    Err(Error::usage(format!("kubectl requests the apiVersion `{version}`, which is not supported"))
        .with_hint(format!("set in the kubeconfig: apiVersion: {}", VERSIONS[0])))
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
