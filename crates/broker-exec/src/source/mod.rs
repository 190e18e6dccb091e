//! Programs that print tokens and do not implement the plugin protocol.

mod aws;
mod cargo;
mod json;
mod kubectl;

use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use broker_core::{
    Claims, Context, Derived, Error, ErrorCode, Hint, Issuer, Provider, Record, RecordUpdate, RequestPart,
    Result, Secret, SettingsError, Token, TokenRequest, refuse_derived, refuse_lifetime, refuse_scopes,
};
use chrono::{DateTime, Utc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStdout;
use zeroize::Zeroizing;

use crate::config::{Config, Protocol};
use crate::plugin::DEFAULT_LIFETIME;
use crate::program::Program;

const MAX_OUTPUT: usize = 1 << 20;

/// The time limit of a program, which may prompt the user for a passphrase.
const TIMEOUT: Duration = Duration::from_mins(2);

/// How long to read remaining output after the program has exited.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(100);

/// A provider that runs a program which prints tokens.
pub(crate) struct Source {
    program: Program,
    config: Config,
    issuer: Issuer,
}

struct PrintedToken {
    secret: Secret,
    expires_at: Option<DateTime<Utc>>,
    token_type: Option<&'static str>,
}

/// Reads the output until the limit is exceeded.
async fn read_output(stdout: Option<ChildStdout>, output: &mut Vec<u8>) -> std::io::Result<()> {
    let Some(mut stdout) = stdout else { return Ok(()) };
    while output.len() <= MAX_OUTPUT && stdout.read_buf(output).await? > 0 {}
    Ok(())
}

impl Source {
    pub(crate) fn new(mut config: Config) -> Result<Self, SettingsError> {
        let mut words = std::mem::take(&mut config.command.0);
        if config.protocol == Protocol::Cargo {
            words.push("--cargo-plugin".to_owned());
        }
        let program = Program::new(words)?;
        // These settings decide which part of the output is the token, so a change invalidates stored tokens.
        let settings = [Some(config.protocol.name()), config.token.as_deref(), config.expires.as_deref()];
        let mut settings: Vec<_> = settings.into_iter().flatten().map(str::to_owned).collect();
        settings.extend(config.expires_as.as_ref().map(|format| format!("{format:?}")));
        settings.extend(config.registry.clone());
        let issuer = Issuer {
            kind: "exec".to_owned(),
            flow: "program".to_owned(),
            endpoint: program.endpoint(),
            client_id: None,
            audience: Some(settings.join(" ")),
            secret_fingerprint: None,
        };
        Ok(Self { program, config, issuer })
    }

    /// Runs the program in the broker's process group, because the program may prompt at the terminal.
    async fn run(&self, context: &Context) -> Result<Zeroizing<Vec<u8>>> {
        let mut command = self.program.command(context.env())?;
        let is_cargo = self.config.protocol == Protocol::Cargo;
        command.stdin(if is_cargo { Stdio::piped() } else { Stdio::null() }).stdout(Stdio::piped());
        if self.config.protocol == Protocol::Kubectl {
            command.env("KUBERNETES_EXEC_INFO", kubectl::INFO);
        }
        let mut child = command.spawn().map_err(|error| self.program.cannot_start(error))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let run = async {
            let mut output = Zeroizing::new(Vec::with_capacity(64 * 1024));
            if let (Some(mut stdin), Some(registry)) = (stdin, &self.config.registry) {
                // If this write fails, the program's output or exit status shows the error.
                let _ = stdin.write_all(&cargo::request(registry)).await;
            }
            let status = {
                let mut reading = pin!(read_output(stdout, &mut output));
                tokio::select! {
                    biased;
                    read = &mut reading => read.map(|()| None),
                    status = child.wait() => {
                        // A child process of the program may keep the pipe open.
                        let _ = tokio::time::timeout(DRAIN_TIMEOUT, reading).await;
                        status.map(Some)
                    }
                }?
            };
            Ok::<_, std::io::Error>(match status {
                _ if output.len() > MAX_OUTPUT => (output, None),
                None => (output, Some(child.wait().await?)),
                status => (output, status),
            })
        };
        let name = self.program.name();
        let error = |code, problem: &str| Error::new(code, format!("program `{name}`: {problem}"));
        match tokio::time::timeout(TIMEOUT, run).await {
            Err(_) => Err(error(ErrorCode::Timeout, "the process did not end within 2 minutes")),
            Ok(Err(cause)) => {
                let problem = format!("cannot read the output: {cause}");
                Err(error(ErrorCode::ProgramFailed, &problem).with_source(cause))
            }
            Ok(Ok((_, None))) => Err(error(ErrorCode::ProgramFailed, "the output exceeds 1 MiB")),
            Ok(Ok((output, Some(status)))) if status.success() => Ok(output),
            // Programs of cargo's protocol report errors on stdout.
            Ok(Ok((output, Some(_)))) if is_cargo && cargo::is_error(&output) => Ok(output),
            Ok(Ok((_, Some(status)))) => {
                Err(error(ErrorCode::ProgramFailed, &format!("the process failed: {status}"))
                    .with_hint("run the `command` of this provider in a terminal: it may need its own login"))
            }
        }
    }

    fn parse(&self, output: &[u8], now: DateTime<Utc>) -> Result<PrintedToken> {
        let name = self.program.name();
        let text = std::str::from_utf8(output).unwrap_or_default().trim_start_matches('\u{feff}');
        let printed = match self.config.protocol {
            Protocol::Json => json::parse(text, &self.config, now),
            Protocol::Aws => aws::parse(text),
            Protocol::Kubectl => kubectl::parse(text),
            Protocol::Cargo => cargo::parse(text, &name, now)?,
            Protocol::Text | Protocol::Broker => {
                let line = text.lines().next().unwrap_or_default().trim();
                // A token contains no whitespace and is not a web page.
                let is_token = !line.starts_with('<') && !line.contains(char::is_whitespace);
                let secret = Secret::new(if is_token { line } else { "" });
                Ok(PrintedToken { secret, expires_at: None, token_type: None })
            }
        };
        let error = |problem| Error::new(ErrorCode::ProgramFailed, format!("program `{name}`: {problem}"));
        match printed {
            Ok(printed) if printed.secret.expose().is_empty() => Err(error("the output has no token")),
            Ok(printed) => Ok(printed),
            Err(problem) => Err(error(problem)),
        }
    }

    fn token(&self, printed: PrintedToken, sent_at: DateTime<Utc>) -> Token {
        let lifetime = self.config.lifetime.map_or(DEFAULT_LIFETIME, |lifetime| lifetime.0);
        let claimed = || Claims::read(&printed.secret)?.expires_at();
        let expires_at = printed.expires_at.or_else(claimed).or_else(|| sent_at.checked_add_signed(lifetime));
        let token = Token::new(printed.secret, sent_at, expires_at);
        token.with_type(printed.token_type.unwrap_or("Bearer"))
    }
}

#[async_trait]
impl Provider for Source {
    fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    fn check(&self, request: &TokenRequest, _now: DateTime<Utc>) -> Result<()> {
        let unsupported = |message: &str| Error::new(ErrorCode::RequestUnsupported, message);
        match request.asked_derived() {
            Some(derived) if self.config.protocol == Protocol::Aws && derived.what == Derived::AWS => {
                if !derived.which.is_empty() || !derived.params.is_empty() {
                    return Err(unsupported(
                        "the caller cannot choose the role of this program's AWS credentials",
                    )
                    .with_hint(Hint::LeaveOut(RequestPart::AwsRole)));
                }
            }
            None if self.config.protocol == Protocol::Aws => {
                return Err(
                    unsupported("this program issues AWS credentials only").with_hint(Hint::RequestAwsKeys)
                );
            }
            _ => {
                refuse_derived(request)?;
                refuse_scopes(request)?;
            }
        }
        refuse_lifetime(request)
    }

    fn sources(&self) -> Vec<String> {
        vec![format!("the program `{}`", self.program.name())]
    }

    fn can_renew(&self, _record: &Record) -> bool {
        true
    }

    fn spends_grant(&self, _record: &Record, _request: &TokenRequest, _now: DateTime<Utc>) -> bool {
        false
    }

    async fn exchange(
        &self,
        context: &Context,
        _record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        let sent_at = context.now();
        // The program may refresh its own login, which a signal must not interrupt.
        context
            .exchange(async {
                let output = self.run(context).await?;
                let printed = self.parse(&output, sent_at)?;
                Ok(RecordUpdate::token(request.scopes(), self.token(printed, sent_at)))
            })
            .await
    }
}
