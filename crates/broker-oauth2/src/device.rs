//! The device authorization grant (RFC 8628): the user approves the login in any browser.

use std::error::Error as _;
use std::time::Duration;

use broker_core::{
    DeviceCode, Error, ErrorCode, Hint, HttpFault, HttpResponse, Operation, Problem, Repeat, RequestSent,
    Result, Secret, ServiceUrl, read_object, repeats_secret, sanitize, seconds, text_in,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use crate::token::Params;
use crate::{TokenAnswer, TokenEndpoint};

/// The poll interval if the service names none (RFC 8628 section 3.2).
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);

/// How much each `slow_down` error lengthens the poll interval (RFC 8628 section 3.5).
const SLOW_DOWN: Duration = Duration::from_secs(5);

/// The lifetime of a device code without `expires_in`, which RFC 8628 requires.
const DEFAULT_CODE_LIFETIME: TimeDelta = TimeDelta::minutes(10);

/// The longest time that the broker waits for the user's approval, even if the device code lives longer.
const LONGEST_CODE_LIFETIME: TimeDelta = TimeDelta::hours(1);

/// How many characters of an unknown scheme an error shows.
const LONGEST_SCHEME: usize = 30;

/// How often the prompt shows the remaining time of the login.
const TICK: Duration = Duration::from_secs(1);

/// The longest pause between polls that time out.
const LONGEST_BACKOFF: Duration = Duration::from_mins(1);

/// A login by the device authorization grant.
pub struct DeviceFlow<'a> {
    /// The device authorization endpoint.
    pub url: &'a ServiceUrl,
    /// The token endpoint to poll, and the client that polls.
    pub token: &'a TokenEndpoint<'a>,
    /// Fields of the device authorization request, such as `scope` and `audience`, without the client's fields.
    pub fields: &'a Params<'a>,
    /// Extra form fields of each poll.
    pub token_fields: &'a Params<'a>,
    /// The PKCE code verifier (RFC 7636), whose challenge is in `fields`.
    pub verifier: Option<&'a Secret>,
}

/// A device code that waits for the user's approval.
struct Pending {
    device_code: Secret,
    expires_at: DateTime<Utc>,
    interval: Duration,
    /// The shortest pause before the next poll.
    pause: Duration,
    /// The number of consecutive polls that timed out.
    timeouts: u32,
    /// The error of the last poll, if that poll failed.
    fault: Option<Error>,
    /// Whether a poll's response was lost. The lost response may have contained the tokens.
    lost: bool,
}

