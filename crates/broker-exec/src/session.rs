//! One conversation with a plugin.

use std::process::ExitStatus;
use std::time::Duration;

use broker_core::{
    Context, DeviceCode, Error, ErrorCode, Hint, Result, Secret, ServiceUrl, redact, sanitize,
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::process::{Process, ReadError, Shutdown, Stderr};
use crate::program::Program;
use crate::wire::{self, Answer, Hello, Message, Request, ShowCode, VERSION, line};

/// The limit of a login, without the time that the user takes to answer.
const MAX_LOGIN: Duration = Duration::from_mins(15);

/// The limit of silence in a login, as a multiple of `timeout`.
const LOGIN_TIMEOUTS: u32 = 4;

/// How often a login checks whether its caller still waits.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The shortest line of a secret that is redacted on its own.
const MIN_LINE: usize = 8;

/// A running plugin and the state of the conversation.
pub(crate) struct Session<'a> {
    context: &'a Context,
    program: &'a Program,
    process: Process,
    /// When an exchange times out.
    deadline: Instant,
    /// Secrets that were sent or received. They are redacted in all output.
    secrets: Vec<Secret>,
    /// Whether the plugin violated the protocol.
    is_broken: bool,
    /// Whether to end the plugin without waiting for its exit.
    is_abandoned: bool,
    stage: Stage,
}

/// The stage of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No request was sent that makes the service issue something.
    Before,
    /// Such a request was sent: something may have been issued even if the response is malformed.
    Requested,
    /// Something was issued and has to be saved first.
    Issued,
}

/// A line that is not a message of the protocol.
pub(crate) struct Malformed {
    pub(crate) line: Zeroizing<Vec<u8>>,
    pub(crate) error: Error,
}

impl From<Error> for Malformed {
    fn from(error: Error) -> Self {
        Self { line: Zeroizing::default(), error }
    }
}

impl<'a> Session<'a> {
    /// Starts the plugin. Except in a login, all responses have to arrive within `timeout` from here.
    pub(crate) fn start(context: &'a Context, program: &'a Program) -> Result<Self> {
        Ok(Self {
            context,
            program,
            process: Process::start(program, context.env())?,
            deadline: Instant::now() + context.timeout(),
            secrets: Vec::new(),
            is_broken: false,
            is_abandoned: false,
            stage: Stage::Before,
        })
    }

    /// Notes that the next request may make the service issue something.
    pub(crate) fn begin_exchange(&mut self) -> Result<()> {
        self.check_no_output()?;
        self.stage = Stage::Requested;
        Ok(())
    }

    /// Notes that something was issued, which is saved before the plugin's exit is awaited.
    pub(crate) fn set_issued(&mut self) {
        self.stage = Stage::Issued;
    }

    fn check_no_output(&mut self) -> Result<()> {
        if self.process.has_unread_output() {
            return Err(self.broken("sent a message before the request"));
        }
        Ok(())
    }

    /// Adds a secret to redact, and each line of it.
    pub(crate) fn hide(&mut self, secret: &Secret) {
        self.secrets.push(secret.clone());
        let text = secret.expose();
        if text.contains('\n') {
            self.secrets.extend(text.lines().filter(|line| line.len() >= MIN_LINE).map(Secret::new));
        }
    }

    /// Redacts a text of the plugin.
    pub(crate) fn redact(&self, text: &str) -> String {
        redact(text, &self.secrets.iter().collect::<Vec<_>>())
    }

    /// Reads the plugin's hello and checks its versions.
    pub(crate) async fn greet(&mut self) -> Result<()> {
        let line = self.line().await?;
        let Ok(hello) = serde_json::from_slice::<Hello>(&line) else {
            return Err(self.broken("did not begin with its protocol versions, {\"v\":[1]}"));
        };
        if hello.v.contains(&VERSION) {
            return Ok(());
        }
        let versions: Vec<_> = hello.v.iter().map(u64::to_string).collect();
        let versions = if versions.is_empty() { "none".to_owned() } else { versions.join(", ") };
        let name = self.program.name();
        self.is_abandoned = true;
        let message = format!(
            "plugin `{name}` uses version {versions} of the protocol, and this broker uses version {VERSION}"
        );
        Err(Error::new(ErrorCode::ProtocolMismatch, message).with_hint("update the plugin or the broker"))
    }

