//! A session with a running plugin: requests, responses and prompts.

use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::time::Duration;

use broker_core::{
    DeviceCode, Error, ErrorCode, Hint, Operation, Result, Secret, ServiceUrl, redact, repeats_secret,
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::process::{DRAIN_TIMEOUT, MAX_LINE, Process, Shutdown};
use crate::program::Program;
use crate::wire::{self, Hello, Message, Request, VERSION, line};

/// The time limit of a login, not counting the time that the user takes to answer prompts.
const MAX_LOGIN: Duration = Duration::from_mins(15);

/// During a login, the longest pause between a plugin's messages, as a multiple of the setting `timeout`.
const LOGIN_TIMEOUTS: u32 = 4;

/// How often a login checks whether the caller has cancelled the login.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// A line of a multi-line secret is redacted only if the line has at least this many bytes.
const MIN_LINE: usize = 8;

pub(crate) struct Session<'a> {
    pub(crate) operation: &'a Operation,
    program: &'a Program,
    process: Process,
    deadline: Instant,
    /// The secrets that the broker sent or received. The broker redacts them in all output of the plugin.
    secrets: Vec<Secret>,
    is_broken: bool,
    /// Whether to end the plugin at once, without waiting for its exit.
    is_abandoned: bool,
    pub(crate) stage: Stage,
}

/// The progress of a token request to a plugin, which decides how an error is reported and how the plugin ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No token request was sent, so the service cannot have issued a token yet.
    Before,
    /// A login began, in which the plugin may send prompts, and which the caller can cancel.
    LoggingIn,
    /// A token request was sent, so the service may have issued a token even if the response is malformed.
    Requested,
    /// A token or a grant was issued and must be saved now.
    Issued,
}

/// An error instead of a message of the plugin, and the output that is not a message of the protocol.
pub(crate) struct Malformed {
    pub(crate) output: Zeroizing<Vec<u8>>,
    pub(crate) error: Error,
}

impl From<Error> for Malformed {
    fn from(error: Error) -> Self {
        Self { output: Zeroizing::default(), error }
    }
}

impl<'a> Session<'a> {
    /// Starts the plugin. Except in a login, the plugin must send all responses within `timeout` after this start.
    pub(crate) fn start(operation: &'a Operation, program: &'a Program) -> Result<Self> {
        Ok(Self {
            operation,
            program,
            process: Process::start(program, operation.env())?,
            deadline: Instant::now() + operation.timeout(),
            secrets: Vec::new(),
            is_broken: false,
            is_abandoned: false,
            stage: Stage::Before,
        })
    }

    /// Begins a stage, whose request the next call sends. Fails if the plugin has sent a message too early.
    pub(crate) fn begin(&mut self, stage: Stage) -> Result<()> {
        if self.process.has_unread_output() {
            return Err(self.broken("the plugin sent a message before the broker's request"));
        }
        self.stage = stage;
        Ok(())
    }

    /// Makes the broker redact a secret, and each long line of the secret, in the plugin's output.
    pub(crate) fn hide(&mut self, secret: &Secret) {
        self.secrets.push(secret.clone());
        let text = secret.expose();
        if text.contains('\n') {
            self.secrets.extend(text.lines().filter(|line| line.len() >= MIN_LINE).map(Secret::new));
        }
    }

    pub(crate) fn redact(&self, text: &str) -> String {
        redact(text, &self.secrets.iter().collect::<Vec<_>>())
    }

    pub(crate) fn repeats_secret(&self, text: &str) -> bool {
        repeats_secret(text, &self.secrets.iter().collect::<Vec<_>>())
    }

    /// Reads the plugin's first message and checks the protocol version.
    pub(crate) async fn greet(&mut self) -> Result<()> {
        let line = self.line(self.operation.timeout()).await?;
        let Ok(hello) = serde_json::from_slice::<Hello>(&line) else {
            return Err(self.broken("the plugin did not send its protocol versions first: {\"v\":[1]}"));
        };
        if hello.v.contains(&VERSION) {
            return Ok(());
        }
        let versions: Vec<_> = hello.v.iter().map(u64::to_string).collect();
        let versions = if versions.is_empty() { "none".to_owned() } else { versions.join(", ") };
        self.is_abandoned = true;
        let what =
            format!("uses version {versions} of the plugin protocol, and this broker uses version {VERSION}");
        Err(self.error(ErrorCode::ProtocolMismatch, &what).with_hint("update the plugin or the broker"))
    }

    /// Sends a request that issues no token, and returns the plugin's response.
    pub(crate) async fn request<T: DeserializeOwned>(&mut self, request: &Request<'_>) -> Result<T> {
        self.begin(Stage::Before)?;
        self.try_request(request).await.map_err(|malformed| malformed.error)
    }

