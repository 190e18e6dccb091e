//! One conversation with a plugin, from its hello to its end.

use std::time::Duration;

use broker_core::{Context, DeviceCode, Error, ErrorCode, Result, Secret, ServiceUrl, redact, sanitize};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::process::{Broke, Process, Said as Stderr, Shutdown};
use crate::program::Program;
use crate::wire::{self, Answer, Hello, Request, Said, ShowCode, VERSION, line};

/// A login takes no longer, all its silences together.
const LONGEST_LOGIN: Duration = Duration::from_mins(15);

/// In a login a plugin that waits for a person says so now and then: so many times `timeout` without a word are too
/// much.
const SILENCES: u32 = 4;

/// How often to look whether anybody still waits for a login.
const LOOK: Duration = Duration::from_millis(200);

/// The shortest line of a secret that is looked for by itself.
const SHORTEST_LINE: usize = 8;

/// A running plugin that is spoken with.
pub(crate) struct Session<'a> {
    context: &'a Context,
    program: &'a Program,
    process: Process,
    /// When an exchange has taken too long.
    until: Instant,
    /// Those that were sent and received: they are shown nowhere.
    secrets: Vec<Secret>,
    /// Whether it did not keep to the protocol.
    broke: bool,
    /// Whether it still runs for what is known.
    at_once: bool,
    stage: Stage,
}

/// How far an exchange has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing was asked for yet that a service would give.
    Before,
    /// It was: what is not said well may have been given all the same.
    Asked,
    /// It was given, and is to be saved before all else.
    ExchangeInput,
}

/// What a plugin said that is no message of the protocol.
pub(crate) struct Unread {
    pub(crate) line: zeroize::Zeroizing<Vec<u8>>,
    pub(crate) error: Error,
}

impl<'a> Session<'a> {
    /// Starts the plugin. All it is asked has to be answered within `timeout` from here, but for a login.
    pub(crate) fn start(context: &'a Context, program: &'a Program) -> Result<Self> {
        let process = Process::start(program, context.env())?;
        let until = Instant::now() + context.timeout();
        let (secrets, broke, at_once) = (Vec::new(), false, false);
        Ok(Self { context, program, process, until, secrets, broke, at_once, stage: Stage::Before })
    }

    /// The next request may have a service give something.
    pub(crate) fn exchanges(&mut self) -> Result<()> {
        self.quiet()?;
        self.stage = Stage::Asked;
        Ok(())
    }

    /// Something was given: the plugin's end does not stand between that and its save.
    pub(crate) fn gave(&mut self) {
        self.stage = Stage::ExchangeInput;
    }

    fn quiet(&mut self) -> Result<()> {
        if self.process.has_said_more() {
            return Err(self.broken("said something before it was asked"));
        }
        Ok(())
    }

    /// A secret that is sent or was received, and each line of it.
    pub(crate) fn hide(&mut self, secret: &Secret) {
        self.secrets.push(secret.clone());
        let text = secret.expose();
        if text.contains('\n') {
            let lines = text.lines().filter(|line| line.len() >= SHORTEST_LINE);
            self.secrets.extend(lines.map(Secret::new));
        }
    }

    /// What may be seen of a text of the plugin's.
    pub(crate) fn redact(&self, text: &str) -> String {
        let secrets: Vec<_> = self.secrets.iter().collect();
        redact(text, &secrets)
    }

    /// Waits for the hello, and sees whether there is a version that both speak.
    pub(crate) async fn greet(&mut self) -> Result<()> {
        let line = self.line().await?;
        let Ok(hello) = serde_json::from_slice::<Hello>(&line) else {
            return Err(self.broken("did not begin with its versions, {\"v\":[1]}"));
        };
        if hello.v.contains(&VERSION) {
            return Ok(());
        }
        let theirs: Vec<_> = hello.v.iter().map(u64::to_string).collect();
        let theirs = if theirs.is_empty() { "none".to_owned() } else { theirs.join(", ") };
        let name = self.program.name();
        self.at_once = true;
        Err(Error::configuration(format!(
            "plugin `{name}` speaks version {theirs} of the protocol, and this broker version {VERSION}"
        ))
        .with_hint("update the plugin or the broker"))
    }

