//! Creates, lists, deletes and checks the scoped tokens of the account.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use serde_json::{Value, json};

use super::super::http::{Reply, Seen};
use super::super::random;
use super::State;
use super::login::{object, text};

/// The longest lifetime of a scoped token.
const LONGEST: Days = Days::new(365);

pub(super) struct Scoped {
    id: usize,
    pub(super) name: String,
    pub(super) date: NaiveDate,
    token: String,
    deleted: bool,
}

impl Scoped {
    /// Returns the scoped token's expiry: the start of its expiration date in UTC, because the date has no time zone.
    fn expiry(&self) -> DateTime<Utc> {
        self.date.and_time(NaiveTime::MIN).and_utc()
    }

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
        let scoped = Scoped {
            id: self.scoped.len() + 1,
            name: name.to_owned(),
            date,
            token: self.scoped_token(date),
            deleted: false,
        };
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
        let today = self.clock.now().date_naive();
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

    fn scoped_token(&self, date: NaiveDate) -> String {
        if !self.options.scoped_is_jwt {
            return random::opaque("cm_");
        }
        random::jwt(json!({
            "token_type": "access",
            "exp": date.and_time(NaiveTime::MIN).and_utc().timestamp(),
            "iat": self.clock.now().timestamp(),
            "scopes": ["stac", "catalog:read"],
        }))
    }

    /// Returns the scoped tokens' metadata, without the tokens themselves.
    pub(super) fn list(&self) -> Reply {
        let active = self.scoped.iter().filter(|scoped| !scoped.deleted);
        Reply::json(200, &active.map(Scoped::metadata).collect())
    }

    pub(super) fn delete(&mut self, id: &str) -> Result<Reply, Reply> {
        let mut active = self.scoped.iter_mut().filter(|scoped| !scoped.deleted);
        let Some(scoped) = active.find(|scoped| scoped.id.to_string() == id) else {
            return Err(Reply::json(404, &json!({"detail": "Not Found"})));
        };
        scoped.deleted = true;
        Ok(Reply::empty(204))
    }

    pub(super) fn is_live_scoped(&self, token: &str) -> bool {
        let mut active = self.scoped.iter().filter(|scoped| !scoped.deleted);
        active.any(|scoped| scoped.token == token && scoped.expiry() > self.clock.now())
    }
}

/// Returns a validation error in the format of the Python library pydantic.
fn problem(kind: &str, field: &str, msg: &str) -> Value {
    json!({"type": kind, "loc": ["body", "payload", field], "msg": msg})
}

fn unprocessable(problems: &[Value]) -> Reply {
    Reply::json(422, &json!({"detail": problems}))
}
