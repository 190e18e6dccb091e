//! Requests to a token endpoint, a revocation endpoint (RFC 7009) and an introspection endpoint (RFC 7662).

use broker_core::{
    Credential, Error, ErrorCode, FinalCodes, Hint, HttpRequest, HttpResponse, Operation, Problem, Repeat,
    Result, Secret, ServiceUrl, WITHHELD, read_object, repeats_secret, salvage_new, text_in,
};
use chrono::TimeDelta;
use serde_json::{Map, Value, json};

use crate::answer::{AnswerFields, STANDARD_FIELDS};
use crate::client::{has_bad_credentials, refuses_client};
use crate::{ClientAuth, TokenAnswer};

/// The difference between the client's and the service's clock that services tolerate in assertions.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(5);

/// Names and values of a request's parameters.
pub(crate) type Params<'a> = [(&'a str, &'a str)];

/// A token endpoint and the client that sends requests to it.
pub struct TokenEndpoint<'a> {
    /// The operation that sends the requests.
    pub operation: &'a Operation,
    /// The URL of the token endpoint.
    pub url: ServiceUrl,
    /// The client and its authentication.
    pub client: ClientAuth,
    /// The lifetime of a token if neither the response nor a JWT contains one.
    pub default_life: TimeDelta,
    /// Whether `default_life` is only assumed. If so, a login without a refresh token keeps its token until the service
    /// rejects the token.
    pub(crate) is_life_assumed: bool,
    /// The paths of the fields in token responses.
    pub(crate) fields: &'a AnswerFields,
    /// The error codes that end a login or refuse a password.
    pub(crate) final_codes: FinalCodes<'a>,
}

impl<'a> TokenEndpoint<'a> {
    /// Creates a token endpoint whose responses follow RFC 6749 section 5.1.
    #[must_use]
    pub fn new(
        operation: &'a Operation,
        url: &ServiceUrl,
        client: ClientAuth,
        default_life: TimeDelta,
    ) -> Self {
        let (url, fields, final_codes) = (url.clone(), &*STANDARD_FIELDS, FinalCodes::STANDARD);
        Self { operation, url, client, default_life, is_life_assumed: false, fields, final_codes }
    }

    /// Requests a token by the client credentials grant (RFC 6749 section 4.4). Failed requests can be repeated.
    pub async fn client_credentials(&self, extra: &Params<'_>) -> Result<TokenAnswer> {
        let fields = [&[("grant_type", "client_credentials")], extra].concat();
        self.request(&fields, &[], "the service refused the client credentials").await
    }

    /// Exchanges the token `subject` for a new token (RFC 8693 section 2). Failed requests can be repeated.
    pub(crate) async fn token_exchange(&self, subject: &Secret, extra: &Params<'_>) -> Result<TokenAnswer> {
        let grant_type = ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
        let fields = [&[grant_type, ("subject_token", subject.expose())], extra].concat();
        self.request(&fields, &[subject], "the service refused to exchange the token").await
    }

    /// Requests a token without a user. `what` begins the message of a refusal.
    async fn request(&self, fields: &Params<'_>, sent: &[&Secret], what: &str) -> Result<TokenAnswer> {
        let response = self.send(&self.url, fields, Repeat::Safe).await?;
        let answer = self.read(&response, sent, false);
        let answer = answer.map_err(|problem| self.error(problem.of_service(&self.url), what))?;
        Ok(TokenAnswer { account: None, ..answer })
    }

    /// Requests tokens by the password grant (RFC 6749 section 4.3). Repeats the request only if the service has
    /// certainly not checked the password, because repeated wrong passwords lock accounts. Only the service's own codes
    /// mean that the password is wrong: a gateway may have sent other refusals.
    pub(crate) async fn password(
        &self,
        username: &str,
        password: &Secret,
        fingerprint: String,
        extra: &Params<'_>,
    ) -> Result<TokenAnswer> {
        let own = [("grant_type", "password"), ("username", username), ("password", password.expose())];
        let response = self.send(&self.url, &[&own, extra].concat(), Repeat::IfNotActed).await?;
        self.read_login(&response, &[password]).map_err(|problem| match problem {
            Problem::Refused(refusal) if self.final_codes.end(&refusal, Credential::Password) => {
                let message = format!("the service refused the password: {}", refusal.words);
                let error = Error::new(ErrorCode::PasswordRefused, message);
                error.with_hint(Hint::CorrectPassword).with_secret_fingerprint(fingerprint)
            }
            problem => self.error(problem.of_credential(&self.url), "the service refused the login"),
        })
    }

