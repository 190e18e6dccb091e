//! Kubernetes' client-go credential plugins: what is asked is in the environment, the answer is an `ExecCredential`.

use broker::{Error, Result, ServiceUrl, sanitize};
use serde::Deserialize;

use super::{host_of, token};
use crate::commands::{CommandContext, CommandResult, answer};
use crate::format::{EXEC_CREDENTIAL, exec_credential, plain};

const VARIABLE: &str = "KUBERNETES_EXEC_INFO";

const VERSIONS: [&str; 2] = [EXEC_CREDENTIAL, "client.authentication.k8s.io/v1beta1"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
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
    let asked = asked()?;
    let broker = context.broker(provider)?;
    if let Some(Cluster { server }) = &asked.spec.cluster {
        check(provider, server, |host| broker.offers_to(provider, host))?;
    }
    let token = token(&broker, provider)?;
    plain(&token)?;
    answer(&exec_credential(&token, &broker.header(provider)?, &asked.api_version)?)
}

/// What the program wants; without a program (by hand), the newest version.
fn asked() -> Result<Asked> {
    let Some(text) = std::env::var_os(VARIABLE) else {
        return Ok(Asked { api_version: VERSIONS[0].to_owned(), spec: Spec::default() });
    };
    let asked: Asked = serde_json::from_str(&text.to_string_lossy())
        .map_err(|error| Error::usage(format!("{VARIABLE} is no ExecCredential")).with_source(error))?;
    if VERSIONS.contains(&asked.api_version.as_str()) {
        return Ok(asked);
    }
    let version = sanitize(&asked.api_version);
    Err(Error::usage(format!("`{version}` is no version that is spoken here"))
        .with_hint(format!("in the kubeconfig: apiVersion: {}", VERSIONS[0])))
}

/// Whether the provider's token may go to the cluster.
fn check(provider: &str, server: &str, offers: impl Fn(&str) -> Result<bool>) -> Result<()> {
    let shown = sanitize(server);
    let Some(host) = host_of(server) else {
        return Err(Error::usage(format!("the cluster's server `{shown}` is no URL that a token goes to")));
    };
    if !offers(&host)? {
        let error = Error::configuration(format!("its tokens are not offered to {host}"));
        let hint = format!("if they are meant for it: hosts = [\"{host}\"] in [providers.{provider}]");
        return Err(error.for_provider(provider).with_hint(hint));
    }
    ServiceUrl::parse(server).map_err(|why| Error::usage(why).for_provider(provider))?;
    Ok(())
}
