//! The asset cookie: what GDAL and curl send to read assets, had with a token.

use broker_core::{
    Context, Derived, Error, HttpRequest, HttpResponse, Lifetime, Problem, RecordUpdate, Repeat, Result,
    ScopeKey, Secret, ServiceUrl, Token, TokenRequest, read_object,
};
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde_json::json;

const PATH: &str = "platform/v1/asset/cookie";

/// The life that EarthDaily's own client asks for.
const USUAL_LIFE: TimeDelta = TimeDelta::seconds(3600);

/// The life to ask for: the one that is asked for, but not less than must be left.
pub(crate) fn life(request: &TokenRequest, now: DateTime<Utc>) -> Result<TimeDelta> {
    if request.asked_name().is_some() {
        return Err(Error::usage("a cookie has no name: leave out `--name`"));
    }
    let until = |life: Lifetime| life.end(now).map(|end| end - now);
    let beyond = || Error::usage("`--expires` or `--min-ttl` is beyond the calendar");
    let asked = match request.asked_lifetime() {
        Some(life) => until(life).ok_or_else(beyond)?,
        None => USUAL_LIFE,
    };
    if asked < TimeDelta::seconds(1) {
        return Err(Error::usage("`--expires` is over: a cookie lives for a second at least"));
    }
    let left = until(Lifetime::For(request.asked_ttl().unwrap_or_default())).ok_or_else(beyond)?;
    Ok(asked.max(left))
}

/// Asks for the cookie; a token that is not taken is forgotten, and the next exchange gets another.
pub(crate) async fn ask(
    context: &Context,
    api: &ServiceUrl,
    access: &Token,
    request: &TokenRequest,
) -> Result<RecordUpdate> {
    let life = life(request, context.now())?;
    let url = api.join(PATH);
    // A cookie more or less spends nothing.
    let post = HttpRequest::post_numbers(url.clone(), &[("max_age", life.num_seconds())], Repeat::Safe);
    let response = context.send(&post.with_bearer(access.secret())).await?;
    if (200..300).contains(&response.status) && !response.is_html() {
        return Ok(RecordUpdate::token(request.scopes(), cookie(&response, &url, life)?));
    }
    Err(match read_object(&response, &url, &[access.secret()]) {
        Err(Problem::Refused(refusal))
            if refusal.status == 401 && access.issued_at() <= context.began_at() =>
        {
            return Ok(RecordUpdate::drop_token(&ScopeKey::default()));
        }
        Err(Problem::Refused(refusal)) if refusal.status == 403 => {
            refusal.error("the service refused the asset cookie").with_hint(
                "HTTP 403: the account's subscription does not include assets; a new token will not help",
            )
        }
        Err(problem) => problem.error("the service refused the asset cookie"),
        Ok(_) => Error::unavailable(format!("{url} answered with a web page")).with_hint("try again later"),
    })
}

/// The cookie of an answer as a token: the one for EarthDaily's assets, should a gateway have added others.
fn cookie(response: &HttpResponse, url: &ServiceUrl, asked: TimeDelta) -> Result<Token> {
    let given: Vec<_> = response.header("set-cookie").unwrap_or_default().lines().collect();
    let cookies = || given.iter().filter_map(|line| Cookie::read(line));
    let found = cookies().find(|cookie| cookie.name == "PLATFORM_ASSET").or_else(|| cookies().next());
    let cookie = found.ok_or_else(|| {
        Error::unavailable(format!("{url} answered HTTP {} without a cookie", response.status))
            .with_hint("try again later")
    })?;
    let host = url.host();
    let port = host.rsplit_once(':').filter(|(_, port)| port.chars().all(|c| c.is_ascii_digit()));
    let host = port.map_or(host.as_str(), |(name, _)| name);
    let domain = cookie.domain_for(host).ok_or_else(|| {
        Error::refused(format!("{url} gave a cookie for another domain than its own, which is not used"))
    })?;
    let object = json!({
        "name": cookie.name,
        "value": cookie.value,
        "domain": domain,
        "path": cookie.path.unwrap_or("/"),
        "secure": cookie.secure,
        "http_only": cookie.http_only,
    });
    let now = response.date().unwrap_or(response.sent_at);
    let life = cookie.max_age.or_else(|| cookie.expires.map(|at| at - now)).unwrap_or(asked);
    Ok(Token::from_response(response, Secret::new(object.to_string()), Some(life), asked)
        .with_type(Derived::COOKIE))
}