    /// Refreshes the token (RFC 6749 section 6). The service may invalidate the refresh token: see
    /// [`Repeat::SpendsGrant`]. Returns `None` if the service itself said that the refresh token is invalid
    /// (`invalid_grant`).
    pub async fn refresh(&self, refresh_token: &Secret, extra: &Params<'_>) -> Result<Option<TokenAnswer>> {
        let own = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose())];
        let fields = [&own, extra].concat();
        let response = self.send(&self.url, &fields, Repeat::SpendsGrant).await?;
        // The old refresh token may be invalid now, so a new one is saved even if the response is malformed or an error.
        let salvage = |problem| self.salvaged(&response, Some(refresh_token)).ok_or(problem);
        match self.read(&response, &[refresh_token], false).or_else(salvage) {
            Ok(answer) => Ok(Some(answer)),
            Err(Problem::Refused(refusal)) if self.final_codes.end(&refusal, Credential::RefreshToken) => {
                tracing::debug!(reason = refusal.words, "the service refused the refresh token");
                Ok(None)
            }
            Err(problem) => {
                let is_client = matches!(&problem, Problem::Refused(refusal) if has_bad_credentials(refusal));
                let problem = if is_client { problem } else { problem.of_credential(&self.url) };
                Err(self.error(problem, "the service refused to refresh the token"))
            }
        }
    }

    /// Logs in with a refresh token that another program got. Refreshes once, so an invalid refresh token does not
    /// replace a valid login.
    pub async fn begin_with(&self, refresh_token: &Secret, extra: &Params<'_>) -> Result<TokenAnswer> {
        let refreshed = self.refresh(refresh_token, extra).await.map_err(|error| {
            let hint = "the service may have replaced the refresh token: try this token once more; if the service refuses it, get a new one from the host or program that you copied it from";
            let may_have_arrived = self.operation.lost_response() || error.code() == ErrorCode::BadResponse;
            if error.is_transient() && may_have_arrived { error.with_hint(hint) } else { error }
        });
        let mut answer = refreshed?.ok_or_else(|| {
            Error::refused("the service refused this refresh token")
                .with_hint("get a new refresh token from the host or program that you copied this one from")
        })?;
        answer.refresh_token.get_or_insert_with(|| refresh_token.clone());
        Ok(answer)
    }

    /// Revokes a token (RFC 7009 section 2.1) at the endpoint `url`. Returns false if the service does not revoke
    /// tokens of this type (RFC 7009 section 2.2.1). Failed requests can be repeated.
    pub(crate) async fn revoke(&self, url: &ServiceUrl, token: &Secret, hint: &str) -> Result<bool> {
        let fields = [("token", token.expose()), ("token_type_hint", hint)];
        let response = self.send(url, &fields, Repeat::Safe).await?;
        match revoked(&response, url, token) {
            Ok(()) => Ok(true),
            Err(Problem::Refused(refusal)) if refusal.is("unsupported_token_type") => Ok(false),
            Err(problem) => Err(self.error(problem, "the service refused to revoke the token")),
        }
    }

    /// Introspects a token (RFC 7662 section 2) at the endpoint `url`. Withholds names and claims that repeat the token or the client
    /// secret, because the claims are shown.
    pub(crate) async fn introspect(&self, url: &ServiceUrl, token: &Secret) -> Result<Map<String, Value>> {
        let fields = [("token", token.expose()), ("token_type_hint", "access_token")];
        let response = self.send(url, &fields, Repeat::Safe).await?;
        let secrets = self.secrets(&[token]);
        let claims = read_object(&response, url, &secrets)
            .map_err(|problem| self.error(problem, "the service refused the introspection"))?;
        let shown = |(name, claim): (String, Value)| {
            let name = if repeats_secret(&name, &secrets) { WITHHELD.to_owned() } else { name };
            (name, if repeats_secret(&claim.to_string(), &secrets) { WITHHELD.into() } else { claim })
        };
        Ok(claims.into_iter().map(shown).collect())
    }

    /// Sends an authenticated request to an endpoint of the service.
    pub(crate) async fn send(
        &self,
        url: &ServiceUrl,
        fields: &Params<'_>,
        repeat: Repeat,
    ) -> Result<HttpResponse> {
        let post = |assertion: Option<&Secret>| {
            let own = self.client.fields(assertion);
            let fields: Vec<_> = fields.iter().copied().chain(own).collect();
            let request = HttpRequest::post_form(url.clone(), &fields, repeat);
            // A request that may be repeated without harm is better repeated.
            if repeat == Repeat::Safe { request } else { request.with_salvage(&self.fields.refresh_token) }
        };
        match &self.client {
            ClientAuth::Public(_) | ClientAuth::Body(..) => self.operation.send(&post(None)).await,
            ClientAuth::Basic(id, secret, spelling) => {
                let is_password = fields.contains(&("grant_type", "password"));
                spelling.send(self.operation, &post(None), (id, secret), is_password).await
            }
            ClientAuth::Key(client_id, key) => {
                let send = async |now| {
                    let assertion = key.assertion(client_id, &self.url, url, now)?;
                    Ok(withhold(self.operation.send(&post(Some(&assertion))).await?, &assertion))
                };
                let response = send(self.operation.now()).await?;
                // If the clocks differ, the service may refuse the assertion. The client then signs another assertion
                // with the service's time.
                match response.date().filter(|date| (*date - response.sent_at).abs() > CLOCK_TOLERANCE) {
                    Some(date) if refuses_client(&response, url, Repeat::Never, true) => send(date).await,
                    _ => Ok(response),
                }
            }
        }
    }

    /// Reads the token response to a login. Returns only the refresh token if the response is malformed.
    pub(crate) fn read_login(
        &self,
        response: &HttpResponse,
        sent: &[&Secret],
    ) -> Result<TokenAnswer, Problem> {
        self.read(response, sent, true).or_else(|problem| self.salvaged(response, None).ok_or(problem))
    }

    /// Returns the refresh token of a malformed response to a login, or to a request with the refresh token `sent`.
    pub(crate) fn salvaged(&self, response: &HttpResponse, sent: Option<&Secret>) -> Option<TokenAnswer> {
        let refresh_token = Some(salvage_new(response, &self.fields.refresh_token, sent)?);
        tracing::info!("the response has no valid access token; the broker saves the refresh token");
        let sent_at = response.sent_at;
        Some(TokenAnswer { token: None, refresh_token, id_token: None, account: None, sent_at })
    }

    pub(crate) fn secrets<'s>(&'s self, sent: &[&'s Secret]) -> Vec<&'s Secret> {
        sent.iter().copied().chain(self.client.secret()).collect()
    }
}

