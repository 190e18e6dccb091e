//! AWS keys for EarthScope's data on S3: `GET beta/user/credentials/aws/ROLE` with the access token.

use broker_core::{
    Derived, Error, ErrorCode, Expiry, HttpRequest, Method, Operation, Record, RecordUpdate, Repeat, Result,
    ScopeKey, Secret, Token, TokenRequest, host_matches, read_object, text_in,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use crate::EarthScope;

/// The broker does not use stored AWS keys that expire within this time.
const MARGIN: TimeDelta = TimeDelta::seconds(60);

const ROLES: &str = "name a role of EarthScope: s3-miniseed, s3-miniseed-v2 or s3-dropoff";

/// The assumed lifetime of AWS keys without `expiration`: the shortest lifetime that AWS issues.
const DEFAULT_LIFETIME: TimeDelta = TimeDelta::minutes(15);

pub(crate) fn check(request: &TokenRequest) -> Result<()> {
    let Some(derived) = request.asked_derived() else { return Ok(()) };
    if derived.which.is_empty() {
        return Err(Error::usage("AWS keys need a role").with_hint(ROLES));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !derived.which.chars().all(plain) {
        return Err(Error::usage("the role may contain letters, digits, `-` and `_` only").with_hint(ROLES));
    }
    Ok(())
}

/// Returns the caller's request for AWS keys and the stored access token; `None` if one of them is missing.
pub(crate) fn derives_with<'a>(
    record: &'a Record,
    request: &'a TokenRequest,
    now: DateTime<Utc>,
) -> Option<(&'a Derived, &'a Token)> {
    Some((request.asked_derived()?, record.usable_token(&ScopeKey::default(), now)?))
}

impl EarthScope {
    /// Requests AWS keys. The broker may repeat a failed request, because unused keys expire.
    pub(crate) async fn derive(
        &self,
        operation: &Operation,
        derived: &Derived,
        token: &Token,
        key: &ScopeKey,
    ) -> Result<RecordUpdate> {
        let host = self.api_url.host();
        if !self.info.hosts.iter().any(|pattern| host_matches(pattern, &host)) {
            return Err(Error::new(
                ErrorCode::HostNotAllowed,
                format!("the broker does not send the token to {host}, which is not a host of EarthScope"),
            )
            .with_hint("to allow this host, set `api_url` of this provider in the configuration"));
        }
        let path = format!("beta/user/credentials/aws/{}", derived.which);
        let url = self.api_url.join(&path).with_query(&derived.params);
        let get = HttpRequest::new(Method::GET, url.clone(), Repeat::Safe).with_bearer(token.secret());
        let response = operation.send(&get).await?;
        let object = match read_object(&response, &url, &[token.secret()]) {
            Ok(object) => object,
            Err(problem) => {
                let what = format!("EarthScope refused AWS keys for the role {}", derived.which);
                return operation.drop_refused(token, problem).map_err(|problem| problem.error(&what));
            }
        };
        let no_keys = || Error::new(ErrorCode::BadResponse, format!("the response of {url} has no AWS keys"));
        let keys = keys(&object).ok_or_else(no_keys)?;
        let expiration =
            object.get("expiration").and_then(|at| Expiry::read("expiration", at, response.sent_at));
        let token = Token::from_response(&response, keys, expiration, DEFAULT_LIFETIME)
            .with_type(Derived::AWS)
            .with_margin(MARGIN);
        Ok(RecordUpdate::token(key, token))
    }
}

/// Returns the AWS keys in the format of [`Derived::aws`].
fn keys(object: &Map<String, Value>) -> Option<Secret> {
    let keys = json!({
        "AccessKeyId": text_in(object, "aws_access_key_id")?,
        "SecretAccessKey": text_in(object, "aws_secret_access_key")?,
        "SessionToken": text_in(object, "aws_session_token")?,
    });
    Some(Secret::new(keys.to_string()))
}