    /// Sends a request and returns the response.
    pub(crate) async fn request<T: DeserializeOwned>(&mut self, request: &Request<'_>) -> Result<T> {
        self.try_request(request).await.map_err(|malformed| malformed.error)
    }

    /// The same, but returns a malformed line, from which a grant may be salvaged.
    pub(crate) async fn try_request<T: DeserializeOwned>(
        &mut self,
        request: &Request<'_>,
    ) -> Result<T, Malformed> {
        self.check_no_output()?;
        self.send(&line(request)).await?;
        let line = self.line().await?;
        match self.parse(&line) {
            Ok(Message::Ok(response)) => Ok(response),
            Ok(Message::Err(error)) => Err(error.error(|text| self.redact(text)).into()),
            Ok(_) => Err(self.broken("sent a prompt outside a login").into()),
            Err(error) => Err(Malformed { line, error }),
        }
    }

    /// Requests a login, and shows the plugin's prompts to the user.
    pub(crate) async fn log_in<T: DeserializeOwned>(
        &mut self,
        request: &Request<'_>,
    ) -> Result<T, Malformed> {
        let silence = self.context.timeout().saturating_mul(LOGIN_TIMEOUTS);
        let mut left = MAX_LOGIN;
        self.check_no_output()?;
        self.send(&line(request)).await?;
        loop {
            let (started, limit) = (Instant::now(), silence.min(left));
            let line = self.line_unless_cancelled(started + limit, limit).await?;
            left = left.saturating_sub(started.elapsed());
            match self.parse(&line) {
                Ok(Message::Ok(response)) => return Ok(response),
                Ok(Message::Err(error)) => return Err(error.error(|text| self.redact(text)).into()),
                Ok(message) => self.prompt(message).await?,
                Err(error) => return Err(Malformed { line, error }),
            }
        }
    }

    async fn prompt<T>(&mut self, message: Message<T>) -> Result<()> {
        let prompt = self.context.prompt();
        match message {
            Message::Ask(ask) => {
                let question = self.redact(&ask.question);
                // The prompt adds a colon.
                let question = question.trim_end_matches(|c: char| c == ':' || c.is_whitespace());
                let answer = if ask.hidden {
                    let answer = prompt.ask_hidden(question).await?;
                    self.hide(&answer);
                    answer
                } else {
                    Secret::new(prompt.ask(question).await?)
                };
                self.deadline = Instant::now() + self.context.timeout();
                self.send(&line(&Answer { answer: answer.expose() })).await?;
            }
            Message::ShowCode(code) => prompt.show_code(&self.code(&code)?),
            Message::ShowPage(page) => prompt.show_page(&self.page(&page.url)?),
            Message::Waiting(waiting) => prompt.waiting(Duration::from_secs(waiting.seconds_left.into())),
            Message::Tell(tell) => prompt.notify(&self.redact(&tell.message)),
            Message::Ok(_) | Message::Err(_) => {}
        }
        Ok(())
    }

    fn code(&mut self, code: &ShowCode) -> Result<DeviceCode> {
        Ok(DeviceCode {
            verification_uri: self.page(&code.verification_uri)?,
            verification_uri_complete: match &code.verification_uri_complete {
                Some(url) => Some(self.page(url)?),
                None => None,
            },
            user_code: sanitize(&code.user_code),
            expires_in: Duration::from_secs(code.expires_in.into()),
        })
    }

    /// Checks the URL of a page for the browser.
    fn page(&mut self, url: &str) -> Result<String> {
        match ServiceUrl::parse(url) {
            Ok(url) => Ok(url.as_str().to_owned()),
            Err(_) => Err(self.broken("sent a page whose URL is not https")),
        }
    }

