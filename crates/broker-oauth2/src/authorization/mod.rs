//! The authorization code grant (RFC 6749 section 4.1) of a native app (RFC 8252), with PKCE (RFC 7636).

mod listener;
mod page;
pub(crate) mod pkce;
mod response;
mod tab;

use broker_core::{
    Error, ErrorCode, ErrorKind, Hint, Operation, Problem, Repeat, Result, Secret, ServiceUrl,
};
use chrono::{DateTime, TimeDelta, Utc};
use url::Url;

use crate::device::wait;
use crate::token::Params;
use crate::{TokenAnswer, TokenEndpoint};
pub(crate) use listener::loopback;

use listener::{Arrival, Listener};
use page::Page;
use pkce::{challenge, random};
use response::Expected;

/// How long the user may take to log in.
const LONGEST_WAIT: TimeDelta = TimeDelta::minutes(10);

/// How many invalid addresses the user may paste before the login fails.
const TRIES: usize = 3;

/// The longest line that a terminal accepts (`MAX_CANON`, without the line end).
const LONGEST_LINE: usize = 4095;

/// A login by the authorization code grant.
pub struct CodeFlow<'a> {
    /// The authorization endpoint, which the browser opens.
    pub url: &'a ServiceUrl,
    /// The token endpoint, where the code is exchanged, and the client.
    pub token: &'a TokenEndpoint<'a>,
    /// The expected `iss` of the authorization response (RFC 9207), if the issuer is known.
    pub issuer: Option<&'a str>,
    /// Whether the service always sends `iss` (`authorization_response_iss_parameter_supported`).
    pub sends_issuer: bool,
    /// The redirect URI on this machine, such as `http://127.0.0.1/PATH`. Without a port, a free port is used.
    pub redirect_uri: &'a ServiceUrl,
    /// Extra parameters of the authorization request, such as `scope`, `audience` and `resource`.
    pub fields: &'a Params<'a>,
    /// Extra parameters of the token request.
    pub token_fields: &'a Params<'a>,
}

impl CodeFlow<'_> {
    /// Opens the authorization endpoint in the browser, and exchanges the code that the browser returns. If no
    /// browser opens, the user can paste the final address of a browser on another machine.
    pub async fn run(&self) -> Result<TokenAnswer> {
        let operation = self.token.operation;
        // RFC 7636 section 4.1 recommends 256 bits.
        let (state, verifier) = (random::<32>()?, random::<32>()?);
        let issuer = self.issuer.map(str::to_owned);
        let expected = Expected { state: state.clone(), issuer, sends_issuer: self.sends_issuer };
        // A browser that is already logged in at the service returns at once, so the listener starts first.
        let mut listener = Listener::bind(self.redirect_uri, expected).await?;
        let redirect_uri = listener.redirect_uri.clone();
        let url = self.request(&redirect_uri, &state, &verifier)?;
        operation.prompt().show_page(&url);
        let deadline = broker_core::later(operation.now(), LONGEST_WAIT);
        let (code, tab) = if operation.prompt().browses() {
            browse(operation, &mut listener, deadline).await?
        } else {
            paste(operation, &mut listener, deadline).await?
        };
        drop(listener);
        let result = match code {
            Ok(code) => self.exchange(&code, &verifier, &redirect_uri).await,
            Err(error) => Err(error),
        };
        match (tab, &result) {
            (Some(tab), Ok(answer)) => {
                let page = Page::LoggedIn(answer.account.clone());
                operation.after_save(move || tab.show(&page));
            }
            (Some(tab), Err(error)) => tab.show(&Page::Failed(error.code())),
            (None, _) => {}
        }
        result
    }

    /// Builds the authorization request (RFC 6749 section 4.1.1, RFC 7636 section 4.3). The flow's own parameters
    /// replace equal names in `fields` and in the endpoint's query.
    fn request(&self, redirect_uri: &str, state: &Secret, verifier: &Secret) -> Result<String> {
        let challenge = challenge(verifier);
        let own = [
            ("response_type", "code"),
            ("client_id", self.token.client.id()),
            ("redirect_uri", redirect_uri),
            ("state", state.expose()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        let extra = self.fields.iter().filter(|(name, _)| own.iter().all(|(own, _)| own != name));
        let params: Vec<_> = own.iter().chain(extra).collect();
        let mut url = Url::parse(self.url.as_str())
            .map_err(|error| Error::new(ErrorCode::ConfigInvalidValue, error.to_string()))?;
        let configured: Vec<_> = url.query_pairs().into_owned().collect();
        let kept = configured.iter().filter(|(name, _)| params.iter().all(|(ours, _)| ours != name));
        url.query_pairs_mut().clear().extend_pairs(kept).extend_pairs(params);
        Ok(url.into())
    }

    /// Exchanges the authorization code (RFC 6749 section 4.1.3). Repeats the request only if the code is certainly
    /// still unused.
    async fn exchange(&self, code: &Secret, verifier: &Secret, redirect_uri: &str) -> Result<TokenAnswer> {
        let own = [
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier.expose()),
        ];
        let fields = [&own, self.token_fields].concat();
        let response = self.token.send(&self.token.url, &fields, Repeat::IfNotActed).await;
        let response = response.map_err(with_used_code)?;
        self.token.read_login(&response, &[code, verifier]).map_err(|problem| match problem {
            Problem::Refused(refusal) if refusal.is("invalid_grant") => Error::new(
                ErrorCode::LoginRequired,
                format!("the service does not accept the authorization code: {}", refusal.words),
            )
            .with_hint("the code was used before or has expired: log in again"),
            problem => {
                let problem = problem.of_service(&self.token.url);
                with_used_code(self.token.error(problem, "the service refused the authorization code"))
            }
        })
    }
}

