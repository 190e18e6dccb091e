//! The login requests `token/pair` and `token/refresh`.

use broker_core::{
    Claims, Credential, Error, ErrorCode, Expiry, FinalCodes, HttpRequest, HttpResponse, Operation, Problem,
    RecordUpdate, Repeat, Result, ScopeKey, Secret, Token, read_object, salvage_new, text_in, without_token,
};
use chrono::TimeDelta;
use serde_json::{Map, Value};

use crate::CarbonMapper;

/// The lifetime of an access token that is not a JWT with `exp`: the default of django-ninja-jwt.
const DEFAULT_LIFETIME: TimeDelta = TimeDelta::minutes(5);

impl CarbonMapper {
    /// Logs in. Repeats the login request only if the service cannot have checked the password.
    pub(crate) async fn pair(
        &self,
        operation: &Operation,
        email: &str,
        password: &Secret,
    ) -> Result<RecordUpdate> {
        let fields = [("email", email), ("password", password.expose())];
        let url = self.base_url.join("token/pair");
        let post = HttpRequest::post_json(url, &fields, Repeat::IfNotActed).with_salvage("refresh");
        let response = operation.send(&post).await?;
        let read = read_object(&response, &self.base_url, &[password]);
        if let (Err(Problem::Transient(_)), Some(refresh)) = (&read, salvage_new(&response, "refresh", None))
        {
            return Ok(RecordUpdate::grant(refresh, response.sent_at).and_account(Some(email.to_owned())));
        }
        let object = read.map_err(|problem| match problem {
            Problem::Refused(refusal) if FinalCodes::LOGIN_API.end(&refusal, Credential::Password) => {
                let error = refusal.error("Carbon Mapper refused the email or password");
                // The fingerprint keeps the broker from sending this password again: the service could lock the account.
                Error::new(ErrorCode::PasswordRefused, error.message())
                    .with_secret_fingerprint(self.fingerprint(email, password))
            }
            // The service's word on a malformed email address. A gateway can also send 422.
            Problem::Refused(refusal)
                if refusal.is("invalid") || refusal.status == 422 && refusal.words.contains("email") =>
            {
                refusal.error("Carbon Mapper refused the login request")
            }
            problem => problem.of_credential(&self.base_url).error("Carbon Mapper refused the login request"),
        })?;
        // The record stores the email as the user typed it, so that it equals the configured email.
        self.update_from(&response, &object, None, Some(email.to_owned()), password)
    }

    /// Refreshes the access token.
    pub(crate) async fn refresh(&self, operation: &Operation, refresh: &Secret) -> Result<RecordUpdate> {
        let url = self.base_url.join("token/refresh");
        let post = HttpRequest::post_json(url, &[("refresh", refresh.expose())], Repeat::SpendsGrant);
        let response = operation.send(&post.with_salvage("refresh")).await?;
        let read = read_object(&response, &self.base_url, &[refresh]);
        match (read, salvage_new(&response, "refresh", Some(refresh))) {
            (Ok(object), _) => self.update_from(&response, &object, Some(refresh), None, refresh),
            (Err(_), Some(new)) => Ok(RecordUpdate::grant(new, response.sent_at)),
            // The status alone is not the service's word: a gateway also answers 401.
            (Err(Problem::Refused(refusal)), None)
                if FinalCodes::LOGIN_API.end(&refusal, Credential::RefreshToken) =>
            {
                Ok(RecordUpdate::grant_refused())
            }
            (Err(problem), None) => {
                Err(problem.of_credential(&self.base_url).error("Carbon Mapper refused to refresh the login"))
            }
        }
    }

    /// Reads the tokens in a response. Saves a new refresh token even without an access token, because the service
    /// may have revoked the old refresh token. `secret` is the secret of the request.
    fn update_from(
        &self,
        response: &HttpResponse,
        object: &Map<String, Value>,
        sent: Option<&Secret>,
        account: Option<String>,
        secret: &Secret,
    ) -> Result<RecordUpdate> {
        let access = text_in(object, "access").map(Secret::new);
        let refresh = match access {
            Some(_) => text_in(object, "refresh").map(Secret::new),
            None => salvage_new(response, "refresh", sent),
        };
        if access.is_none() && refresh.is_none() {
            let message = format!("the response of {} has no access token", self.base_url);
            let problem = without_token(response, object, message, &[secret]).of_credential(&self.base_url);
            return Err(problem.error("Carbon Mapper issued no token"));
        }
        let account = account.or_else(|| Claims::read(access.as_ref()?)?.text("email").map(str::to_owned));
        let expiry = Expiry::all(object, response.sent_at);
        let access = access.map(|access| Token::from_response(response, access, expiry, DEFAULT_LIFETIME));
        let update = RecordUpdate::default().and_token(&ScopeKey::default(), access);
        Ok(update.and_grant(refresh, response.sent_at).and_account(account))
    }
}
