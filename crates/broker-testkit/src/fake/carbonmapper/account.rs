//! Creates, lists, deletes and checks the scoped tokens of the account.

use chrono::{Days, NaiveDate, NaiveTime};
use serde_json::{Value, json};

use super::super::http::{Reply, Seen};
use super::super::tokens::opaque;
use super::State;
use super::login::{object, text};

/// The longest lifetime of a scoped token.
const LONGEST: Days = Days::new(365);

pub(super) struct Scoped {
    id: usize,
    pub(super) name: String,
    pub(super) date: NaiveDate,
    token: String,
}

impl Scoped {
    fn metadata(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "expiration_date": self.date.to_string(),
            "scopes": ["stac", "catalog:read"],
        })
    }
}

impl State {
    pub(super) fn create(&mut self, call: &Seen) -> Result<Reply, Reply> {
        let body = object(call)?;
        let (Some(date), Some(name)) = (text(&body, "expiration_date"), text(&body, "name")) else {
            let missing = ["expiration_date", "name"].into_iter().filter(|name| text(&body, name).is_none());
            let problems: Vec<_> = missing.map(|name| problem("missing", name, "Field required")).collect();
            return Err(unprocessable(&problems));
        };
        let date = self.date(date)?;
        let scoped =
            Scoped { id: self.scoped.len() + 1, name: name.to_owned(), date, token: self.scoped_token(date) };
        let mut answer = scoped.metadata();
        answer["token_value"] = scoped.token.clone().into();
        self.scoped.push(scoped);
        Ok(Reply::json(201, &answer))
    }

    fn date(&self, date: &str) -> Result<NaiveDate, Reply> {
        let refuse = |kind, msg: &str| unprocessable(&[problem(kind, "expiration_date", msg)]);
        let unreadable = "Input should be a valid date in the format YYYY-MM-DD";
        let date = NaiveDate::parse_from_str(date, "%Y-%m-%d")
            .map_err(|_| refuse("date_from_datetime_parsing", unreadable))?;
        let today = self.issuer.clock.now().date_naive();
        if date <= today {
            return Err(refuse("value_error", "Value error, expiration_date must be in the future"));
        }
        let last = today + LONGEST;
        if date > last {
            let why = format!("Value error, expiration_date must not be after {last}");
            return Err(refuse("value_error", &why));
        }
        Ok(date)
    }

    fn scoped_token(&mut self, date: NaiveDate) -> String {
        // The token expires at the start of the date in UTC, because the date has no time zone.
        let expiry = date.and_time(NaiveTime::MIN).and_utc();
        let token = if self.options.scoped_is_jwt {
            let claims = json!({"token_type": "access", "scopes": ["stac", "catalog:read"]});
            self.scoped_tokens.jwt(claims, expiry)
        } else {
            opaque("cm_")
        };
        self.scoped_tokens.add(&token, expiry);
        token
    }

    /// Returns the scoped tokens' metadata, without the tokens themselves.
    pub(super) fn list(&self) -> Reply {
        let exists = |scoped: &&Scoped| self.scoped_tokens.tokens.contains_key(&scoped.token);
        Reply::json(200, &self.scoped.iter().filter(exists).map(Scoped::metadata).collect())
    }

    pub(super) fn delete(&mut self, id: &str) -> Result<Reply, Reply> {
        let scoped = self.scoped.iter().find(|scoped| scoped.id.to_string() == id);
        let deleted = scoped.and_then(|scoped| self.scoped_tokens.tokens.remove(&scoped.token));
        let not_found = || Reply::json(404, &json!({"detail": "Not Found"}));
        deleted.map(|_| Reply::empty(204)).ok_or_else(not_found)
    }
}

/// Returns a validation error in the format of the Python library pydantic.
fn problem(kind: &str, field: &str, msg: &str) -> Value {
    json!({"type": kind, "loc": ["body", "payload", field], "msg": msg})
}

fn unprocessable(problems: &[Value]) -> Reply {
    Reply::json(422, &json!({"detail": problems}))
}