/// A `Set-Cookie` header (RFC 6265 section 5.2).
#[derive(Default)]
struct Cookie<'a> {
    name: &'a str,
    value: &'a str,
    domain: Option<&'a str>,
    path: Option<&'a str>,
    secure: bool,
    http_only: bool,
    max_age: Option<TimeDelta>,
    expires: Option<DateTime<Utc>>,
}

impl<'a> Cookie<'a> {
    /// `None` where it is no cookie that a cookie file can hold.
    fn read(line: &'a str) -> Option<Self> {
        let mut parts = line.split(';').map(str::trim);
        let (name, value) = parts.next()?.split_once('=')?;
        let plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
        let mut cookie = Self { name: name.trim(), value: value.trim(), ..Self::default() };
        if !plain(cookie.name) || !plain(cookie.value) {
            return None;
        }
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let value = Some(value.trim()).filter(|value| plain(value) || value.contains(' '));
            match key.trim().to_ascii_lowercase().as_str() {
                "domain" => cookie.domain = value.map(|domain| domain.trim_start_matches('.')),
                "path" => cookie.path = value.filter(|path| path.starts_with('/') && plain(path)),
                "secure" => cookie.secure = true,
                "httponly" => cookie.http_only = true,
                "max-age" => {
                    cookie.max_age =
                        value.and_then(|text| TimeDelta::try_seconds(text.parse().ok()?)).or(cookie.max_age);
                }
                "expires" => cookie.expires = value.and_then(date),
                _ => {}
            }
        }
        Some(cookie)
    }

    /// The domain as a cookie file has it, with a dot before it where hosts below it are meant too; `None` if it is
    /// not one that this host may set.
    fn domain_for(&self, host: &str) -> Option<String> {
        let Some(own) = self.domain.map(str::to_ascii_lowercase) else { return Some(host.to_owned()) };
        // Nothing is above or below an address.
        if host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok() {
            return (own == host).then_some(own);
        }
        let above = own.contains('.') && host.strip_suffix(&own).is_some_and(|rest| rest.ends_with('.'));
        (above || own == host).then(|| format!(".{own}"))
    }
}

/// `Wed, 21 Oct 2026 07:28:00 GMT`, and with dashes as of old.
fn date(text: &str) -> Option<DateTime<Utc>> {
    // Years of more digits lead out of the calendar.
    let text = Some(text.replace('-', " ")).filter(|text| text.len() == 29)?;
    NaiveDateTime::parse_from_str(&text, "%a, %d %b %Y %H:%M:%S GMT").ok().map(|date| date.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_the_host_s_own_or_one_above_it() {
        let domain = |attribute: &str, host| {
            let line = format!("a=b; {attribute}");
            Cookie::read(&line).and_then(|cookie| cookie.domain_for(host))
        };
        let host = "api.earthdaily.com";
        for (attribute, expected) in [
            ("Domain=.earthdaily.com", Some(".earthdaily.com")),
            ("domain=API.EarthDaily.com", Some(".api.earthdaily.com")),
            ("Secure", Some(host)),
            ("Domain=", Some(host)),
            ("Domain=.com", None),
            ("Domain=daily.com", None),
            ("Domain=x.api.earthdaily.com", None),
        ] {
            assert_eq!(domain(attribute, host).as_deref(), expected, "{attribute}");
        }
        assert_eq!(domain("Domain=[::1]", "[::1]").as_deref(), Some("[::1]"));
    }

    #[test]
    fn what_a_cookie_file_cannot_hold_is_no_cookie() {
        for line in ["", "a", "=b", "a=", "a=b\tc", "a b=c", "a=\u{e9}", "a=b c"] {
            assert!(Cookie::read(line).is_none(), "{line:?}");
        }
        let path = |line| Cookie::read(line).and_then(|cookie| cookie.path);
        assert_eq!(
            (path("a=b; Path=/x"), path("a=b; Path=x"), path("a=b; Path=/x\ty")),
            (Some("/x"), None, None)
        );
    }
}
