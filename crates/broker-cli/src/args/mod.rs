//! The words of the command line.

#![allow(clippy::doc_markdown, reason = "what stands here is shown by --help as it is")]

mod programs;
mod token;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand, ValueHint};
use clap_complete::{ArgValueCandidates, Shell};

use crate::candidates::{gallery, providers};

pub(crate) use programs::{DockerOperation, Exec, Helper};
pub(crate) use token::{Format, ShellKind, Token};

/// Tokens for earth-data services: EarthScope, EarthDaily, Carbon Mapper, and any other by configuration.
///
/// A token is held until it is due for renewal, and renewed once, however many ask.
#[derive(Debug, Parser)]
#[command(name = "broker", version, long_version = env!("BROKER_VERSION"))]
#[command(propagate_version = true, max_term_width = 100)]
#[command(after_help = "Examples:\n  broker login earthscope\n  broker token earthscope\n  \
    curl -H \"$(broker token earthdaily --format header)\" \\\n    https://api.earthdaily.com/platform/v1/stac")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct GlobalArgs {
    /// Read this configuration file in the place of the usual ones [env: BROKER_CONFIG]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Take the variables of the services' own clients (EDS_…, ES_…, CARBONMAPPER_…) from this file alone
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) env_file: Option<PathBuf>,
    /// Keep what is held in this folder; EarthScope's login only with `share = false` [env: BROKER_STATE_DIR]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) state_dir: Option<PathBuf>,
    /// Say more on stderr; again for more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say nothing on stderr but errors, their hints, and what a login shows and asks
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
// Only the command that is typed is made ready.
#[command(defer = true)]
pub(crate) enum Command {
    Token(Token),
    Exec(Exec),
    Login(Login),
    Logout(Logout),
    Status(Status),
    List(List),
    Inspect(Inspect),
    Doctor(Doctor),
    Import(Import),
    Add(Add),
    NewProvider(NewProvider),
    /// Speak the protocol of a program that asks for credentials
    #[command(subcommand)]
    Helper(Helper),
    /// Show where the configuration is, check it, or show what is in it
    #[command(subcommand)]
    Config(Config),
    /// Show how what is held is kept, or keep it in the configured way
    #[command(subcommand)]
    Store(Store),
    Completions(Completions),
    Man(Man),
}

/// Log in: in a browser on any device, or with a password, as the service does it
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  broker login earthscope\n  \
    pass show carbonmapper | broker login carbonmapper --password-stdin")]
pub(crate) struct Login {
    /// The provider; `broker list` shows which there are
    #[arg(add = ArgValueCandidates::new(providers))]
    pub(crate) provider: String,
    /// Do not open a browser; a login that comes back to this machine asks for the address it ended at
    #[arg(long)]
    pub(crate) no_browser: bool,
    /// Read a refresh token from another host on standard input
    #[arg(long, conflicts_with = "password_stdin")]
    pub(crate) refresh_token_stdin: bool,
    /// Read the password on standard input
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

/// Log out: revoke at the service what can be revoked there, then forget it
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  broker logout earthscope")]
pub(crate) struct Logout {
    /// The provider
    #[arg(add = ArgValueCandidates::new(providers))]
    pub(crate) provider: String,
    /// Only forget, without asking the service
    #[arg(long)]
    pub(crate) local: bool,
}

/// Show what is held and for how long; never a secret
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  broker status\n  broker status earthscope --json")]
pub(crate) struct Status {
    /// The providers; all if none is named
    #[arg(add = ArgValueCandidates::new(providers))]
    pub(crate) providers: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// List the configured providers, their kinds and where each is configured
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  broker list --json")]
pub(crate) struct List {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  $EDITOR \"$(broker config path)\"\n  broker config check")]
pub(crate) enum Config {
    /// Print the path of the configuration file that is yours to write
    Path,
    /// Check the whole configuration
    Check,
    /// Print what is configured, and where each value is from; secrets stay unseen
    Show,
}

#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  broker store status\n  broker store migrate   # after a change of `store`"
)]
pub(crate) enum Store {
    /// Show how new logins are kept, how each record is, and whether the OS keyring answers
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write every record in the way that `store` says: a file, or sealed; none is lost if this is cut off
    Migrate,
}

/// Print completions for a shell, or install them: commands, flags, formats, and the names of your providers
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  broker completions bash --install\n  source <(broker completions zsh)   # in ~/.zshrc"
)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
    /// Put them where bash or fish looks; for other shells print the line that their file needs
    #[arg(long)]
    pub(crate) install: bool,
}

/// Show what a held token says of itself, if it is a JWT: its claims, never its signature
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  broker inspect earthscope --json")]
pub(crate) struct Inspect {
    /// The provider
    #[arg(add = ArgValueCandidates::new(providers))]
    pub(crate) provider: String,
    /// The token of these scopes; can be given more than once
    #[arg(long, value_name = "SCOPE")]
    pub(crate) scope: Vec<String>,
    /// Ask the service too what it says of the token (RFC 7662)
    #[arg(long)]
    pub(crate) introspect: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Look for what is wrong: configuration, permissions, clock, network, logins; each with what mends it
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  broker doctor\n  broker doctor earthscope --json --offline")]
pub(crate) struct Doctor {
    /// The provider; all if none is named
    #[arg(add = ArgValueCandidates::new(providers))]
    pub(crate) provider: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Ask no service
    #[arg(long)]
    pub(crate) offline: bool,
}

/// Show logins and secrets of the services' own tools on this machine, or take some over; nothing is deleted
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  broker import              # show what is there\n  broker import EDS.env      # take it over\n  \
    broker import ~/.earthdaily/credentials --as earthdaily-work"
)]
pub(crate) struct Import {
    /// What to take over: a file, or a number of the list that is shown without
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) what: Vec<String>,
    /// The name the provider gets
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Add a service of the gallery to your configuration, list the gallery, or search it
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  broker add                 # list the gallery\n  broker add nasa            # search it\n  broker add cdse\n  \
    broker add cdse --as cdse-work --dry-run"
)]
pub(crate) struct Add {
    /// The service; a word that is not a service lists the services that match it
    #[arg(add = ArgValueCandidates::new(gallery))]
    pub(crate) service: Option<String>,
    /// The name the provider gets
    #[arg(long = "as", value_name = "NAME", requires = "service")]
    pub(crate) name: Option<String>,
    /// Only show what would be added
    #[arg(long, requires = "service")]
    pub(crate) dry_run: bool,
    /// Print the list as JSON
    #[arg(long, conflicts_with = "service")]
    pub(crate) json: bool,
}

/// Write the crate of a new provider, with tests that pass
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  broker new-provider my-service --into crates")]
pub(crate) struct NewProvider {
    /// The kind's name: small letters, digits and `-`
    pub(crate) name: String,
    /// The folder that the crate's folder is made in
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) into: PathBuf,
}

/// Write man pages into a folder, which is made if it is not there
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  broker man ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// The folder
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) folder: PathBuf,
}

/// `10m`.
fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| format!("`{text}` is no duration (90s, 10m, 2h, 7d)"))
}

/// `NAME=VALUE`.
fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}
