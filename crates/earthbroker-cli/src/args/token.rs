//! The arguments of `broker token`.

#![allow(
    clippy::struct_excessive_bools,
    clippy::struct_field_names,
    reason = "clap names the command-line flags after the fields"
)]

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum, ValueHint};
use clap_complete::ArgValueCandidates;
use earthbroker::Lifetime;

use super::{duration, parameter};
use crate::commands::completions::providers;

#[derive(Debug, ClapArgs)]
#[command(after_help = include_str!("../../help/token.txt"))]
pub(crate) struct Token {
    /// Name of the provider (see `broker list`)
    #[arg(add = ArgValueCandidates::new(providers))]
    pub(crate) provider: String,
    /// Request this scope; repeat for more scopes
    #[arg(long, value_name = "SCOPE")]
    pub(crate) scope: Vec<String>,
    /// Requested lifetime: 7d, 36h, 2w, or a date. Replaces a stored token that was requested and issued for a shorter time
    #[arg(long, value_name = "DUR")]
    pub(crate) expires: Option<Lifetime>,
    /// Shortest remaining lifetime of the token: 10m, 2h. Gets a new token if the stored token expires sooner
    #[arg(long, value_name = "DUR", value_parser = duration)]
    pub(crate) min_ttl: Option<Duration>,
    /// Get a new token even if the stored one is valid
    #[arg(long)]
    pub(crate) force: bool,
    /// Replace the stored token, because the service rejected it (401)
    #[arg(long, conflicts_with = "force")]
    pub(crate) rejected: bool,
    /// Read a rejected token from standard input and replace it, unless another process has replaced it
    #[arg(long, conflicts_with_all = ["force", "rejected"])]
    pub(crate) rejected_stdin: bool,
    /// Name of a new token in the account's list of tokens
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Output format [default: text]
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// Write to this file (mode 0600, atomically) instead of standard output; - is standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Shell for the formats env and gdal [default: sh]
    #[arg(long, value_enum, value_name = "SHELL")]
    pub(crate) shell: Option<ShellKind>,
    /// Print this text with {token}, {token_type}, {scope}, {expires_at}, {expires_in}, {provider} filled in; {{ and
    /// }} are braces
    #[arg(long, value_name = "TEXT")]
    pub(crate) template: Option<String>,
    /// Get AWS keys for this role, in format aws, env, dotenv or json
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Option<String>,
    /// Parameter of the role, as NAME=VALUE; repeat for more
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter, requires = "role")]
    pub(crate) param: Vec<(String, String)>,
    /// Print the refresh token, to log in with it on another host
    #[arg(long, conflicts_with_all = ["login", "wait", "scope", "expires", "min_ttl", "force", "rejected", "rejected_stdin", "name"])]
    #[arg(conflicts_with_all = ["format", "shell", "template", "role", "param"])]
    pub(crate) refresh_token: bool,
    /// Log in first if a login is needed
    #[arg(long)]
    pub(crate) login: bool,
    /// Longest time to wait for another process that renews the token or logs in
    #[arg(long, value_name = "DUR", value_parser = duration, default_value = "2m")]
    pub(crate) wait: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Only the token
    Text,
    /// A JSON object: version, provider, token, token_type, scope, expires_at, expires_in
    Json,
    /// An HTTP header: `Authorization: Bearer …`
    Header,
    /// A line for a shell: `export VARIABLE=…` (see --shell)
    Env,
    /// Lines for `curl -K -`
    Curl,
    /// A configuration file for wget: `wget --config=FILE …`
    Wget,
    /// Lines for a shell that set GDAL_HTTP_AUTH and GDAL_HTTP_BEARER (see --shell)
    Gdal,
    /// A file for GDAL_HTTP_HEADER_FILE; GDAL sends the token to every host
    GdalHeaders,
    /// A line of a .env file: `VARIABLE=…`
    Dotenv,
    /// CREATE SECRET statements for DuckDB, one for each host of the provider
    Duckdb,
    /// An ExecCredential for kubectl
    ExecCredential,
    /// AWS keys for `credential_process` (with --role)
    Aws,
    /// A cookie file for GDAL_HTTP_COOKIEFILE and curl (Netscape format)
    Cookies,
    /// Lines for a .netrc file, one for each host of the provider
    Netrc,
    /// Your own text: see --template
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
