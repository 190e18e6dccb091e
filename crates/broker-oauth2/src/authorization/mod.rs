//! The authorization code grant (RFC 6749 section 4.1) of a native app (RFC 8252), with PKCE (RFC 7636).

mod http;
mod listener;
mod pkce;
mod response;

use std::time::Duration;

use broker_core::{Context, Error, ErrorKind, HttpResponse, Problem, Repeat, Result, Secret, ServiceUrl};
use chrono::{DateTime, TimeDelta, Utc};

use url::Url;

use crate::{Approved, TokenEndpoint};
pub(crate) use listener::loopback;

use listener::Listener;
use pkce::{Verifier, random};
use response::Expected;

/// Nobody waits longer for a browser to come back.
const LONGEST_WAIT: TimeDelta = TimeDelta::minutes(10);

/// How often a person sees the time that is left.
const TICK: Duration = Duration::from_secs(1);

/// How often a person may paste an address that is not the right one.
const TRIES: usize = 3;

/// More of a line no terminal gives (`MAX_CANON`, without the line's end).
const LONGEST_LINE: usize = 4095;

/// An authorization code flow about to begin.
#[derive(Debug, Clone, Copy)]
pub struct CodeFlow<'a> {
    /// The authorization endpoint, where a browser goes.
    pub url: &'a ServiceUrl,
    /// Where the code is exchanged, and who asks.
    pub token: TokenEndpoint<'a>,
    /// What `iss` of the answer must be (RFC 9207), if the issuer is known.
    pub issuer: Option<&'a str>,
    /// Whether the service says that it always sends `iss` (`authorization_response_iss_parameter_supported`).
    pub sends_issuer: bool,
    /// Where the browser comes back to on this machine: `http://127.0.0.1:PORT/PATH`; without a port, a free one.
    pub redirect_uri: &'a ServiceUrl,
    /// `scope`, `audience`, `resource` and extra parameters of the first request.
    pub fields: &'a [(&'a str, &'a str)],
    /// Extra parameters of the token request.
    pub token_fields: &'a [(&'a str, &'a str)],
}

impl CodeFlow<'_> {
    /// Sends a person's browser to the service and exchanges the code that it comes back with.
    ///
    /// Where no browser is opened on this machine, the person is asked for the address that one elsewhere ended at;
    /// a browser that comes back by itself, through a tunnel say, is taken too.
    pub async fn run(&self, context: &Context) -> Result<Approved> {
        let (state, verifier) = (random()?, Verifier::new()?);
        let expected = Expected::new(state.clone(), self.issuer, self.sends_issuer);
        // Listening comes first: a browser may be quick.
        let mut listener = Listener::bind(self.redirect_uri, expected).await?;
        let redirect_uri = listener.redirect_uri().to_owned();
        let url = self.request(&redirect_uri, &state, &verifier)?;
        context.prompt().show_page(&url);
        let code = if context.prompt().browses() {
            wait(context, &mut listener).await?
        } else {
            paste(context, &mut listener).await?
        };
        drop(listener);
        self.exchange(context, &code, &verifier, &redirect_uri).await
    }

    /// The authorization request (RFC 6749 section 4.1.1, RFC 7636 section 4.3). A parameter must not come twice: those
    /// that protect the flow are its own, and what the endpoint has in its query gives way.
    fn request(&self, redirect_uri: &str, state: &Secret, verifier: &Verifier) -> Result<String> {
        let challenge = verifier.challenge();
        let own = [
            ("response_type", "code"),
            ("client_id", self.token.client.id()),
            ("redirect_uri", redirect_uri),
            ("state", state.expose()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        let extra = self.fields.iter().filter(|(name, _)| own.iter().all(|(own, _)| own != name));
        let params = own.iter().chain(extra).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let params: Vec<_> = params.collect();
        let mut url =
            Url::parse(self.url.as_str()).map_err(|error| Error::configuration(error.to_string()))?;
        let own =
            url.query_pairs().into_owned().filter(|(name, _)| params.iter().all(|(ours, _)| ours != name));
        let own: Vec<_> = own.collect();
        url.query_pairs_mut().clear().extend_pairs(own).extend_pairs(params);
        Ok(url.into())
    }

    /// Exchanges the code (RFC 6749 section 4.1.3). It is good for one use, so it is sent again only if it surely did
    /// not arrive.
    async fn exchange(
        &self,
        context: &Context,
        code: &Secret,
        verifier: &Verifier,
        redirect_uri: &str,
    ) -> Result<Approved> {
        let own = [
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier.secret().expose()),
        ];
        let fields = [&own, self.token_fields].concat();
        let response = self.token.send(context, &fields, Repeat::IfNotActed).await.map_err(in_vain)?;
        match self.token.read(&response, &[code, verifier.secret()]) {
            Ok(answer) => Ok(Approved::Granted(Box::new(answer))),
            Err(problem) => self.rescued(&response, problem),
        }
    }

    /// An answer without a token: half of one may hold the login all the same.
    fn rescued(&self, response: &HttpResponse, problem: Problem) -> Result<Approved> {
        if let Some(refresh_token) = self.token.salvaged_refresh_token(response) {
            tracing::info!("of an answer without a token the refresh token is kept");
            return Ok(Approved::OnlyRefreshToken(refresh_token, response.sent_at));
        }
        match problem {
            Problem::Refused(refusal) if refusal.is("invalid_grant") => {
                Err(Error::login_required(format!("the service does not take the code: {}", refusal.words))
                    .with_hint("it was used or came too late: log in again"))
            }
            problem => Err(in_vain(self.token.error(problem, "the service refused to exchange the code"))),
        }
    }
}

