//! The words of the command line.

#![allow(clippy::doc_markdown, reason = "what stands here is shown by --help as it is")]

use std::path::PathBuf;
use std::time::Duration;

use broker::Lifetime;
use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Tokens for earth-data services: EarthScope, EarthDaily, Carbon Mapper.
///
/// A token is held until it is due for renewal, and renewed once, however many ask.
#[derive(Debug, Parser)]
#[command(name = "broker", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Examples:\n  broker login earthscope\n  broker token earthscope\n  \
    curl -H \"$(broker token earthdaily --format header)\" \\\n    https://api.earthdaily.com/platform/v1/stac")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) everywhere: Everywhere,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Everywhere {
    /// Read this configuration file in the place of the usual ones [env: BROKER_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Keep what is held in this folder [env: BROKER_STATE_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Say more on stderr; again for more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Token(Token),
    Login(Login),
    Logout(Logout),
    Status(Status),
    List(List),
    /// Show where the configuration is, check it, or show what is in it
    #[command(subcommand)]
    Config(Config),
    Completions(Completions),
}

/// Print a token: the held one, or a new one when it is due
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  broker token earthscope\n  broker token carbonmapper --scope stac --expires 7d\n  \
    printf %s \"$TOKEN\" | broker token earthscope --rejected   # after a 401\n  \
    eval \"$(broker token earthdaily --format env)\"   # sets EDS_TOKEN"
)]
pub(crate) struct Token {
    /// The provider; `broker list` shows which there are
    pub(crate) provider: String,
    /// A scope to ask for; can be given more than once
    #[arg(long, value_name = "SCOPE")]
    pub(crate) scope: Vec<String>,
    /// The life of a token that is minted: 7d, 36h, 2w, or a date; a held one is reused
    #[arg(long, value_name = "DUR")]
    pub(crate) expires: Option<Lifetime>,
    /// The life that must be left: 10m, 2h
    #[arg(long, value_name = "DUR", value_parser = humantime::parse_duration)]
    pub(crate) min_ttl: Option<Duration>,
    /// Get a new token, whatever is held
    #[arg(long)]
    pub(crate) force: bool,
    /// The service does not take the token (401): get another, once for all who say so. The token is read on standard
    /// input; if nothing comes there, or it is a terminal, the held one is meant
    #[arg(long, conflicts_with = "force")]
    pub(crate) rejected: bool,
    /// The name of a token that is minted, in the account's list of tokens
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Log in first if a login is needed
    #[arg(long)]
    pub(crate) login: bool,
    /// How long to wait for another process that renews or logs in
    #[arg(long, value_name = "DUR", value_parser = humantime::parse_duration, default_value = "2m")]
    pub(crate) wait: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The token alone
    Text,
    /// An object with version, provider, token, token_type, scope, expires_at, expires_in
    Json,
    /// A line for an HTTP header: `Authorization: Bearer …`
    Header,
    /// A line for a POSIX shell: `export EARTHSCOPE_TOKEN=…`
    Env,
}

/// Log in: in a browser on any device, or with a password, as the service does it
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  broker login earthscope\n  \
    pass show carbonmapper | broker login carbonmapper --password-stdin")]
pub(crate) struct Login {
    /// The provider; `broker list` shows which there are
    pub(crate) provider: String,
    /// Do not open a browser
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

/// Print completions for a shell
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Example:\n  broker completions bash > ~/.local/share/bash-completion/completions/broker"
)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}
