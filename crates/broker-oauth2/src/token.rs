//! Requests to a token endpoint, and to those beside it: revocation (RFC 7009) and introspection (RFC 7662).

use broker_core::{
    Context, Error, HttpRequest, HttpResponse, Problem, Refusal, Repeat, Result, Secret, ServiceUrl,
    read_object,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use crate::answer::AnswerFields;
use crate::{ClientAuth, ClientKey, TokenAnswer};

/// A token endpoint and who asks there.
#[derive(Debug, Clone, Copy)]
pub struct TokenEndpoint<'a> {
    /// Its URL.
    pub url: &'a ServiceUrl,
    /// Who asks.
    pub client: ClientAuth<'a>,
    /// How long a token lives whose answer does not tell and which is no JWT.
    pub default_life: TimeDelta,
    /// Where the fields stand in its answers, if not where RFC 6749 has them.
    pub(crate) answer: Option<&'a AnswerFields>,
}

impl<'a> TokenEndpoint<'a> {
    /// One that answers as RFC 6749 section 5.1 says.
    #[must_use]
    pub fn new(url: &'a ServiceUrl, client: ClientAuth<'a>, default_life: TimeDelta) -> Self {
        Self { url, client, default_life, answer: None }
    }

    /// The client credentials grant (RFC 6749 section 4.4). It spends nothing, so it is repeated after a fault.
    pub async fn client_credentials(&self, context: &Context, extra: &[(&str, &str)]) -> Result<TokenAnswer> {
        let fields = [&[("grant_type", "client_credentials")], extra].concat();
        let response = self.send(context, &fields, Repeat::Safe).await?;
        self.read(&response, &[])
            .map_err(|problem| self.error(problem, "the service refused the client's credentials"))
    }