/// A code whose exchange got no answer of use may be spent.
fn in_vain(error: Error) -> Error {
    if !error.is_transient() {
        return error;
    }
    error.with_hint("a code is good for one try: log in again")
}

/// Waits for the browser, so that a person sees the time pass.
async fn wait(context: &Context, listener: &mut Listener) -> Result<Secret> {
    let ends_at = end(context);
    loop {
        let left = (ends_at - context.now()).to_std().unwrap_or_default();
        if left.is_zero() {
            return Err(nobody_came());
        }
        context.prompt().waiting(left);
        tokio::select! {
            code = listener.answer() => return code,
            paused = context.pause(TICK.min(left)) => paused?,
        }
    }
}

/// Asks for the address that the browser ended at.
async fn paste(context: &Context, listener: &mut Listener) -> Result<Secret> {
    let person = context.prompt();
    let start = listener.redirect_uri().to_owned();
    person.notify(&format!(
        "After the sign-in the browser goes to an address that begins with {start}. If it is on another machine it \
         cannot open that, and says so: copy the whole address from its address bar."
    ));
    let ends_at = end(context);
    for _ in 0..TRIES {
        let left = (ends_at - context.now()).to_std().unwrap_or_default();
        let typed = tokio::select! {
            // A test's clock lets no time pass: what is there already goes first.
            biased;
            code = listener.answer() => {
                person.notify("the browser has come back by itself");
                return code;
            }
            typed = person.ask("Address that the browser ended at") => Secret::new(typed.or_else(unanswered)?),
            paused = context.pause(left) => return Err(paused.err().unwrap_or_else(nobody_came)),
        };
        match listener.pasted(&typed) {
            Ok(code) => return code,
            Err(_) if typed.expose().len() >= LONGEST_LINE => person.notify(&format!(
                "a terminal takes {LONGEST_LINE} characters of a line, and the address is longer: log in where the \
                 browser is, or let its port of this machine lead here (ssh -L), {start}"
            )),
            Err(unfit) => person.notify(&format!("{unfit}: copy the whole address, {start}?…")),
        }
    }
    Err(Error::login_required("no address with this login in it was pasted").with_hint("log in again"))
}

/// An empty line is an answer that does not fit.
fn unanswered(error: Error) -> Result<String> {
    let blank = std::error::Error::source(&error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|source| source.kind() == std::io::ErrorKind::InvalidInput);
    match error.kind() {
        ErrorKind::Cancelled if blank => Ok(String::new()),
        ErrorKind::LoginRequired => Err(error.with_hint(
            "run this at a terminal, where the address can be pasted, or where a browser is, without --no-browser",
        )),
        _ => Err(error),
    }
}

fn end(context: &Context) -> DateTime<Utc> {
    context.now().checked_add_signed(LONGEST_WAIT).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn nobody_came() -> Error {
    let minutes = LONGEST_WAIT.num_minutes();
    Error::login_required(format!("no browser came back with a login within {minutes} minutes")).with_hint(
        "log in again; where the browser is on another machine, with --no-browser the address can be pasted",
    )
}