impl DeviceFlow<'_> {
    /// Shows the user code and polls until the user approves the login or the code expires. Transient errors do not
    /// stop the polls.
    pub async fn run(&self) -> Result<TokenAnswer> {
        let operation = self.token.operation;
        let mut pending = self.begin().await?;
        loop {
            wait(operation, pending.pause, pending.expires_at).await?;
            if operation.now() >= pending.expires_at {
                return Err(pending.timed_out());
            }
            if let Some(answer) = self.poll(&mut pending).await? {
                return Ok(answer);
            }
            operation.nothing_issued();
        }
    }

    /// Requests a device code (RFC 8628 section 3.1). The request issues no token, so it can be repeated.
    async fn begin(&self) -> Result<Pending> {
        let response = self.token.send(self.url, self.fields, Repeat::Safe).await?;
        self.token.operation.nothing_issued();
        let bad = |message: &str| Error::new(ErrorCode::BadResponse, format!("{} {message}", self.url));
        let object = read_object(&response, self.url, self.token.client.secret().as_slice())
            .map_err(|problem| self.refused_start(problem.of_service(self.url)))?;
        let lifetime = object
            .get("expires_in")
            .and_then(seconds)
            .unwrap_or(DEFAULT_CODE_LIFETIME)
            .min(LONGEST_CODE_LIFETIME);
        if lifetime <= TimeDelta::zero() {
            let error = bad("sent a device code that has already expired (`expires_in`)");
            return Err(error.with_hint(Hint::RetryLater));
        }
        let code = read_code(&object, lifetime).ok_or_else(|| bad("answered without a device code"));
        let (code, device_code) = code?;
        let pages = [Some(&code.verification_uri), code.verification_uri_complete.as_ref()];
        let texts = pages.into_iter().flatten().chain([&code.user_code]);
        if texts.into_iter().any(|text| repeats_secret(text, self.token.client.secret().as_slice())) {
            return Err(bad("sent a device code that repeats the client secret"));
        }
        if let Some(why) = pages.into_iter().flatten().find_map(|page| no_web_page(page)) {
            // The message omits the address, because some terminals make links of it.
            let message = format!("the login page that {} sent is not a web page, but {why}", self.url);
            return Err(Error::new(ErrorCode::BadResponse, message).with_hint(
                "check `device_url` or `issuer` of this provider, and report this to the service",
            ));
        }
        self.token.operation.prompt().show_code(&code);
        let interval = object.get("interval").and_then(seconds).and_then(|interval| interval.to_std().ok());
        let interval = interval.map_or(DEFAULT_INTERVAL, |interval| interval.max(Duration::from_secs(1)));
        let expires_at = broker_core::later(response.sent_at, lifetime);
        let (timeouts, fault, lost) = (0, None, false);
        Ok(Pending { device_code, expires_at, interval, pause: interval, timeouts, fault, lost })
    }

    fn refused_start(&self, problem: Problem) -> Error {
        let is_invalid = matches!(&problem, Problem::Refused(refusal) if refusal.is("invalid_request"));
        let error = self.token.error(problem, "the service refused to start a login");
        if is_invalid && self.verifier.is_some() && error.hint().is_none() {
            return error.with_hint(
                "check `scope` and `params`; if the service refuses unknown parameters, set `pkce = false`",
            );
        }
        error
    }

    /// Sends one poll (RFC 8628 section 3.4). Returns `None` if the login continues.
    async fn poll(&self, pending: &mut Pending) -> Result<Option<TokenAnswer>> {
        pending.pause = pending.interval;
        let own = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", pending.device_code.expose()),
        ];
        let verifier = self.verifier.map(|verifier| ("code_verifier", verifier.expose()));
        let fields: Vec<_> =
            own.into_iter().chain(verifier).chain(self.token_fields.iter().copied()).collect();
        match self.token.send(&self.token.url, &fields, Repeat::Never).await {
            Ok(response) => self.read(pending, &response),
            Err(error) if error.is_transient() => {
                tracing::info!(%error, "a poll of the device login failed; the login continues");
                pending.failed(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads a poll's response. Uses the error code, because services send different HTTP statuses (Auth0 sends 403
    /// and 429).
    fn read(&self, pending: &mut Pending, response: &HttpResponse) -> Result<Option<TokenAnswer>> {
        let token = self.token;
        (pending.timeouts, pending.fault) = (0, None);
        let sent: Vec<_> = [&pending.device_code].into_iter().chain(self.verifier).collect();
        let read = token.read(response, &sent, true).map_err(|problem| match &problem {
            // Services send codes of their own with these, such as `authorization_declined` (Microsoft).
            Problem::Refused(refusal) if refusal.code.is_some() && matches!(refusal.status, 200 | 400) => {
                problem
            }
            _ => problem.of_credential(&token.url),
        });
        let problem = match read {
            Ok(answer) => return Ok(Some(answer)),
            Err(problem) => problem,
        };
        let body = match &problem {
            Problem::Refused(_) => None,
            // A malformed response may contain the refresh token, and a 429 or 5xx an error code such as `slow_down`.
            Problem::Transient(_) => match token.salvaged(response, None) {
                Some(answer) => return Ok(Some(answer)),
                None => response.json(),
            },
        };
        let is = |code: &str| match &problem {
            Problem::Refused(refusal) => refusal.is(code),
            Problem::Transient(_) => body.as_ref().and_then(|body| text_in(body, "error")) == Some(code),
        };
        match problem {
            _ if is("authorization_pending") => {}
            _ if is("slow_down") => {
                pending.interval += SLOW_DOWN;
                pending.pause = pending.interval;
            }
            _ if is("access_denied") => {
                return Err(Error::new(ErrorCode::AccessDenied, "the login was denied"));
            }
            _ if is("expired_token") => return Err(expired()),
            // The service refuses a code that was used before.
            _ if is("invalid_grant") && pending.lost => {
                return Err(Error::login_required(
                    "the network lost the response with the tokens, and the service sends the tokens only once",
                ));
            }
            Problem::Refused(_) => return Err(token.error(problem, "the service refused the login")),
            Problem::Transient(fault) => pending.unusable(response, fault),
        }
        Ok(None)
    }
}

impl Pending {
    /// Keeps the error of an unusable response, and pauses as long as the service asks.
    fn unusable(&mut self, response: &HttpResponse, fault: Error) {
        // A service that answers 429 or 503 has not processed the request, so no tokens were lost.
        self.lost |= !matches!(response.status, 429 | 503);
        tracing::info!(
            status = response.status,
            "a poll of the device login got no usable response; the login continues"
        );
        self.fault = Some(fault);
        self.pause = self.interval.max(response.retry_after().unwrap_or_default());
    }

    /// Returns the error for an expired code, which depends on whether the service answered the polls.
    fn timed_out(&self) -> Error {
        let Some(fault) = &self.fault else { return expired() };
        let message =
            format!("the device code expired while the service did not answer: {}", fault.message());
        Error::new(fault.code(), message).with_hint("log in again, even if you have approved the login")
    }

    /// Keeps the error of a poll without response. Doubles the pause after each timeout (RFC 8628 section 3.5).
    fn failed(&mut self, error: Error) {
        let fault: Option<&HttpFault> = error.source().and_then(|source| source.downcast_ref());
        if fault.is_some_and(|fault| fault.code == ErrorCode::Timeout) {
            self.timeouts += 1;
            let pause = self.interval * 2_u32.saturating_pow(self.timeouts);
            self.pause = pause.min(LONGEST_BACKOFF.max(self.interval));
        }
        // If the response to this poll was lost, the response may have contained the tokens.
        self.lost |= fault.is_some_and(|fault| fault.sent == RequestSent::Maybe);
        self.fault = Some(error);
    }
}

fn read_code(object: &Map<String, Value>, lifetime: TimeDelta) -> Option<(DeviceCode, Secret)> {
    let text = |key: &str| text_in(object, key).map(str::to_owned);
    let code = DeviceCode {
        // Some services use the older name `verification_url`.
        verification_uri: text("verification_uri").or_else(|| text("verification_url"))?,
        verification_uri_complete: text("verification_uri_complete"),
        user_code: text("user_code")?,
        expires_in: lifetime.to_std().ok()?,
    };
    Some((code, Secret::new(text("device_code")?)))
}

/// Returns why an address is not a web page: another scheme, such as `javascript` or `file`, no plausible host, or a user.
/// An address without scheme is a host with a dot that the user types, perhaps with a port.
fn no_web_page(address: &str) -> Option<String> {
    let plain = address.trim().to_ascii_lowercase();
    let web = ["https://", "http://", "//"].iter().find_map(|web| plain.strip_prefix(web));
    let host = web.unwrap_or(&plain).split(['/', '\\', '?', '#']).next()?;
    if let (None, Some((scheme, port))) = (web, host.split_once(':'))
        && !(scheme.contains('.') && port.parse::<u16>().is_ok())
    {
        let scheme: String = sanitize(scheme).chars().take(LONGEST_SCHEME).collect();
        return Some(format!("`{scheme}:`"));
    }
    let is_host = host.starts_with(|c: char| c.is_alphanumeric() || c == '[')
        && (plain.starts_with("http") || host.contains('.'))
        && !host.contains(|c: char| c.is_control() || c.is_whitespace())
        && ServiceUrl::parse(&format!("https://{host}/")).is_ok();
    (!is_host).then(|| "an address without a valid host, or with a user".to_owned())
}

/// Waits until the next poll or the end of the login, and shows the remaining time.
pub(crate) async fn wait(operation: &Operation, pause: Duration, expires_at: DateTime<Utc>) -> Result<()> {
    let mut rest = pause;
    while !rest.is_zero() {
        let left = (expires_at - operation.now()).to_std().unwrap_or_default();
        if left.is_zero() {
            return Ok(());
        }
        operation.prompt().waiting(left);
        let step = rest.min(TICK).min(left);
        operation.pause(step).await?;
        rest = rest.saturating_sub(step);
    }
    Ok(())
}

fn expired() -> Error {
    Error::new(ErrorCode::LoginTimeout, "the device code expired before the user approved the login")
}
