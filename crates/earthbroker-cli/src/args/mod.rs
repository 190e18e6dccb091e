//! The arguments of the command line.

#![allow(clippy::doc_markdown, reason = "clap prints doc comments in --help, with their backticks")]

mod token;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use broker_core::sanitize;
use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::{ArgValueCandidates, ArgValueCompleter, Shell};

use crate::commands::completions::{gallery, in_exec, providers};
pub(crate) use token::{Format, ShellKind, Token};

/// Access tokens for earth-data services
///
/// Tokens are stored and renewed automatically. Programs that run at the same time share one renewal.
#[derive(Debug, Parser)]
#[command(name = "broker", version, long_version = env!("BROKER_VERSION"))]
#[command(propagate_version = true, max_term_width = 100, after_help = include_str!("../../help/broker.txt"))]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Read this configuration file instead of the default files [env: BROKER_CONFIG]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Read the variables of the services' own tools only from this dotenv file
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) env_file: Option<PathBuf>,
    /// Store tokens and logins in this folder, except logins shared with a service's own tools
    /// (key share) [env: BROKER_STATE_DIR]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) state_dir: Option<PathBuf>,
    /// Print more log messages on stderr; repeat for more: -vv, -vvv
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Print only errors and login instructions on stderr
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

// `defer` builds a subcommand's arguments only when that subcommand runs. `broker --help` needs none of them.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Command {
    /// Print a token, and renew it first if needed
    Token(Token),
    /// Run a command with tokens in its environment
    Exec(Exec),
    /// Log in to a provider
    Login(Login),
    /// Log out: revoke the login at the service and delete it from this machine
    #[command(after_help = include_str!("../../help/logout.txt"))]
    Logout {
        /// Name of the provider
        #[arg(add = ArgValueCandidates::new(providers))]
        provider: String,
        /// Delete the login from this machine without revoking it at the service
        #[arg(long)]
        local: bool,
    },
    /// Show logins and tokens, and how long they are valid
    #[command(after_help = include_str!("../../help/status.txt"))]
    Status {
        /// Names of the providers [default: all]
        #[arg(add = ArgValueCandidates::new(providers))]
        providers: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the configured providers
    #[command(after_help = "Example:\n  broker list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the claims of a stored token (JWT)
    Inspect(Inspect),
    /// Find problems: configuration, permissions, clock, network, logins
    Doctor(Doctor),
    /// Find and import logins and secrets of other tools
    Import(Import),
    /// Add a known service to your configuration, or list and search the known services
    Add(Add),
    /// Create the source code of a new provider
    #[command(after_help = "Example:\n  broker new-provider my-service --into crates")]
    NewProvider {
        /// Name of the provider: lower-case letters, digits and `-`
        name: String,
        /// Create the crate in this folder
        #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
        into: PathBuf,
    },
    /// Pass tokens to git, docker, cargo, aws or kubectl in their own protocols
    #[command(subcommand)]
    Helper(Helper),
    /// Find, check or show the configuration
    #[command(subcommand)]
    Config(Config),
    /// Show or change how logins are stored
    #[command(subcommand)]
    Store(Store),
    /// Print or install shell completions
    #[command(after_help = include_str!("../../help/completions.txt"))]
    Completions {
        /// Name of the shell
        shell: Shell,
        /// Install the completions of bash or fish; for other shells, print the line to add to the startup file
        #[arg(long)]
        install: bool,
    },
    /// Write man pages
    #[command(after_help = "Example:\n  broker man ~/.local/share/man/man1")]
    Man {
        /// Folder for the man pages; it is created if missing
        #[arg(value_hint = ValueHint::DirPath)]
        folder: PathBuf,
    },
}

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
#[command(defer = true, after_help = include_str!("../../help/helper.txt"))]
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

#[derive(Debug, ClapArgs)]
#[command(after_help = include_str!("../../help/login.txt"))]
pub(crate) struct Login {
    /// Name of the provider (see `broker list`)
    #[arg(add = ArgValueCandidates::new(providers))]
    pub(crate) provider: String,
    /// Do not open a browser; print the page's address instead
    #[arg(long)]
    pub(crate) no_browser: bool,
    /// Log in with a refresh token from another host, read from standard input
    #[arg(long, conflicts_with = "password_stdin")]
    pub(crate) refresh_token_stdin: bool,
    /// Read the password from standard input
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

#[derive(Debug, Subcommand)]
#[command(defer = true, after_help = include_str!("../../help/config.txt"))]
pub(crate) enum Config {
    /// Print the path of your configuration file
    Path,
    /// Check the whole configuration
    Check,
    /// Print the configuration and the source of each value, without secrets
    Show,
}

#[derive(Debug, Subcommand)]
#[command(defer = true, after_help = include_str!("../../help/store.txt"))]
pub(crate) enum Store {
    /// Show how logins are stored, and whether the OS keyring works
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Rewrite all stored logins in the format of the setting `store`, plain or encrypted. Safe to interrupt
    Migrate,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = include_str!("../../help/inspect.txt"))]
pub(crate) struct Inspect {
    /// Name of the provider
    #[arg(add = ArgValueCandidates::new(providers))]
    pub(crate) provider: String,
    /// Inspect the token with this scope; repeat for more scopes
    #[arg(long, value_name = "SCOPE")]
    pub(crate) scope: Vec<String>,
    /// Also show what the service reports about the token (introspection, RFC 7662)
    #[arg(long)]
    pub(crate) introspect: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = include_str!("../../help/doctor.txt"))]
pub(crate) struct Doctor {
    /// Name of the provider [default: all]
    #[arg(add = ArgValueCandidates::new(providers))]
    pub(crate) provider: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Check only this machine; contact no service
    #[arg(long)]
    pub(crate) offline: bool,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = include_str!("../../help/import.txt"))]
pub(crate) struct Import {
    /// Files, or numbers from the list that `broker import` prints. The files are not changed
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) what: Vec<String>,
    /// Name of the new provider
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = include_str!("../../help/add.txt"))]
pub(crate) struct Add {
    /// Name of the service. Any other word lists the services that match the word
    #[arg(add = ArgValueCandidates::new(gallery))]
    pub(crate) service: Option<String>,
    /// Name of the new provider
    #[arg(long = "as", value_name = "NAME", requires = "service")]
    pub(crate) name: Option<String>,
    /// Print the configuration that would be added, and change nothing
    #[arg(long, requires = "service")]
    pub(crate) dry_run: bool,
    /// Print the list as JSON
    #[arg(long, conflicts_with = "service")]
    pub(crate) json: bool,
}

/// Parses a duration such as `10m`.
fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| format!("`{}` is not a duration: write 90s, 10m, 2h or 7d", sanitize(text)))
}

/// Parses a parameter of a role, `NAME=VALUE`.
fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{}` is not a parameter: write NAME=VALUE", sanitize(text))),
    }
}
