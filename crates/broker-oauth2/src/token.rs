//! Requests to a token endpoint, and revocation.

use broker_core::{
    Context, Error, HttpRequest, HttpResponse, Problem, Repeat, Result, Secret, ServiceUrl, given,
    read_object,
};
use chrono::{DateTime, TimeDelta, Utc};

use crate::TokenAnswer;

/// How a client says who it is (RFC 6749 section 2.3.1).
#[derive(Debug, Clone, Copy)]
pub enum ClientAuth<'a> {
    /// A public client: `client_id` alone.
    Public(&'a str),
    /// `client_id` and `client_secret` in an HTTP Basic header.
    Basic(&'a str, &'a Secret),
    /// `client_id` and `client_secret` in the body.
    Body(&'a str, &'a Secret),
}

/// A token endpoint and who asks there.
#[derive(Debug, Clone, Copy)]
pub struct TokenEndpoint<'a> {
    /// Its URL.
    pub url: &'a ServiceUrl,
    /// Who asks.
    pub client: ClientAuth<'a>,
    /// How long a token lives whose answer does not tell and which is no JWT.
    pub default_life: TimeDelta,
}

impl TokenEndpoint<'_> {
    /// The client credentials grant (RFC 6749 section 4.4). It spends nothing, so it is repeated after a fault.
    pub async fn client_credentials(&self, context: &Context, extra: &[(&str, &str)]) -> Result<TokenAnswer> {
        let fields = [&[("grant_type", "client_credentials")], extra].concat();
        let response = self.send(context, &fields, Repeat::Safe).await?;
        let secrets: &[&Secret] = match &self.client {
            ClientAuth::Public(_) => &[],
            ClientAuth::Basic(_, secret) | ClientAuth::Body(_, secret) => &[secret],
        };
        TokenAnswer::read(&response, self.url, secrets, self.default_life)
            .map_err(|problem| problem.error("the service refused the client's credentials"))
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
        match TokenAnswer::read(&response, self.url, &[refresh_token], self.default_life) {
            Ok(answer) => Ok(Refreshed::Granted(Box::new(answer))),
            Err(Problem::Refused(refusal)) if refusal.is("invalid_grant") => {
                tracing::debug!(words = refusal.words, "the refresh token was refused");
                Ok(Refreshed::Refused)
            }
            // Whatever is wrong with the rest, the old one may be spent and this is the login now.
            Err(problem) => match given(&response, "refresh_token").filter(|new| !new.same_as(refresh_token))
            {
                Some(rotated) => Ok(Refreshed::OnlyRotated(rotated, response.sent_at)),
                None => Err(problem.error("the service refused to renew")),
            },
        }
    }

    /// One poll of the device flow (RFC 8628 section 3.4). Whoever polls repeats it.
    pub(crate) async fn poll(&self, context: &Context, device_code: &Secret) -> Result<Polled> {
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", device_code.expose()),
        ];
        let response = self.send(context, &fields, Repeat::Never).await?;
        let answer = TokenAnswer::read(&response, self.url, &[device_code], self.default_life);
        Ok(Polled { response, answer })
    }

    pub(crate) async fn send(
        &self,
        context: &Context,
        fields: &[(&str, &str)],
        repeat: Repeat,
    ) -> Result<HttpResponse> {
        let mut fields = fields.to_vec();
        match self.client {
            ClientAuth::Public(id) => fields.push(("client_id", id)),
            ClientAuth::Body(id, secret) => {
                fields.extend([("client_id", id), ("client_secret", secret.expose())]);
            }
            ClientAuth::Basic(..) => {}
        }
        let mut request = HttpRequest::post_form(self.url.clone(), &fields, repeat);
        if let ClientAuth::Basic(id, secret) = self.client {
            request = request.with_basic(id, secret);
        }
        context.send(&request).await
    }
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

/// The answer to a poll.
pub(crate) struct Polled {
    pub(crate) response: HttpResponse,
    pub(crate) answer: Result<TokenAnswer, Problem>,
}

/// Reads the answer of a revocation endpoint: any 2xx is success (RFC 7009 section 2.2), also without a body.
pub fn revoked(response: &HttpResponse, from: &ServiceUrl, token: &Secret) -> Result<()> {
    if (200..300).contains(&response.status) && !response.is_html() {
        return Ok(());
    }
    match read_object(response, from, &[token]) {
        Ok(_) => Err(Error::unavailable(format!("{from} answered HTTP {}", response.status))),
        Err(problem) => Err(problem.error("the service refused to revoke")),
    }
}
