//! Keys for EarthScope's data on Amazon S3: `GET beta/user/credentials/aws/ROLE` with the usual token.

use broker_core::{
    Context, Derived, Error, HttpRequest, Method, Problem, Record, RecordUpdate, Repeat, Result, ScopeKey,
    Secret, Token, TokenRequest, host_matches, read_object, refuse_derived,
};
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use crate::EarthScope;

/// They are held until so much is left.
const MARGIN: TimeDelta = TimeDelta::seconds(60);

/// If an answer does not tell how long its keys live: the shortest that Amazon gives.
const DEFAULT_LIFE: TimeDelta = TimeDelta::minutes(15);

/// An error if it is not keys for a role that can stand in a path.
pub(crate) fn check(request: &TokenRequest) -> Result<()> {
    let Some(derived) = request.asked_derived().filter(|derived| derived.what() == Derived::AWS) else {
        return refuse_derived(request);
    };
    if derived.which().is_empty() {
        return Err(Error::usage("`--format aws` needs --role")
            .with_hint("for example: broker token earthscope --format aws --role s3-miniseed-v2"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !derived.which().chars().all(plain) {
        return Err(Error::usage("`--role` must be the name of a role")
            .with_hint("EarthScope has s3-miniseed, s3-miniseed-v2 and s3-dropoff"));
    }
    Ok(())
}

/// The credential asked for and the token it is had with, if that is at hand.
pub(crate) fn derives_with<'a>(
    record: &'a Record,
    request: &'a TokenRequest,
    now: DateTime<Utc>,
) -> Option<(&'a Derived, &'a Token)> {
    Some((request.asked_derived()?, record.usable_token(&ScopeKey::default(), now)?))
}

impl EarthScope {
    /// Asks for keys. That gives nothing that is lost with its answer, so it may be repeated.
    pub(crate) async fn derive(
        &self,
        context: &Context,
        derived: &Derived,
        token: &Token,
        key: &ScopeKey,
    ) -> Result<RecordUpdate> {
        let host = self.api_url.host();
        if !self.hosts.iter().any(|pattern| host_matches(pattern, &host)) {
            return Err(Error::configuration(format!("no token is sent to {host}: it is not EarthScope's"))
                .with_hint("if it should be, set `api_url` of this provider in the configuration"));
        }
        let path = format!("beta/user/credentials/aws/{}", derived.which());
        let url = self.api_url.join(&path).with_query(derived.params());
        let get = HttpRequest::new(Method::Get, url.clone(), Repeat::Safe).with_bearer(token.secret());
        let response = context.send(&get).await?;
        let object = match read_object(&response, &url, &[token.secret()]) {
            Ok(object) => object,
            // Not the token it should be: forgotten, and the next exchange gets another, unless this is one.
            Err(Problem::Refused(refusal))
                if refusal.status == 401 && token.issued_at() <= context.began_at() =>
            {
                return Ok(RecordUpdate::drop_token(&ScopeKey::default()));
            }
            Err(problem) => {
                let what = format!("the service gives no keys for the role {}", derived.which());
                return Err(problem.error(&what));
            }
        };
        let keys = keys(&object).ok_or_else(|| Error::unavailable(format!("{url} answered without keys")))?;
        let expiration = object.get("expiration").and_then(Value::as_str);
        // The end is by the service's clock, if that is another.
        let date = response.date().filter(|date| (*date - response.sent_at).abs() > TimeDelta::seconds(5));
        let left = expiration.and_then(time).map(|at| at - date.unwrap_or(response.sent_at));
        let token = Token::from_response(&response, keys, left, DEFAULT_LIFE)
            .with_type(Derived::AWS)
            .with_margin(MARGIN);
        Ok(RecordUpdate::token(key, token))
    }
}

/// The keys as [`Derived::aws`] says.
fn keys(object: &Map<String, Value>) -> Option<Secret> {
    let text = |key: &str| object.get(key)?.as_str().filter(|text| !text.is_empty());
    let keys = json!({
        "AccessKeyId": text("aws_access_key_id")?,
        "SecretAccessKey": text("aws_secret_access_key")?,
        "SessionToken": text("aws_session_token")?,
    });
    Some(Secret::new(keys.to_string()))
}

/// An ISO 8601 time; without a zone it is UTC.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let with_zone = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    with_zone.ok().or_else(|| text.parse::<NaiveDateTime>().ok().map(|time| time.and_utc()))
}