    /// Sends the request of the stage that [`Session::begin`] began, and shows the prompts of a login to the user. Also
    /// returns a malformed response, which may still contain a grant.
    pub(crate) async fn try_request<T: DeserializeOwned>(
        &mut self,
        request: &Request<'_>,
    ) -> Result<T, Malformed> {
        self.send(&line(request)).await?;
        let (is_login, mut left) = (self.stage == Stage::LoggingIn, MAX_LOGIN);
        loop {
            let (started, mut limit) = (Instant::now(), self.operation.timeout());
            if is_login {
                limit = limit.saturating_mul(LOGIN_TIMEOUTS).min(left);
                self.deadline = started + limit;
            }
            let line = self.line(limit).await;
            left = left.saturating_sub(started.elapsed());
            let rest = match self.stage {
                Stage::LoggingIn => Some(Instant::now() + DRAIN_TIMEOUT),
                // The time for an exchange must not be used up before its request.
                Stage::Requested => Some(self.deadline),
                _ => None,
            };
            match self.message(line, rest).await {
                Ok(Message { ok: Some(response), .. }) => return Ok(response),
                Ok(Message { err: Some(error), .. }) => {
                    return Err(error.error(|text| self.redact(text)).into());
                }
                Ok(message) if is_login => self.prompt(message).await?,
                // The plugin waits for no answer, and its response follows.
                Ok(Message { tell: Some(_), .. } | Message { waiting: Some(_), .. }) => {}
                Ok(_) => return Err(self.broken("the plugin sent a prompt outside a login").into()),
                // A login is not reduced to its grant if the plugin itself must be corrected.
                Err(malformed) if is_login && !wire::is_shallow(&malformed.output) => {
                    return Err(malformed.error.into());
                }
                Err(malformed) => return Err(malformed),
            }
        }
    }

    /// Parses a line. If it is not a message, or is missing, reads the output until `rest`, because a response may follow a
    /// log line, have several lines, or lack its line end.
    async fn message<T: DeserializeOwned>(
        &mut self,
        line: Result<Zeroizing<Vec<u8>>>,
        rest: Option<Instant>,
    ) -> Result<Message<T>, Malformed> {
        let (mut output, error) = match line {
            Ok(line) => match self.parse(&line) {
                Ok(message) => return Ok(message),
                Err(error) => (line, error),
            },
            Err(error) => (Zeroizing::default(), error),
        };
        let Some(rest) = rest else { return Err(Malformed { output, error }) };
        let mut has_response = wire::has_response(&output);
        loop {
            let until = if has_response { rest.min(Instant::now() + DRAIN_TIMEOUT) } else { rest };
            let Ok(Some(more)) = tokio::time::timeout_at(until, self.process.next()).await else { break };
            output.extend_from_slice(&more);
            has_response |= wire::has_response(&more);
        }
        let found = wire::find_response(&output).filter(|_| output.len() <= MAX_LINE);
        found.ok_or(Malformed { output, error })
    }

    async fn prompt<T>(&mut self, message: Message<T>) -> Result<()> {
        let prompt = self.operation.prompt();
        let Message { ask, show_code, show_page, waiting, tell, .. } = message;
        if let Some(ask) = ask {
            let question = self.redact(&ask.question);
            // The prompt appends its own colon.
            let question = question.trim_end_matches(|c: char| c == ':' || c.is_whitespace());
            let answer = if ask.hidden {
                let answer = prompt.ask_hidden(question).await?;
                self.hide(&answer);
                answer
            } else {
                Secret::new(prompt.ask(question).await?)
            };
            self.deadline = Instant::now() + self.operation.timeout();
            self.send(&line(&BTreeMap::from([("answer", answer.expose())]))).await?;
        } else if let Some(code) = show_code {
            let complete = code.verification_uri_complete.map(|url| self.page(&url));
            prompt.show_code(&DeviceCode {
                verification_uri: self.page(&code.verification_uri)?,
                verification_uri_complete: complete.transpose()?,
                user_code: self.redact(&code.user_code),
                expires_in: Duration::from_secs(code.expires_in.into()),
            });
        } else if let Some(page) = show_page {
            prompt.show_page(&self.page(&page.url)?);
        } else if let Some(waiting) = waiting {
            prompt.waiting(Duration::from_secs(waiting.seconds_left.into()));
        } else if let Some(tell) = tell {
            prompt.notify(&self.redact(&tell.message));
        }
        Ok(())
    }

    /// Returns the URL of the login page that the user should open. Fails if the URL is not https or loopback.
    fn page(&mut self, url: &str) -> Result<String> {
        let url =
            ServiceUrl::parse(url).map_err(|_| self.broken("the URL of the login page is not https"))?;
        if self.repeats_secret(url.as_str()) {
            return Err(self.broken("the URL of the login page contains a secret"));
        }
        Ok(url.as_str().to_owned())
    }

