//! The words of `broker token`.

#![allow(clippy::doc_markdown, reason = "what stands here is shown by --help as it is")]
#![allow(
    clippy::struct_excessive_bools,
    clippy::struct_field_names,
    reason = "flags are called what they are"
)]

use std::path::PathBuf;
use std::time::Duration;

use broker::Lifetime;
use clap::{Args as ClapArgs, ValueEnum, ValueHint};
use clap_complete::ArgValueCandidates;

use super::{duration, parameter};
use crate::candidates::providers;

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
    #[arg(long, value_name = "DUR", value_parser = duration)]
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
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
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
    #[arg(long, conflicts_with_all = ["login", "wait", "scope", "expires", "min_ttl", "force", "rejected", "name"])]
    #[arg(conflicts_with_all = ["format", "shell", "template", "role", "param"])]
    pub(crate) refresh_token: bool,
    /// Log in first if a login is needed
    #[arg(long)]
    pub(crate) login: bool,
    /// How long to wait for another process that renews or logs in
    #[arg(long, value_name = "DUR", value_parser = duration, default_value = "2m")]
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