    /// The token exchange (RFC 8693 section 2): a token for the `subject` token. It spends nothing.
    pub(crate) async fn token_exchange(
        &self,
        context: &Context,
        subject: &Secret,
        extra: &[(&str, &str)],
    ) -> Result<TokenAnswer> {
        let own = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", subject.expose()),
        ];
        let response = self.send(context, &[&own, extra].concat(), Repeat::Safe).await?;
        self.read(&response, &[subject])
            .map_err(|problem| self.error(problem, "the service refused to exchange the token"))
    }

    /// The password grant (RFC 6749 section 4.3). Wrong passwords lock accounts, so it is sent again only if the service
    /// surely did not look at it; `mark` is put on the error if it is this that was refused.
    pub(crate) async fn password(
        &self,
        context: &Context,
        username: &str,
        password: &Secret,
        mark: String,
        extra: &[(&str, &str)],
    ) -> Result<Approved> {
        let own = [("grant_type", "password"), ("username", username), ("password", password.expose())];
        let response = self.send(context, &[&own, extra].concat(), Repeat::IfNotActed).await?;
        match self.read(&response, &[password]) {
            Ok(answer) => Ok(Approved::Granted(Box::new(answer))),
            Err(problem) => {
                if let Some(refresh_token) = self.salvaged_refresh_token(&response) {
                    return Ok(Approved::OnlyRefreshToken(refresh_token, response.sent_at));
                }
                let is_it = matches!(&problem, Problem::Refused(refusal) if self.hint(refusal).is_none());
                let error = self.error(problem, "the service refused the password");
                Err(if is_it { error.with_secret_fingerprint(mark) } else { error })
            }
        }
    }

    /// The refresh grant (RFC 6749 section 6), which may spend the refresh token: see [`Repeat::SpendsGrant`].
    pub async fn refresh(
        &self,
        context: &Context,
        refresh_token: &Secret,
        extra: &[(&str, &str)],
    ) -> Result<Refreshed> {
        let own = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose())];
        let fields = [&own, extra].concat();
        let response = self.send(context, &fields, Repeat::SpendsGrant).await?;
        match self.read(&response, &[refresh_token]) {
            Ok(answer) => Ok(Refreshed::Granted(Box::new(answer))),
            Err(Problem::Refused(refusal)) if refusal.is("invalid_grant") => {
                tracing::debug!(words = refusal.words, "the refresh token was refused");
                Ok(Refreshed::Refused)
            }
            // Whatever is wrong with the rest, the old one may be spent and this is the login now.
            Err(problem) => {
                match self.salvaged_refresh_token(&response).filter(|new| !new.same_as(refresh_token)) {
                    Some(rotated) => Ok(Refreshed::OnlyRotated(rotated, response.sent_at)),
                    None => Err(self.error(problem, "the service refused to renew")),
                }
            }
        }
    }

    /// One poll of the device flow (RFC 8628 section 3.4). Whoever polls repeats it.
    pub(crate) async fn poll(
        &self,
        context: &Context,
        device_code: &Secret,
        extra: &[(&str, &str)],
    ) -> Result<Polled> {
        let own = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", device_code.expose()),
        ];
        let response = self.send(context, &[&own, extra].concat(), Repeat::Never).await?;
        let answer = self.read(&response, &[device_code]);
        let refresh_token = self.salvaged_refresh_token(&response);
        Ok(Polled { response, answer, refresh_token })
    }

    /// Revokes a token (RFC 7009 section 2.1) at the endpoint `url`. Revoking twice is revoking once.
    pub(crate) async fn revoke(
        &self,
        context: &Context,
        url: &ServiceUrl,
        token: &Secret,
        hint: &str,
    ) -> Result<Revocation> {
        let fields = [("token", token.expose()), ("token_type_hint", hint)];
        let response = self.send_to(context, url, &fields, Repeat::Safe).await?;
        match read_revoked(&response, url, token) {
            Ok(()) => Ok(Revocation::Done),
            Err(Problem::Refused(refusal)) if refusal.is("unsupported_token_type") => {
                Ok(Revocation::Unsupported)
            }
            Err(problem) => Err(self.error(problem, "the service refused to revoke")),
        }
    }

    /// What the service says of a token (RFC 7662 section 2) at the endpoint `url`.
    pub(crate) async fn introspect(
        &self,
        context: &Context,
        url: &ServiceUrl,
        token: &Secret,
    ) -> Result<Map<String, Value>> {
        let fields = [("token", token.expose()), ("token_type_hint", "access_token")];
        let response = self.send_to(context, url, &fields, Repeat::Safe).await?;
        read_object(&response, url, &self.secrets(&[token]))
            .map_err(|problem| self.error(problem, "the service refused to say anything of the token"))
    }

    /// Sends fields to the token endpoint, as this client.
    pub(crate) async fn send(
        &self,
        context: &Context,
        fields: &[(&str, &str)],
        repeat: Repeat,
    ) -> Result<HttpResponse> {
        self.send_to(context, self.url, fields, repeat).await
    }

    /// Sends fields to another endpoint of the same service, as this client.
    pub(crate) async fn send_to(
        &self,
        context: &Context,
        url: &ServiceUrl,
        fields: &[(&str, &str)],
        repeat: Repeat,
    ) -> Result<HttpResponse> {
        let post = |assertion: Option<&Secret>| {
            let own = self.client.fields(assertion);
            let fields: Vec<_> = fields.iter().copied().chain(own).collect();
            let request = HttpRequest::post_form(url.clone(), &fields, repeat);
            self.client.authorize(request)
        };
        let ClientAuth::Key(client_id, key) = self.client else { return context.send(&post(None)).await };
        let assertion = key.assertion(client_id, self.url, context.now())?;
        let response = context.send(&post(Some(&assertion))).await?;
        // Only where its times were wrong by the service's own clock; a client that is refused spends nothing.
        match response.date().filter(|date| ClientKey::is_out_of_time(*date, response.sent_at)) {
            Some(date) if self.is_client_refused(&response) => {
                let assertion = key.assertion(client_id, self.url, date)?;
                context.send(&post(Some(&assertion))).await
            }
            _ => Ok(response),
        }
    }

    fn is_client_refused(&self, response: &HttpResponse) -> bool {
        let read = read_object(response, self.url, &[]);
        matches!(read, Err(Problem::Refused(refusal)) if refusal.is("invalid_client"))
    }

    /// Reads what this endpoint answered; `sent` are the secrets that were sent beside the client's own.
    pub(crate) fn read(&self, response: &HttpResponse, sent: &[&Secret]) -> Result<TokenAnswer, Problem> {
        let usual = AnswerFields::default();
        let fields = self.answer.unwrap_or(&usual);
        TokenAnswer::read(response, self.url, &self.secrets(sent), self.default_life, fields)
    }

    /// A refresh token in a success that is of no other use.
    pub(crate) fn salvaged_refresh_token(&self, response: &HttpResponse) -> Option<Secret> {
        self.answer.unwrap_or(&AnswerFields::default()).salvaged_refresh_token(response)
    }

    fn secrets<'s>(&'s self, sent: &[&'s Secret]) -> Vec<&'s Secret> {
        sent.iter().copied().chain(self.client.secret()).collect()
    }

    /// The problem as an error, with the key that mends it where the service says what it refuses.
    pub(crate) fn error(&self, problem: Problem, what: &str) -> Error {
        let hint = match &problem {
            Problem::Refused(refusal) => self.hint(refusal),
            Problem::Transient(_) => None,
        };
        let error = problem.error(what);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    /// RFC 6749 section 5.2, RFC 8707 section 2.
    fn hint(&self, refusal: &Refusal) -> Option<String> {
        let key = match refusal.code.as_deref()? {
            "invalid_client" => {
                return Some(format!("the service does not know this client: {}", self.client.keys()));
            }
            "unauthorized_client" => "this client may not use this `flow`: see `client_id` and `flow`",
            "invalid_scope" => {
                "see `scope` of this provider, or `--scope`; a login gives no more than it was asked for"
            }
            "invalid_target" => "see `audience` and `resource` of this provider",
            "unsupported_grant_type" => "the service does not have this `flow`",
            _ => return None,
        };
        Some(key.to_owned())
    }
}

/// What an approval brought.
#[derive(Debug)]
pub enum Approved {
    /// Tokens.
    Granted(Box<TokenAnswer>),
    /// A refresh token, when it was sent for, and nothing else of use.
    OnlyRefreshToken(Secret, DateTime<Utc>),
}

/// What came of a refresh.
#[derive(Debug)]
pub enum Refreshed {
    /// Tokens.
    Granted(Box<TokenAnswer>),
    /// A new refresh token, when it was sent for, and nothing else of use.
    OnlyRotated(Secret, DateTime<Utc>),
    /// The service refused the refresh token for good (`invalid_grant`).
    Refused,
}

/// What came of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Revocation {
    /// The token is revoked, or was not known.
    Done,
    /// The service does not revoke tokens of this type (RFC 7009 section 2.2.1).
    Unsupported,
}

/// The answer to a poll.
pub(crate) struct Polled {
    pub(crate) response: HttpResponse,
    pub(crate) answer: Result<TokenAnswer, Problem>,
    /// A refresh token, also where the answer is of no other use.
    pub(crate) refresh_token: Option<Secret>,
}

/// Reads the answer of a revocation endpoint: any 2xx is success (RFC 7009 section 2.2), also without a body.
pub fn revoked(response: &HttpResponse, from: &ServiceUrl, token: &Secret) -> Result<()> {
    read_revoked(response, from, token).map_err(|problem| problem.error("the service refused to revoke"))
}

fn read_revoked(response: &HttpResponse, from: &ServiceUrl, token: &Secret) -> Result<(), Problem> {
    if (200..300).contains(&response.status) && !response.is_html() {
        return Ok(());
    }
    read_object(response, from, &[token]).and_then(|_| {
        Err(Problem::Transient(Error::unavailable(format!("{from} answered HTTP {}", response.status))))
    })
}
