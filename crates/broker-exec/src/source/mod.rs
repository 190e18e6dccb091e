//! Programs that print tokens and do not implement the plugin protocol.

mod credentials;
mod json;

use std::io;
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use broker_core::{
    Derived, Error, ErrorCode, Expiry, Hint, Issuer, Operation, Provider, ProviderInfo, Record, RecordUpdate,
    RequestPart, Result, Secret, Settings, SettingsError, Token, TokenRequest, is_utf16,
};
use chrono::{DateTime, Utc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStdout;
use zeroize::Zeroizing;

use crate::config::{Config, Protocol};
use crate::process::DRAIN_TIMEOUT;
use crate::program::Program;
use credentials::{KUBECTL_INFO, cargo_request, is_cargo_error};

const MAX_OUTPUT: usize = 1 << 20;

/// The time limit of a program, which may prompt the user for a passphrase.
const TIMEOUT: Duration = Duration::from_mins(2);

const RUN_IN_TERMINAL: &str = "run the `command` of this provider in a terminal: it may need its own login";

/// A provider that runs a program which prints tokens.
pub(crate) struct Source {
    program: Program,
    config: Config,
    info: ProviderInfo,
}

/// Reads the program's output until the output ends or exceeds the limit.
async fn read_output(stdout: Option<ChildStdout>, output: &mut Vec<u8>) -> io::Result<()> {
    let Some(mut stdout) = stdout else { return Ok(()) };
    while output.len() <= MAX_OUTPUT && stdout.read_buf(output).await? > 0 {}
    Ok(())
}

impl Source {
    pub(crate) fn new(settings: &Settings<'_>, mut config: Config) -> Result<Self, SettingsError> {
        let mut words = std::mem::take(&mut config.command.0);
        if config.protocol == Protocol::Cargo {
            words.push("--cargo-plugin".to_owned());
        }
        let program = Program::new(words, Vec::new())?;
        // The settings that select the token in the program's output. After a change, stored tokens are not used.
        let mut selection = vec![config.protocol.name()];
        let expires_as = config.expires_as.as_ref().map(|format| format!("{format:?}"));
        let optional = [config.token.clone(), config.expires.clone(), expires_as, config.registry.clone()];
        selection.extend(optional.into_iter().flatten());
        let issuer = Issuer {
            audience: Some(selection.join(" ")),
            environment: settings.bound(),
            ..Issuer::new("exec", "program", &program.endpoint())
        };
        let mut info = ProviderInfo::new(issuer);
        if config.protocol == Protocol::Aws {
            info.requests.derived = &[Derived::AWS];
        }
        info.sources = vec![format!("the program `{}`", program.name())];
        info.program = Some(program.name());
        Ok(Self { program, config, info })
    }

    /// Runs the program in the broker's process group, because the program may prompt at the terminal.
    async fn run(&self, operation: &Operation) -> Result<Zeroizing<Vec<u8>>> {
        let mut command = self.program.command(operation.env())?;
        let is_cargo = self.config.protocol == Protocol::Cargo;
        command.stdin(if is_cargo { Stdio::piped() } else { Stdio::null() }).stdout(Stdio::piped());
        if self.config.protocol == Protocol::Kubectl {
            command.env("KUBERNETES_EXEC_INFO", KUBECTL_INFO);
        }
        let mut child = command.spawn().map_err(|error| self.program.cannot_start(error))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let cannot_read =
            |cause: io::Error| self.failed(&format!("cannot read the output: {cause}")).with_source(cause);
        let run = async {
            let mut output = Zeroizing::new(Vec::with_capacity(64 * 1024));
            if let (Some(mut stdin), Some(registry)) = (stdin, &self.config.registry) {
                // A write error is ignored, because the program's output or exit status shows the cause.
                let _ = stdin.write_all(&cargo_request(registry)).await;
            }
            {
                let mut reading = pin!(read_output(stdout, &mut output));
                tokio::select! {
                    biased;
                    read = &mut reading => read.map_err(cannot_read)?,
                    _ = child.wait() => {
                        // A child process may keep stdout open after the program's exit, so the wait has a limit.
                        let _ = tokio::time::timeout(DRAIN_TIMEOUT, reading).await;
                    }
                }
            }
            if output.len() > MAX_OUTPUT {
                return Err(self.failed("the output exceeds 1 MiB"));
            }
            let status = child.wait().await.map_err(cannot_read)?;
            // In some protocols, a program that fails prints the error on stdout.
            if status.success() || self.is_error(&output) {
                return Ok(output);
            }
            Err(self.failed(&format!("the program failed: {status}")).with_hint(RUN_IN_TERMINAL))
        };
        let too_slow = |_| Err(self.error(ErrorCode::Timeout, "the program did not end within 2 minutes"));
        tokio::time::timeout(TIMEOUT, run).await.unwrap_or_else(too_slow)
    }

    fn is_error(&self, output: &[u8]) -> bool {
        match self.config.protocol {
            Protocol::Cargo => is_cargo_error(output),
            Protocol::Json => json::is_error(output),
            _ => false,
        }
    }

    fn error(&self, code: ErrorCode, problem: &str) -> Error {
        Error::new(code, format!("program `{}`: {problem}", self.program.name()))
    }

    fn failed(&self, problem: &str) -> Error {
        self.error(ErrorCode::ProgramFailed, problem)
    }

    fn parse(&self, output: &[u8], now: DateTime<Utc>) -> Result<Token> {
        if is_utf16(output) {
            return Err(self.failed("the output is UTF-16 text: make the program print UTF-8"));
        }
        let text = std::str::from_utf8(output).map_err(|_| self.failed("the output is not UTF-8 text"))?;
        let text = text.trim_start_matches('\u{feff}');
        let token = match self.config.protocol {
            Protocol::Json => self.json(text, now)?,
            Protocol::Aws => self.aws(text, now)?,
            Protocol::Kubectl => self.kubectl(text, now)?,
            Protocol::Cargo => self.cargo(text, now)?,
            Protocol::Text | Protocol::Broker => {
                let line = Token::bare(Secret::new(text.lines().next().unwrap_or_default().trim()));
                // A token contains no whitespace and is neither a web page nor JSON.
                let is_token =
                    !line.expose().starts_with(['<', '{']) && !line.expose().contains(char::is_whitespace);
                self.token(if is_token { line } else { Secret::new("") }, None, now)
            }
        };
        if token.secret().expose().is_empty() {
            Err(self.failed("the output has no token"))
        } else {
            Ok(token)
        }
    }

    fn token(
        &self,
        secret: Secret,
        expiry: impl IntoIterator<Item = Expiry>,
        sent_at: DateTime<Utc>,
    ) -> Token {
        Token::printed(secret, sent_at, expiry, self.config.lifetime())
    }
}

#[async_trait]
impl Provider for Source {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    fn check(&self, request: &TokenRequest, _now: DateTime<Utc>) -> Result<()> {
        let unsupported = |message: &str, hint: Hint| {
            Err(Error::new(ErrorCode::RequestUnsupported, message).with_hint(hint))
        };
        self.info.requests.check(request)?;
        match request.asked_derived() {
            Some(aws) if !aws.which.is_empty() || !aws.params.is_empty() => {
                let message = "the caller cannot choose the role of this program's AWS credentials";
                unsupported(message, Hint::LeaveOut(RequestPart::AwsRole))
            }
            None if self.config.protocol == Protocol::Aws => {
                unsupported("this program issues AWS credentials only", Hint::RequestAwsKeys)
            }
            _ => Ok(()),
        }
    }

    async fn exchange(
        &self,
        operation: &Operation,
        _record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        let sent_at = operation.now();
        let exchange = async {
            let output = self.run(operation).await?;
            Ok(RecordUpdate::token(request.scopes(), self.parse(&output, sent_at)?))
        };
        // The program may be refreshing its own login, so a signal must not interrupt the program.
        operation.exchange(exchange).await
    }
}