fn with_used_code(error: Error) -> Error {
    let hint = "an authorization code works only once: log in again";
    // Other hints say more: nothing was sent, or the service asked for a pause.
    let is_unspecific = matches!(error.hint(), None | Some(Hint::RetryLater));
    if error.is_transient() && is_unspecific { error.with_hint(hint) } else { error }
}

/// Waits for the authorization response, and shows the remaining time.
async fn browse(operation: &Operation, listener: &mut Listener, deadline: DateTime<Utc>) -> Result<Arrival> {
    let left = (deadline - operation.now()).to_std().unwrap_or_default();
    tokio::select! {
        arrival = listener.wait() => Ok(arrival),
        paused = wait(operation, left, deadline) => Err(paused.err().unwrap_or_else(timed_out)),
    }
}

/// Asks the user to paste the browser's final address.
async fn paste(operation: &Operation, listener: &mut Listener, deadline: DateTime<Utc>) -> Result<Arrival> {
    let prompt = operation.prompt();
    let start = listener.redirect_uri.clone();
    prompt.notify(&format!(
        "After the login, the browser opens an address that begins with {start}. A browser on another machine \
         cannot open this address and shows an error: copy the whole address from the browser's address bar."
    ));
    for _ in 0..TRIES {
        let left = (deadline - operation.now()).to_std().unwrap_or_default();
        let typed = tokio::select! {
            // Check the listener first, because on a test clock `operation.pause` ends immediately.
            biased;
            arrival = listener.wait() => {
                prompt.notify("the browser has returned the login's result; you do not need to paste an address");
                return Ok(arrival);
            }
            typed = prompt.ask("Address in the browser") => Secret::new(typed.or_else(unanswered)?),
            paused = operation.pause(left) => return Err(paused.err().unwrap_or_else(timed_out)),
        };
        match listener.callback.expected.parse_pasted(typed.expose()) {
            Ok(code) => return Ok((code, None)),
            Err(_) if typed.expose().len() >= LONGEST_LINE => prompt.notify(&format!(
                "the address is longer than {LONGEST_LINE} characters, which a terminal cannot read in one line: log \
                 in on the machine with the browser, or forward the port of {start} to this machine (ssh -L)"
            )),
            Err(invalid) => {
                prompt.notify(&format!("{}: copy the whole address, {start}?…", invalid.reason()));
            }
        }
    }
    Err(Error::login_required("no valid address was pasted").with_hint("log in again"))
}

/// Treats an empty line as an invalid address, and adds a hint if no terminal is attached.
fn unanswered(error: Error) -> Result<String> {
    let blank = std::error::Error::source(&error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|source| source.kind() == std::io::ErrorKind::InvalidInput);
    match error.kind() {
        ErrorKind::Cancelled if blank => Ok(String::new()),
        ErrorKind::LoginRequired => Err(error.with_hint(
            "log in at a terminal, where the address can be pasted, or on a machine with a browser",
        )),
        _ => Err(error),
    }
}

fn timed_out() -> Error {
    let minutes = LONGEST_WAIT.num_minutes();
    Error::new(
        ErrorCode::LoginTimeout,
        format!("the browser returned no login result within {minutes} minutes"),
    )
    .with_hint(Hint::LogInWithoutBrowser)
}
