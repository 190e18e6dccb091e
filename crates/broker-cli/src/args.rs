//! The words of the command line.

#![allow(clippy::doc_markdown, reason = "what stands here is shown by --help as it is")]
#![allow(
    clippy::struct_excessive_bools,
    clippy::struct_field_names,
    reason = "flags are called what they are"
)]

use std::path::PathBuf;
use std::time::Duration;

use broker::Lifetime;
use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand, ValueEnum};
use clap_complete::{ArgValueCandidates, Shell};

use crate::commands::completions::providers;

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
    /// Take the variables of the services' own clients (EDS_…, ES_…, CARBONMAPPER_…) from this file alone
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
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
    Exec(Exec),
    Login(Login),
    Logout(Logout),
    Status(Status),
    List(List),
    Inspect(Inspect),
    Doctor(Doctor),
    Import(Import),
    /// Speak the protocol of a program that asks for credentials
    #[command(subcommand)]
    Helper(Helper),
    /// Show where the configuration is, check it, or show what is in it
    #[command(subcommand)]
    Config(Config),
    Completions(Completions),
    Man(Man),
}

/// Print a token: the held one, or a new one when it is due
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  broker token earthscope\n  broker token carbonmapper --scope stac --expires 7d\n  \
    printf %s \"$TOKEN\" | broker token earthscope --rejected   # after a 401\n  \
    eval \"$(broker token earthdaily --format env)\"   # sets EDS_TOKEN\n  \
    broker token earthscope --format curl | curl -K - https://data.earthscope.org/…\n  \
    broker token earthdaily --format gdal-headers -o ~/.gdal-headers"
)]
pub(crate) struct Token {
    /// The provider; `broker list` shows which there are
    #[arg(add = ArgValueCandidates::new(providers))]
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
    /// How to print it; text if nothing else is said
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// Write it to this file (0600, in one step) in place of printing it; - is standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// The shell that formats env and gdal are for; sh if none is named
    #[arg(long, value_enum, value_name = "SHELL")]
    pub(crate) shell: Option<ShellKind>,
    /// Print this text: {token}, {token_type}, {scope}, {expires_at}, {expires_in}, {provider}; {{ and }} are braces
    #[arg(long, value_name = "TEXT")]
    pub(crate) template: Option<String>,
    /// Get keys for Amazon's services for this role (s3-miniseed-v2), in format aws, env, dotenv or json
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Option<String>,
    /// A parameter of the role; can be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter, requires = "role")]
    pub(crate) param: Vec<(String, String)>,
    /// Print the refresh token, to log in with on another host
    #[arg(long, conflicts_with_all = ["scope", "expires", "min_ttl", "force", "rejected", "name"])]
    #[arg(conflicts_with_all = ["format", "shell", "template", "role"])]
    pub(crate) refresh_token: bool,
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
    /// A line for a shell: `export EARTHSCOPE_TOKEN=…` (see --shell)
    Env,
    /// Lines for `curl -K -`
    Curl,
    /// Lines for wget's configuration file: `wget --config=FILE …`
    Wget,
    /// Variables for GDAL, as lines for a shell: GDAL_HTTP_AUTH, GDAL_HTTP_BEARER (see --shell)
    Gdal,
    /// A file for GDAL_HTTP_HEADER_FILE; GDAL sends it to every host
    GdalHeaders,
    /// A line of a .env file: `EARTHSCOPE_TOKEN=…`
    Dotenv,
    /// CREATE SECRET for DuckDB, for the provider's hosts
    Duckdb,
    /// An ExecCredential for kubectl
    ExecCredential,
    /// Keys for Amazon's services, as `credential_process` has them (with --role)
    Aws,
    /// A cookie file for GDAL_HTTP_COOKIEFILE and curl (Netscape format)
    Cookies,
    /// Lines of a .netrc file, for the provider's hosts
    Netrc,
    /// Text of your own: see --template
    Template,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShellKind {
    /// POSIX shells: sh, bash, zsh
    #[value(aliases = ["bash", "zsh"])]
    Sh,
    /// fish
    Fish,
    /// PowerShell
    #[value(alias = "pwsh")]
    Powershell,
}

/// Log in: in a browser on any device, or with a password, as the service does it
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  broker login earthscope\n  \
    pass show carbonmapper | broker login carbonmapper --password-stdin")]
pub(crate) struct Login {
    /// The provider; `broker list` shows which there are
    #[arg(add = ArgValueCandidates::new(providers))]
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

/// Run a command with tokens in its environment, never in its arguments
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  broker exec earthscope -- python3 download.py   # EARTHSCOPE_TOKEN\n  \
    broker exec earthdaily,carbonmapper -- make\n  broker exec --file earthscope -- ./long-job.sh   # EARTHSCOPE_TOKEN_FILE")]
pub(crate) struct Exec {
    /// The providers, with commas between them
    #[arg(value_delimiter = ',', required = true, add = ArgValueCandidates::new(providers))]
    pub(crate) providers: Vec<String>,
    /// Give paths of files (0600) that are renewed while the command runs, and gone after: in NAME_FILE for a variable NAME
    #[arg(long)]
    pub(crate) file: bool,
    /// A scope to ask for; can be given more than once
    #[arg(long, value_name = "SCOPE")]
    pub(crate) scope: Vec<String>,
    /// The life that must be left when the command starts: 10m, 2h
    #[arg(long, value_name = "DUR", value_parser = humantime::parse_duration)]
    pub(crate) min_ttl: Option<Duration>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
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
    pub(crate) what: Vec<String>,
    /// The name the provider gets
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Programs that ask for credentials in a protocol of their own
#[derive(Debug, Subcommand)]
#[command(
    after_help = "How each is set up is in docs/helpers.md. Tokens are offered to a provider's hosts alone: \
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

/// Write man pages into a folder, which is made if it is not there
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  broker man ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// The folder
    pub(crate) folder: PathBuf,
}

/// `NAME=VALUE`.
pub(crate) fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}
