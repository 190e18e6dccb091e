//! The words of the commands that other programs have a part in.

#![allow(clippy::doc_markdown, reason = "what stands here is shown by --help as it is")]

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use clap_complete::{ArgValueCandidates, ArgValueCompleter};

use super::{duration, parameter};
use crate::candidates::{in_exec, providers};

/// Run a command with tokens in its environment, never in its arguments
#[derive(Debug, ClapArgs)]
#[command(override_usage = "broker exec [OPTIONS] PROVIDER[,PROVIDER] -- COMMAND [ARGUMENT]…")]
#[command(after_help = "Examples:\n  broker exec earthscope -- python3 download.py   # EARTHSCOPE_TOKEN\n  \
    broker exec earthdaily,carbonmapper -- make\n  broker exec --file earthscope -- ./long-job.sh   # EARTHSCOPE_TOKEN_FILE")]
pub(crate) struct Exec {
    /// The providers, with commas between them
    #[arg(value_delimiter = ',', required = true, value_name = "PROVIDER[,PROVIDER]")]
    #[arg(add = ArgValueCompleter::new(in_exec))]
    pub(crate) providers: Vec<String>,
    /// Give paths of files (0600) that are renewed while the command runs, and gone after: in NAME_FILE for a variable NAME
    #[arg(long)]
    pub(crate) file: bool,
    /// A scope to ask for; can be given more than once
    #[arg(long, value_name = "SCOPE")]
    pub(crate) scope: Vec<String>,
    /// The life that must be left when the command starts: 10m, 2h
    #[arg(long, value_name = "DUR", value_parser = duration)]
    pub(crate) min_ttl: Option<Duration>,
    /// The command and its arguments, after `--`
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Programs that ask for credentials in a protocol of their own
#[derive(Debug, Subcommand)]
#[command(
    after_help = "How each is set up is in docs/programs.md. Tokens are offered to a provider's hosts alone: \
    `hosts` in the configuration."
)]
pub(crate) enum Helper {
    /// git: `git config --global credential.https://HOST.helper '!broker helper git'`
    Git {
        /// `get`, `store` or `erase`, as git says it
        operation: String,
    },
    /// docker: a link `docker-credential-broker` to broker, and `credHelpers` in its configuration
    Docker {
        /// What docker says
        operation: DockerOperation,
    },
    /// cargo: `credential-provider = "broker"` of a registry
    Cargo {
        /// As cargo says it; its requests come on standard input
        #[arg(long)]
        cargo_plugin: bool,
    },
    /// aws: `credential_process = broker helper aws earthscope --role s3-miniseed-v2`
    Aws {
        /// The provider
        #[arg(add = ArgValueCandidates::new(providers))]
        provider: String,
        /// The role
        #[arg(long)]
        role: String,
        /// A parameter of the role; can be given more than once
        #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
        param: Vec<(String, String)>,
    },
    /// kubectl: `exec: {command: broker, args: [helper, kubectl, PROVIDER]}`
    Kubectl {
        /// The provider
        #[arg(add = ArgValueCandidates::new(providers))]
        provider: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DockerOperation {
    /// A credential for the server on standard input
    Get,
    /// Servers there are credentials for
    List,
    /// Nothing: tokens come from the service
    Store,
    /// Nothing: see `broker logout`
    Erase,
}