    async fn send(&mut self, line: &[u8]) -> Result<()> {
        match tokio::time::timeout_at(self.deadline, self.process.write(line)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.timed_out(self.context.timeout())),
        }
    }

    async fn line(&mut self) -> Result<Zeroizing<Vec<u8>>> {
        match tokio::time::timeout_at(self.deadline, self.process.line()).await {
            Ok(line) => line.map_err(|error| self.cannot_read(error)),
            Err(_) => Err(self.timed_out(self.context.timeout())),
        }
    }

    async fn line_unless_cancelled(
        &mut self,
        deadline: Instant,
        limit: Duration,
    ) -> Result<Zeroizing<Vec<u8>>> {
        loop {
            if self.context.is_cancelled() {
                self.is_abandoned = true;
                return Err(Error::new(ErrorCode::Cancelled, "the caller stopped waiting"));
            }
            let next_poll = deadline.min(Instant::now() + POLL_INTERVAL);
            match tokio::time::timeout_at(next_poll, self.process.line()).await {
                Ok(line) => return line.map_err(|error| self.cannot_read(error)),
                Err(_) if Instant::now() >= deadline => return Err(self.timed_out(limit)),
                Err(_) => {}
            }
        }
    }

    fn parse<T: DeserializeOwned>(&mut self, line: &[u8]) -> Result<Message<T>> {
        // Errors of the parser would quote secrets.
        wire::parse(line).ok_or_else(|| self.broken("sent a line that is not a message of the protocol"))
    }

    fn timed_out(&mut self, limit: Duration) -> Error {
        self.is_abandoned = true;
        let (name, limit) = (self.program.name(), humantime::format_duration(limit));
        Error::new(ErrorCode::Timeout, format!("plugin `{name}` sent no response within {limit}"))
            .with_hint("try again later, or set a longer `timeout` for this provider")
    }

    fn cannot_read(&mut self, error: ReadError) -> Error {
        self.broken(match error {
            ReadError::Ended => "ended without a response",
            ReadError::TooLong => "sent more than 1 MiB in a line or 4 MiB in total",
        })
    }

    /// Creates the error of a violated protocol. After the request of an exchange it is transient, because it says
    /// nothing about the service. [`Session::close`] adds the exit status and stderr.
    fn broken(&mut self, problem: &str) -> Error {
        (self.is_broken, self.is_abandoned) = (true, true);
        let code =
            if self.stage == Stage::Requested { ErrorCode::BadResponse } else { ErrorCode::ProgramFailed };
        Error::new(code, format!("plugin `{}` {problem}", self.program.name()))
    }

    /// Ends the plugin and reports its stderr.
    pub(crate) async fn close<T>(self, result: Result<T>) -> Result<T> {
        let shutdown = match &result {
            Ok(_) if self.stage == Stage::Issued => Shutdown::Kill,
            Err(_) if self.is_abandoned => Shutdown::Terminate,
            _ => Shutdown::Wait,
        };
        let Self { context, program, process, secrets, is_broken, .. } = self;
        let (status, stderr) = process.end(shutdown).await;
        let (lines, leaked) = log(program, &stderr, &secrets.iter().collect::<Vec<_>>());
        if leaked {
            let warning = format!("warning: plugin `{}` wrote a secret to stderr", program.name());
            if result.is_ok() {
                context.notify_after_save(warning);
            } else {
                context.prompt().notify(&warning);
            }
        }
        result.map_err(|error| if is_broken { with_details(error, status, &lines) } else { error })
    }
}

/// Logs stderr without secrets. Returns its lines, and whether it contained secrets.
fn log(program: &Program, stderr: &Stderr, secrets: &[&Secret]) -> (Vec<String>, bool) {
    let mut leaked = false;
    let mut lines = Vec::new();
    for line in stderr.lines() {
        let redacted = redact(&line, secrets);
        leaked |=
            redacted != redact(&line, &[]) || secrets.iter().any(|secret| line.contains(secret.expose()));
        tracing::info!(target: "broker_exec", plugin = program.name(), "{redacted}");
        lines.push(redacted);
    }
    (lines, leaked)
}

/// Adds the exit status and the last line of stderr.
fn with_details(error: Error, status: Option<ExitStatus>, lines: &[String]) -> Error {
    let mut message = error.message().to_owned();
    if let Some(status) = status.filter(|status| !status.success()) {
        message = format!("{message} ({status})");
    }
    if let Some(last) = lines.last() {
        message = format!("{message}: {}", last.trim());
    }
    error.with_message(message).with_hint(Hint::ReadProgramOutput)
}