/// Removes the explanation from an error response that repeats the client's assertion. A body that is not a JSON object, such
/// as a gateway's web page, is not changed: it is not a refusal.
fn withhold(response: HttpResponse, assertion: &Secret) -> HttpResponse {
    let succeeded = (200..300).contains(&response.status);
    if !succeeded && repeats_secret(&String::from_utf8_lossy(&response.body), &[assertion]) {
        let without_explanation = |body: Map<String, Value>| {
            let code = text_in(&body, "error").filter(|code| !repeats_secret(code, &[assertion]));
            json!({ "error": code, "error_description": WITHHELD }).to_string()
        };
        let body = response.json().map_or_else(|| WITHHELD.to_owned(), without_explanation);
        return response.with_body(body.into_bytes());
    }
    response
}

/// Reads the response of a revocation endpoint. Every 2xx status is a success (RFC 7009 section 2.2).
pub fn revoked(response: &HttpResponse, from: &ServiceUrl, token: &Secret) -> Result<(), Problem> {
    if (200..300).contains(&response.status) && !response.is_html() {
        return Ok(());
    }
    read_object(response, from, &[token]).and_then(|_| {
        let message = format!("{from} answered HTTP {} with a web page", response.status);
        Err(Problem::Transient(Error::new(ErrorCode::BadResponse, message)))
    })
}
