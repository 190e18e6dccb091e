//! Programs that print tokens, and speak no protocol of ours.

mod aws;
mod cargo;
mod json;
mod kubectl;

use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use broker_core::{
    Claims, Context, Derived, Error, Issuer, Provider, Record, RecordUpdate, Result, Secret, SettingsError,
    Token, TokenRequest, refuse_derived, refuse_life, refuse_scopes,
};
use chrono::{DateTime, Utc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStdout;
use zeroize::Zeroizing;

use crate::config::{Config, Protocol};
use crate::plugin::DEFAULT_LIFE;
use crate::program::Program;

/// The most a program may print.
const MOST_OUTPUT: usize = 1 << 20;

/// It may ask a person for a passphrase, so it gets a while.
const TIMEOUT: Duration = Duration::from_mins(2);

/// What is in a pipe whose writer has ended comes at once.
const REST: Duration = Duration::from_millis(100);

/// A provider that is a program which prints tokens.
pub(crate) struct Source {
    program: Program,
    config: Config,
    issuer: Issuer,
}

/// What a program printed.
struct Printed {
    secret: Secret,
    /// When it ends, as far as it said.
    ends: Ends,
    token_type: Option<&'static str>,
}

enum Ends {
    At(DateTime<Utc>),
    Unsaid,
}

/// Reads what it prints, up to a little more than it may.
async fn all(stdout: Option<ChildStdout>, output: &mut Vec<u8>) -> std::io::Result<()> {
    let Some(mut stdout) = stdout else { return Ok(()) };
    while output.len() <= MOST_OUTPUT && stdout.read_buf(output).await? > 0 {}
    Ok(())
}

impl Source {
    pub(crate) fn new(mut config: Config) -> Result<Self, SettingsError> {
        let mut words = std::mem::take(&mut config.command.0);
        if config.speaks == Protocol::Cargo {
            words.push("--cargo-plugin".to_owned());
        }
        let program = Program::new(words)?;
        // Read otherwise, the same output has another token.
        let read = [Some(config.speaks.name()), config.token.as_deref(), config.expires.as_deref()];
        let mut read: Vec<_> = read.into_iter().flatten().map(str::to_owned).collect();
        read.extend(config.expires_as.as_ref().map(|form| format!("{form:?}")));
        read.extend(config.registry.clone());
        let issuer = Issuer {
            kind: "exec".to_owned(),
            flow: "program".to_owned(),
            endpoint: program.endpoint(),
            client_id: None,
            audience: Some(read.join(" ")),
            secret_fingerprint: None,
        };
        Ok(Self { program, config, issuer })
    }

    /// Runs it: in the foreground, since it may ask at the terminal.
    async fn run(&self, context: &Context) -> Result<Zeroizing<Vec<u8>>> {
        let mut command = self.program.command(context.env())?;
        let talks = self.config.speaks == Protocol::Cargo;
        command.stdin(if talks { Stdio::piped() } else { Stdio::null() }).stdout(Stdio::piped());
        if self.config.speaks == Protocol::Kubectl {
            command.env("KUBERNETES_EXEC_INFO", kubectl::INFO);
        }
        let mut child = command.spawn().map_err(|error| self.program.not_started(error))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let run = async {
            let mut output = Zeroizing::new(Vec::with_capacity(64 * 1024));
            if let (Some(mut stdin), Some(registry)) = (stdin, &self.config.registry) {
                // One that does not read it shows in what it prints.
                let _ = stdin.write_all(&cargo::get(registry)).await;
            }
            let status = {
                let mut reading = pin!(all(stdout, &mut output));
                tokio::select! {
                    biased;
                    read = &mut reading => read.map(|()| None),
                    status = child.wait() => {
                        // What it has started may hold the pipe open for ever.
                        let _ = tokio::time::timeout(REST, reading).await;
                        status.map(Some)
                    }
                }?
            };
            Ok(match status {
                _ if output.len() > MOST_OUTPUT => (output, None),
                None => (output, Some(child.wait().await?)),
                status => (output, status),
            })
        };
        let name = self.program.name();
        match tokio::time::timeout(TIMEOUT, run).await {
            Err(_) => Err(Error::unavailable(format!("program `{name}` did not end within 2 minutes"))),
            Ok(Err(error)) => Err(self.program.not_started(error)),
            Ok(Ok((_, None))) => Err(Error::failed(format!("program `{name}` prints more than 1 MiB"))),
            Ok(Ok((output, Some(status)))) if status.success() => Ok(output),
            // An error of cargo's protocol is said on stdout.
            Ok(Ok((output, Some(_)))) if talks && cargo::is_error(&output) => Ok(output),
            Ok(Ok((_, Some(status)))) => Err(Error::failed(format!("program `{name}` failed: {status}"))
                .with_hint(format!("run `{name}` by hand, as `command` of this provider has it: it may want a login of its own"))),
        }
    }

    fn read(&self, output: &[u8], now: DateTime<Utc>) -> Result<Printed> {
        let name = self.program.name();
        let text = std::str::from_utf8(output).unwrap_or_default().trim_start_matches('\u{feff}');
        let printed = match self.config.speaks {
            Protocol::Json => json::read(text, &self.config, now),
            Protocol::Aws => aws::read(text),
            Protocol::Kubectl => kubectl::read(text),
            Protocol::Cargo => cargo::read(text, &name, now)?,
            Protocol::Text | Protocol::Broker => {
                let line = text.lines().next().unwrap_or_default().trim();
                // A sentence or a page is no token.
                let is_token = !line.starts_with('<') && !line.contains(char::is_whitespace);
                let line = if is_token { line } else { "" };
                Ok(Printed { secret: Secret::new(line), ends: Ends::Unsaid, token_type: None })
            }
        };
        let problem = |what: &str| Error::failed(format!("program `{name}` {what}"));
        match printed {
            Ok(printed) if printed.secret.expose().is_empty() => Err(problem("printed no token")),
            Ok(printed) => Ok(printed),
            Err(what) => Err(problem(what)),
        }
    }

    fn token(&self, printed: Printed, sent_at: DateTime<Utc>) -> Token {
        let expires_at = match printed.ends {
            Ends::At(at) => Some(at),
            Ends::Unsaid => Claims::read(&printed.secret)
                .and_then(|claims| claims.expires_at())
                .or_else(|| sent_at.checked_add_signed(self.config.life.map_or(DEFAULT_LIFE, |life| life.0))),
        };
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
        match request.asked_derived() {
            // Its keys are all it gives: there is one role.
            Some(derived) if self.config.speaks == Protocol::Aws && derived.what() == Derived::AWS => {
                if !derived.which().is_empty() || !derived.params().is_empty() {
                    return Err(Error::usage("this program has no roles to choose: leave out `--role`"));
                }
            }
            None if self.config.speaks == Protocol::Aws => {
                return Err(Error::usage(
                    "this program gives keys, and no other token: ask with `--format aws`",
                ));
            }
            _ => {
                refuse_derived(request)?;
                refuse_scopes(request)?;
            }
        }
        refuse_life(request)
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
        // A tool may renew a login of its own: a signal to the broker alone does not end it half way.
        context
            .exchange(async {
                let output = self.run(context).await?;
                let printed = self.read(&output, sent_at)?;
                Ok(RecordUpdate::token(request.scopes(), self.token(printed, sent_at)))
            })
            .await
    }
}
