//! Tokens that are minted with the login's token: their scopes, their life, their names.

use std::time::Duration;

use broker_core::{
    Error, Lifetime, Pattern, Record, Result, TokenRequest, refuse_derived, refuse_lifetime, refuse_scopes,
    sanitize,
};
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};

use crate::request::Request;
use crate::template::Placeholder;

const DAY: Duration = Duration::from_hours(24);

/// If neither a person nor the configuration says how long.
const USUAL_LIFE: TimeDelta = TimeDelta::days(7);

/// What can be chosen of minted tokens.
pub(crate) struct Choice {
    /// For `--scope`; empty: every token is minted.
    pub(crate) scopes: Vec<String>,
    /// How the request says when it ends, if it does.
    expires: Option<Pattern>,
    pub(crate) named: bool,
    life: TimeDelta,
}

impl Choice {
    pub(crate) fn of(mint: &Request, life: Option<TimeDelta>) -> Self {
        let holes = mint.all_holes();
        let pattern = |hole: &&Placeholder| {
            if let Placeholder::Expires(pattern) = hole { Some(pattern.clone()) } else { None }
        };
        Self {
            scopes: mint.scopes.clone(),
            expires: holes.iter().find_map(pattern),
            named: holes.contains(&&Placeholder::Name),
            life: mint.answer.life.or(life).unwrap_or(USUAL_LIFE),
        }
    }

    /// Whether such a token is minted, rather than the login's own.
    pub(crate) fn covers(&self, request: &TokenRequest) -> bool {
        self.scopes.is_empty() || !request.scopes().is_empty()
    }

    /// An error if the scopes, the life or the name asked for are none that can be had.
    pub(crate) fn check(&self, request: &TokenRequest, now: DateTime<Utc>) -> Result<()> {
        refuse_derived(request)?;
        if self.scopes.is_empty() {
            refuse_scopes(request)?;
        }
        let known = self.scopes.join("`, `");
        if let Some(other) =
            request.scopes().iter().find(|scope| !self.scopes.iter().any(|known| known == scope))
        {
            return Err(Error::usage(format!("there is no scope `{other}` here: there are `{known}`")));
        }
        let chosen = request.asked_lifetime().is_some() || request.asked_name().is_some();
        if !self.covers(request) && chosen {
            let example = self.scopes.first().map_or("", String::as_str);
            return Err(Error::usage(format!(
                "the life and the name of a token can be chosen for scoped tokens only: add `--scope {example}`"
            )));
        }
        if self.expires.is_none() && request.asked_lifetime().is_some() {
            return refuse_lifetime(request);
        }
        if let Some(name) = request.asked_name() {
            if !self.named {
                return refuse_lifetime(&TokenRequest::new().name(name));
            }
            if name.trim().is_empty() || name.chars().any(char::is_control) {
                return Err(Error::usage("`--name` must be a line of text"));
            }
        }
        self.end(request, now).map(drop)
    }

    /// Whether the service is told a day and no time.
    pub(crate) fn in_days(&self) -> bool {
        let (midnight, later) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + TimeDelta::seconds(45_296));
        self.expires.as_ref().is_some_and(|pattern| pattern.write(midnight) == pattern.write(later))
    }

    /// When a token minted now should end; `None` where the service alone says it.
    pub(crate) fn end(&self, request: &TokenRequest, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
        let beyond = || Error::usage("`--expires` or `--min-ttl` is beyond the calendar");
        if self.expires.is_none() {
            return Ok(None);
        }
        let usual = Lifetime::For(self.life.to_std().unwrap_or(DAY));
        let life = request.asked_lifetime().unwrap_or(usual);
        let end = life.end(now).ok_or_else(beyond)?;
        let left = Lifetime::For(request.asked_ttl().unwrap_or_default()).end(now).ok_or_else(beyond)?;
        if end <= now {
            let over = format!("`--expires` is over (UTC): it is {} now", now.format("%F %H:%M"));
            return Err(Error::usage(over));
        }
        if !self.in_days() {
            return Ok(Some(end.max(left)));
        }
        // A day that begins after it; the date has no zone, so tomorrow at least, and lives are counted in days.
        let today = now.date_naive();
        let day = match life {
            Lifetime::Until(day) => Some(day),
            Lifetime::For(life) => today.checked_add_days(Days::new(life.as_secs().div_ceil(DAY.as_secs()))),
        };
        let after = if request.asked_ttl().is_some() { left.date_naive() } else { today };
        Ok(Some(start_of(day.ok_or_else(beyond)?.max(after.succ_opt().ok_or_else(beyond)?))))
    }
}

fn start_of(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(chrono::NaiveTime::MIN).and_utc()
}

/// The names of the minted tokens in a record.
pub(crate) fn names(record: &Record) -> Vec<String> {
    let name =
        |details: &serde_json::Map<String, serde_json::Value>| Some(sanitize(details.get("name")?.as_str()?));
    record.details().filter_map(name).collect()
}