    /// Asks, and gives the answer.
    pub(crate) async fn ask<T: DeserializeOwned>(&mut self, request: &Request<'_>) -> Result<T> {
        self.ask_or_unread(request).await.map_err(|unread| unread.error)
    }

    /// The same; a line that cannot be read is given too, in case it has something that must not be lost.
    pub(crate) async fn ask_or_unread<T: DeserializeOwned>(
        &mut self,
        request: &Request<'_>,
    ) -> Result<T, Unread> {
        let plain = |error| Unread { line: zeroize::Zeroizing::default(), error };
        self.quiet().map_err(plain)?;
        self.send(&line(request)).await.map_err(plain)?;
        let line = self.line().await.map_err(plain)?;
        match self.read(&line) {
            Ok(Said::Ok(answer)) => Ok(answer),
            Ok(Said::Err(told)) => Err(plain(told.error(|text| self.redact(text)))),
            Ok(_) => Err(plain(self.broken("asks for a person, which only a login may"))),
            Err(error) => Err(Unread { line, error }),
        }
    }

    /// Asks for a login, and does on the way what the plugin asks of the person.
    pub(crate) async fn log_in<T: DeserializeOwned>(&mut self, request: &Request<'_>) -> Result<T, Unread> {
        let plain = |error| Unread { line: zeroize::Zeroizing::default(), error };
        let silence = self.context.timeout().saturating_mul(SILENCES);
        let mut left = LONGEST_LOGIN;
        self.quiet().map_err(plain)?;
        self.send(&line(request)).await.map_err(plain)?;
        loop {
            let (began, limit) = (Instant::now(), silence.min(left));
            let line = self.line_while_wanted(began + limit, limit).await.map_err(plain)?;
            // Only while it is the plugin's turn.
            left = left.saturating_sub(began.elapsed());
            match self.read(&line) {
                Ok(Said::Ok(answer)) => return Ok(answer),
                Ok(Said::Err(told)) => return Err(plain(told.error(|text| self.redact(text)))),
                Ok(said) => self.help(said).await.map_err(plain)?,
                Err(error) => return Err(Unread { line, error }),
            }
        }
    }

