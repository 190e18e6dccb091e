//! The arguments of `broker exec` and `broker helper`.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use clap_complete::{ArgValueCandidates, ArgValueCompleter};

use super::{duration, parameter};
use crate::commands::completions::{in_exec, providers};

#[derive(Debug, ClapArgs)]
#[command(override_usage = "broker exec [OPTIONS] PROVIDER[,PROVIDER] -- COMMAND [ARGUMENT]…")]
#[command(after_help = include_str!("../../help/exec.txt"))]
pub(crate) struct Exec {
    /// Names of the providers, separated by commas
    #[arg(value_delimiter = ',', required = true, value_name = "PROVIDER[,PROVIDER]")]
    #[arg(add = ArgValueCompleter::new(in_exec))]
    pub(crate) providers: Vec<String>,
    /// Write each token to a file (mode 0600) and renew it while the command runs. The variable NAME_FILE contains
    /// the path; NAME is not set
    #[arg(long)]
    pub(crate) file: bool,
    /// Request this scope; repeat for more scopes
    #[arg(long, value_name = "SCOPE")]
    pub(crate) scope: Vec<String>,
    /// Require this remaining lifetime of the tokens when the command starts: 10m, 2h
    #[arg(long, value_name = "DUR", value_parser = duration)]
    pub(crate) min_ttl: Option<Duration>,
    /// The command and its arguments, after `--`
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
#[command(
    after_help = "Setup: docs/programs.md. A token is only sent to the hosts of its provider: `hosts` in the configuration."
)]
pub(crate) enum Helper {
    /// git: `git config --global credential.https://HOST.helper '!broker helper git'`
    Git {
        /// git's operation: `get`, `store` or `erase`
        operation: String,
    },
    /// docker: link `docker-credential-broker` to broker, and set `credHelpers` in docker's configuration
    Docker {
        /// The operation that docker requests
        operation: DockerOperation,
    },
    /// cargo: `credential-provider = "broker"` in the registry's configuration
    Cargo {
        /// Passed by cargo, which writes its requests to standard input
        #[arg(long)]
        cargo_plugin: bool,
    },
    /// aws: `credential_process = broker helper aws PROVIDER --role ROLE`
    Aws {
        /// Name of the provider
        #[arg(add = ArgValueCandidates::new(providers))]
        provider: String,
        /// Name of the role
        #[arg(long)]
        role: String,
        /// Parameter of the role, as NAME=VALUE; repeat for more
        #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
        param: Vec<(String, String)>,
    },
    /// kubectl: `exec: {command: broker, args: [helper, kubectl, PROVIDER]}`
    Kubectl {
        /// Name of the provider
        #[arg(add = ArgValueCandidates::new(providers))]
        provider: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DockerOperation {
    /// Print the credential for the server named on standard input
    Get,
    /// List the servers for which a token is stored
    List,
    /// Do nothing: the tokens that docker uses come from the service
    Store,
    /// Do nothing: to delete a login, run broker logout
    Erase,
}
