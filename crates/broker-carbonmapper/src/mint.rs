//! Scoped tokens, which the service creates ("mints") by the request `account/tokens/create-stac`. Minted tokens stay
//! on the account until the user deletes them.

use std::time::Duration;

use broker_core::{
    Error, ErrorCode, ErrorKind, HttpRequest, Lifetime, Method, Operation, Problem, Record, RecordUpdate,
    Repeat, Result, Secret, Token, TokenRequest, read_object, repeats_secret, sanitize, text_in,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use crate::{CarbonMapper, TOKEN_PAGE};

/// The scopes of the service. Every minted token has both scopes.
pub(crate) const SCOPES: [&str; 2] = ["stac", "catalog:read"];

/// The default lifetime of a scoped token, as in the service's tutorials.
const DEFAULT_LIFETIME: Lifetime = Lifetime::For(Duration::from_hours(7 * 24));

impl CarbonMapper {
    /// Mints a scoped token. Repeats a failed request only if the service cannot have minted a token, because unused
    /// tokens stay on the account.
    pub(crate) async fn mint(
        &self,
        operation: &Operation,
        access: &Token,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        let now = operation.now();
        let day_begins = expiration(request, now)?;
        let name = request.name.as_deref().map_or_else(|| operation.token_name(), str::to_owned);
        let fields = json!({ "expiration_date": day_begins.date_naive().to_string(), "name": name });
        let url = self.base_url.join("account/tokens/create-stac");
        let post = HttpRequest::post_value(url, &fields, Repeat::IfNotActed).with_bearer(access.secret());
        // If the response is lost or malformed, the service may still have minted a token.
        let with_hint = |error: Error| match error.kind() {
            ErrorKind::Unavailable if error.retry_after().is_none() => error.with_hint(format!(
                "try again; a token named {name} may exist at {TOKEN_PAGE}: delete that token there"
            )),
            _ => error,
        };
        let response = operation.send(&post).await.map_err(with_hint)?;
        let mut object = match read_object(&response, &self.base_url, &[access.secret()]) {
            Ok(object) => object,
            Err(problem) => {
                let refused =
                    |it: Problem| with_hint(it.error("Carbon Mapper refused to create a scoped token"));
                return operation.drop_refused(access, problem).map_err(refused);
            }
        };
        let secret = text_in(&object, "token_value").map(Secret::new).ok_or_else(|| {
            let message = format!("the response of {} has no scoped token (`token_value`)", self.base_url);
            with_hint(Error::new(ErrorCode::BadResponse, message))
        })?;
        object.remove("token_value");
        object.retain(|name, value| !repeats_secret(&format!("{name}: {value}"), &[access.secret()]));
        object.entry("name").or_insert_with(|| Value::from(name.as_str()));
        // A token that is not a JWT expires when the requested UTC day begins.
        let token = Token::from_response(&response, secret, None::<TimeDelta>, day_begins - response.sent_at)
            .with_scope(Some(request.scopes().as_str().to_owned()))
            .with_details(object);
        let until = token.expires_at().unwrap_or(day_begins).format("%F %H:%M UTC");
        operation.notify_after_save(format!(
            "created token {name}, which expires {until} (Carbon Mapper counts whole UTC days)"
        ));
        Ok(RecordUpdate::token(request.scopes(), token))
    }

    /// Deletes a record's minted tokens with the configured URL paths. Returns the names of the deleted tokens.
    pub(crate) async fn delete_minted(
        &self,
        operation: &Operation,
        record: &Record,
        access: &Token,
        delete_path: &str,
    ) -> Result<Vec<String>> {
        let listed = match &self.config.token_list_path {
            Some(path) => self.list(operation, access, path).await?,
            None => Vec::new(),
        };
        let mut deleted = Vec::new();
        for details in record.details() {
            let Some(name) = text_in(details, "name") else { continue };
            let of_list = listed.iter().find(|item| text_in(item, "name") == Some(name));
            let Some(id) = [Some(details), of_list].into_iter().flatten().find_map(id) else { continue };
            let url = self.base_url.join(&delete_path.replace("{id}", &id));
            let request = HttpRequest::new(Method::DELETE, url, Repeat::Safe).with_bearer(access.secret());
            let response = operation.send(&request).await?;
            // A 404 with a JSON body comes from the service, so the token is already deleted.
            let gone = response.status == 404 && response.json().is_some();
            // A web page with status 200 may come from a captive portal, so the token may still exist.
            let done = (200..300).contains(&response.status) && !response.is_html();
            if !done && !gone {
                let refused = format!("Carbon Mapper refused to delete the token {name}");
                return Err(match read_object(&response, &self.base_url, &[access.secret()]) {
                    Err(problem) => problem.error(&refused),
                    Ok(_) => Error::new(ErrorCode::BadResponse, refused),
                });
            }
            deleted.push(sanitize(name));
        }
        Ok(deleted)
    }

    /// Lists the account's scoped tokens. The response is a list, or an object that contains a list.
    async fn list(
        &self,
        operation: &Operation,
        access: &Token,
        path: &str,
    ) -> Result<Vec<Map<String, Value>>> {
        let request = HttpRequest::new(Method::GET, self.base_url.join(path), Repeat::Safe)
            .with_bearer(access.secret());
        let response = operation.send(&request).await?;
        let list = match serde_json::from_slice(&response.body) {
            Ok(Value::Array(list)) if response.status == 200 => list,
            _ => {
                let object = read_object(&response, &self.base_url, &[access.secret()])
                    .map_err(|problem| problem.error("Carbon Mapper refused to list the account's tokens"))?;
                object.into_iter().find_map(|(_, value)| value.as_array().cloned()).unwrap_or_default()
            }
        };
        Ok(list.into_iter().filter_map(|item| serde_json::from_value(item).ok()).collect())
    }
}

/// Returns the names of the scoped tokens in a record.
pub(crate) fn names(record: &Record) -> impl Iterator<Item = String> {
    record.details().filter_map(|details| text_in(details, "name").map(sanitize))
}

fn id(item: &Map<String, Value>) -> Option<String> {
    match item.get("id")? {
        Value::String(id)
            if !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') =>
        {
            Some(id.clone())
        }
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

/// Returns the begin of the UTC day to request: see [`Lifetime::end_day`].
pub(crate) fn expiration(request: &TokenRequest, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    let too_long = || Error::usage("the lifetime is too long for a calendar date");
    let lifetime = request.expires.unwrap_or(DEFAULT_LIFETIME);
    let earliest = now.date_naive().succ_opt().ok_or_else(too_long)?;
    match lifetime {
        Lifetime::Until(day) if day < earliest => Err(Error::usage(format!(
            "the requested expiry date {day} has passed (UTC); the earliest date is {earliest}"
        ))),
        lifetime => lifetime.end_day(now, request.min_ttl).ok_or_else(too_long),
    }
}
