//! The login requests `token/pair` and `token/refresh`.

use broker_core::{
    Claims, Context, Error, ErrorCode, HttpRequest, HttpResponse, Problem, RecordUpdate, Repeat, Result,
    ScopeKey, Secret, ServiceUrl, Token, read_object, salvage,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

/// The lifetime of an access token that is not a JWT with `exp`: the default of django-ninja-jwt.
const DEFAULT_LIFETIME: TimeDelta = TimeDelta::minutes(5);

pub(crate) struct Api {
    pub(crate) base_url: ServiceUrl,
}

/// The tokens in the response to a login or a refresh.
pub(crate) struct Paired {
    access: Option<Token>,
    refresh: Option<(Secret, DateTime<Utc>)>,
    account: Option<String>,
}

impl Paired {
    pub(crate) fn into_update(self) -> RecordUpdate {
        let mut update = RecordUpdate::default().and_account(self.account);
        if let Some(access) = self.access {
            update = update.and_token(&ScopeKey::default(), access);
        }
        match self.refresh {
            Some((refresh, at)) => update.and_grant(refresh, at),
            None => update,
        }
    }
}

impl Api {
    /// Logs in. Repeats a request only if the service cannot have checked the password.
    pub(crate) async fn pair(&self, context: &Context, email: &str, password: &Secret) -> Result<Paired> {
        let fields = [("email", email), ("password", password.expose())];
        let response = self.post(context, "token/pair", &fields, Repeat::IfNotActed).await?;
        let object = self.read(&response, &[password]).map_err(|problem| match problem {
            Problem::Refused(refusal) => {
                let error = refusal.error("Carbon Mapper refused the email or password");
                Error::new(ErrorCode::PasswordRefused, error.message())
            }
            Problem::Transient(error) => error,
        })?;
        // The account is the email as the user typed it, so that it equals the configured email.
        self.paired(&response, &object, None, Some(email.to_owned()))
    }

    /// Refreshes the access token. Returns `None` if the service refused the refresh token.
    pub(crate) async fn refresh(&self, context: &Context, refresh: &Secret) -> Result<Option<Paired>> {
        let fields = [("refresh", refresh.expose())];
        let response = self.post(context, "token/refresh", &fields, Repeat::SpendsGrant).await?;
        match self.read(&response, &[refresh]) {
            Ok(object) => self.paired(&response, &object, Some(refresh), None).map(Some),
            // The request contains no other credentials, so a 401 means the refresh token.
            Err(Problem::Refused(refusal)) if refusal.status == 401 => Ok(None),
            Err(problem) => match salvage(&response, "refresh").filter(|new| !new.same_as(refresh)) {
                Some(new) => {
                    let refresh = Some((new, response.sent_at));
                    Ok(Some(Paired { access: None, refresh, account: None }))
                }
                None => Err(problem.error("Carbon Mapper refused to refresh the login")),
            },
        }
    }

    async fn post(
        &self,
        context: &Context,
        path: &str,
        fields: &[(&str, &str)],
        repeat: Repeat,
    ) -> Result<HttpResponse> {
        context.send(&HttpRequest::post_json(self.base_url.join(path), fields, repeat)).await
    }

    pub(crate) fn read(
        &self,
        response: &HttpResponse,
        secrets: &[&Secret],
    ) -> Result<Map<String, Value>, Problem> {
        read_object(response, &self.base_url, secrets)
    }

    /// Reads the tokens. A new refresh token is saved even without an access token, because the old one may be
    /// invalid.
    fn paired(
        &self,
        response: &HttpResponse,
        object: &Map<String, Value>,
        sent: Option<&Secret>,
        account: Option<String>,
    ) -> Result<Paired> {
        let access = text(object, "access").map(Secret::new);
        let refresh = text(object, "refresh").map(Secret::new);
        let rotated = refresh.as_ref().is_some_and(|new| !sent.is_some_and(|sent| new.same_as(sent)));
        if access.is_none() && !rotated {
            return Err(Error::new(
                ErrorCode::BadResponse,
                format!("the response of {} has no access token", self.base_url),
            ));
        }
        let account = account.or_else(|| Claims::read(access.as_ref()?)?.text("email").map(str::to_owned));
        let access = access.map(|access| Token::from_response(response, access, None, DEFAULT_LIFETIME));
        Ok(Paired { access, refresh: refresh.map(|refresh| (refresh, response.sent_at)), account })
    }
}

pub(crate) fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key)?.as_str().filter(|text| !text.is_empty())
}