    async fn help<T>(&mut self, said: Said<T>) -> Result<()> {
        let person = self.context.person();
        match said {
            Said::Ask(ask) => {
                let question = self.redact(&ask.question);
                // The colon is the prompt's own.
                let question = question.trim_end_matches(|c: char| c == ':' || c.is_whitespace());
                let answer = if ask.hidden {
                    let answer = person.ask_hidden(question).await?;
                    self.hide(&answer);
                    answer
                } else {
                    Secret::new(person.ask(question).await?)
                };
                self.until = Instant::now() + self.context.timeout();
                self.send(&line(&Answer { answer: answer.expose() })).await?;
            }
            Said::ShowCode(code) => person.show_code(&self.code(&code)?),
            Said::ShowPage(page) => person.show_page(&self.page(&page.url)?),
            Said::Waiting(waiting) => person.waiting(Duration::from_secs(waiting.seconds_left.into())),
            Said::Tell(tell) => person.notify(&self.redact(&tell.message)),
            Said::Ok(_) | Said::Err(_) => {}
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

    /// A page that a browser is sent to.
    fn page(&mut self, url: &str) -> Result<String> {
        match ServiceUrl::parse(url) {
            Ok(url) => Ok(url.as_str().to_owned()),
            Err(_) => Err(self.broken("shows a page that is no https URL")),
        }
    }

    async fn send(&mut self, line: &[u8]) -> Result<()> {
        match tokio::time::timeout_at(self.until, self.process.write(line)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.silent(self.context.timeout())),
        }
    }

    async fn line(&mut self) -> Result<zeroize::Zeroizing<Vec<u8>>> {
        match tokio::time::timeout_at(self.until, self.process.line()).await {
            Ok(line) => line.map_err(|broke| self.fell_silent(broke)),
            Err(_) => Err(self.silent(self.context.timeout())),
        }
    }

    async fn line_while_wanted(
        &mut self,
        until: Instant,
        limit: Duration,
    ) -> Result<zeroize::Zeroizing<Vec<u8>>> {
        loop {
            if self.context.is_cancelled() {
                self.at_once = true;
                return Err(Error::new(ErrorCode::Cancelled, "the caller stopped waiting"));
            }
            let look = until.min(Instant::now() + LOOK);
            match tokio::time::timeout_at(look, self.process.line()).await {
                Ok(line) => return line.map_err(|broke| self.fell_silent(broke)),
                Err(_) if Instant::now() >= until => return Err(self.silent(limit)),
                Err(_) => {}
            }
        }
    }

    fn read<T: DeserializeOwned>(&mut self, line: &[u8]) -> Result<Said<T>> {
        // The parser's own words would show what it met.
        wire::read(line).ok_or_else(|| self.broken("answered with what is no message of the protocol"))
    }

    fn silent(&mut self, limit: Duration) -> Error {
        self.at_once = true;
        let (name, limit) = (self.program.name(), humantime::format_duration(limit));
        Error::unavailable(format!("plugin `{name}` gave no answer within {limit}"))
            .with_hint("try again later; `timeout` of this provider is how long it is waited for")
    }

    fn fell_silent(&mut self, broke: Broke) -> Error {
        self.broken(match broke {
            Broke::Ended => "ended without an answer",
            Broke::TooMuch => "says too much: a line has 1 MiB at most, and all of them 4 MiB",
        })
    }

    /// It did not keep to the protocol; [`Session::close`] says more. After the request of an exchange that is half an
    /// answer as any other: it tells nothing of the service, and passes.
    fn broken(&mut self, what: &str) -> Error {
        (self.broke, self.at_once) = (true, true);
        let code = if self.stage == Stage::Asked { ErrorCode::BadResponse } else { ErrorCode::ProgramFailed };
        Error::new(code, format!("plugin `{}` {what}", self.program.name()))
    }

    /// Sees to the plugin's end, and says what there is to say of it.
    pub(crate) async fn close<T>(self, outcome: Result<T>) -> Result<T> {
        let pace = match &outcome {
            Ok(_) if self.stage == Stage::ExchangeInput => Shutdown::Kill,
            Err(_) if self.at_once => Shutdown::Rest,
            _ => Shutdown::Grace,
        };
        let Self { context, program, process, secrets, broke, .. } = self;
        let (status, said) = process.end(pace).await;
        let secrets: Vec<_> = secrets.iter().collect();
        let (lines, leaked) = log(program, &said, &secrets);
        if leaked {
            let warning = format!("warning: plugin `{}` wrote a secret to stderr", program.name());
            if outcome.is_ok() {
                context.notify_after_save(warning);
            } else {
                context.person().notify(&warning);
            }
        }
        outcome.map_err(|error| if broke { in_full(&error, status, &lines) } else { error })
    }
}

/// What is said on stderr, line by line, without secrets; and whether there were any.
fn log(program: &Program, said: &Stderr, secrets: &[&Secret]) -> (Vec<String>, bool) {
    let mut leaked = false;
    let mut lines = Vec::new();
    for line in said.lines() {
        let words = redact(&line, secrets);
        leaked |= words != redact(&line, &[]) || secrets.iter().any(|secret| line.contains(secret.expose()));
        tracing::info!(target: "broker_exec", plugin = program.name(), "{words}");
        lines.push(words);
    }
    (lines, leaked)
}

/// The error with how the plugin ended and what it said last.
fn in_full(error: &Error, status: Option<std::process::ExitStatus>, lines: &[String]) -> Error {
    let mut message = error.message().to_owned();
    if let Some(status) = status.filter(|status| !status.success()) {
        message = format!("{message} ({status})");
    }
    if let Some(last) = lines.last() {
        message = format!("{message}: {}", last.trim());
    }
    error.clone().with_message(message).with_hint(
        "what else it says on stderr is shown with -v; docs/dev/plugin-protocol.md has the protocol",
    )
}