    async fn send(&mut self, line: &[u8]) -> Result<()> {
        let written = tokio::time::timeout_at(self.deadline, self.process.write(line)).await;
        written.map_err(|_| self.timed_out(self.operation.timeout()))
    }

    /// Reads a line until the deadline. A caller can cancel only a login. The error of a missed deadline states `limit`.
    async fn line(&mut self, limit: Duration) -> Result<Zeroizing<Vec<u8>>> {
        let operation = self.operation;
        let cancelled = async {
            while !operation.is_cancelled() {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        let line = tokio::select! {
            biased;
            () = cancelled, if self.stage == Stage::LoggingIn => {
                self.is_abandoned = true;
                return Err(Error::new(ErrorCode::Cancelled, "the caller cancelled the login"));
            }
            line = tokio::time::timeout_at(self.deadline, self.process.line()) => line,
        };
        line.map_err(|_| self.timed_out(limit))?.map_err(|problem| self.broken(problem))
    }

    fn parse<T: DeserializeOwned>(&mut self, line: &[u8]) -> Result<Message<T>> {
        if !wire::is_shallow(line) {
            return Err(
                self.broken("the plugin sent a message with more than 64 levels of lists and objects")
            );
        }
        // The message does not quote the parser's error, which may contain secrets.
        wire::parse(line).ok_or_else(|| self.broken("the plugin sent a line that is not a protocol message"))
    }

    /// Returns an error whose message says what the plugin does.
    pub(crate) fn error(&self, code: ErrorCode, what: &str) -> Error {
        Error::new(code, format!("plugin `{}` {what}", self.program.name()))
    }

    fn timed_out(&mut self, limit: Duration) -> Error {
        self.is_abandoned = true;
        let what = format!("sent no response within {}", humantime::format_duration(limit));
        self.error(ErrorCode::Timeout, &what)
            .with_hint("try again later, or set a longer `timeout` for this provider")
    }

    /// Returns the error for a plugin that violates the protocol. After a token request, the error is transient.
    /// [`Session::close`] adds the exit status and stderr.
    fn broken(&mut self, problem: &str) -> Error {
        (self.is_broken, self.is_abandoned) = (true, true);
        let code =
            if self.stage == Stage::Requested { ErrorCode::BadResponse } else { ErrorCode::ProgramFailed };
        Error::new(code, format!("plugin `{}`: {problem}", self.program.name()))
    }

    /// Ends the plugin, logs its stderr and returns `result`.
    pub(crate) async fn close<T>(self, result: Result<T>) -> Result<T> {
        let shutdown = match &result {
            Ok(_) if self.stage == Stage::Issued => Shutdown::Kill,
            Err(_) if self.is_abandoned => Shutdown::Terminate,
            _ => Shutdown::Wait,
        };
        let Self { operation, program, process, secrets, is_broken, .. } = self;
        let (status, stderr) = process.end(shutdown).await;
        let (lines, leaked) = log(program, &stderr, &secrets.iter().collect::<Vec<_>>());
        if leaked {
            let warning = format!("warning: plugin `{}` wrote a secret to stderr", program.name());
            if result.is_ok() {
                operation.notify_after_save(warning);
            } else {
                operation.prompt().notify(&warning);
            }
        }
        result.map_err(|error| if is_broken { with_details(error, status, &lines) } else { error })
    }
}

/// Logs stderr with redacted secrets. Returns the lines, and whether any line contained a secret.
fn log(program: &Program, stderr: &[Zeroizing<String>], secrets: &[&Secret]) -> (Vec<String>, bool) {
    let lines: Vec<_> = stderr.iter().map(|line| redact(line, secrets)).collect();
    for line in &lines {
        tracing::info!(target: "broker_exec", plugin = program.name(), "{line}");
    }
    let leaks = |(line, redacted): (&Zeroizing<String>, &String)| {
        *redacted != redact(line, &[]) || secrets.iter().any(|secret| line.contains(secret.expose()))
    };
    let leaked = stderr.iter().zip(&lines).any(leaks);
    (lines, leaked)
}

/// Adds the exit status and the last line of stderr to an error message.
fn with_details(error: Error, status: Option<ExitStatus>, lines: &[String]) -> Error {
    let failed = status.filter(|status| !status.success());
    let status = failed.map(|status| format!(" ({status})")).unwrap_or_default();
    let last = lines.last().map(|line| format!(": {}", line.trim())).unwrap_or_default();
    let message = format!("{}{status}{last}", error.message());
    error.with_message(message).with_hint(Hint::ReadProgramOutput)
}
