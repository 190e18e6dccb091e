//! The asset cookie, which GDAL and curl send to download assets.

use broker_core::{
    Derived, Error, ErrorCode, Expiry, Hint, HttpRequest, HttpResponse, Lifetime, Operation, Problem,
    RecordUpdate, Repeat, RequestPart, Result, Secret, ServiceUrl, Token, TokenRequest, read_object,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

const PATH: &str = "platform/v1/asset/cookie";

/// The default lifetime of the cookie, as in EarthDaily's own client.
const DEFAULT_LIFETIME: TimeDelta = TimeDelta::seconds(3600);

/// Returns the lifetime to request, which is at least the caller's minimum.
pub(crate) fn lifetime(request: &TokenRequest, now: DateTime<Utc>) -> Result<TimeDelta> {
    if request.name.is_some() {
        return Err(Error::new(ErrorCode::RequestUnsupported, "the caller cannot choose the cookie's name")
            .with_hint(Hint::LeaveOut(RequestPart::Name)));
    }
    let until = |lifetime: Lifetime| lifetime.end(now).map(|end| end - now);
    let too_long = || Error::usage("the requested lifetime of the cookie is too long for a calendar date");
    let requested = match request.expires {
        Some(lifetime) => until(lifetime).ok_or_else(too_long)?,
        None => DEFAULT_LIFETIME,
    };
    if requested < TimeDelta::seconds(1) {
        return Err(Error::usage("the requested lifetime of the cookie is less than one second"));
    }
    let minimum = until(Lifetime::For(request.min_ttl.unwrap_or_default())).ok_or_else(too_long)?;
    Ok(requested.max(minimum))
}

/// Requests the cookie. If the service refuses the access token, drops that token from the record.
pub(crate) async fn request_cookie(
    operation: &Operation,
    api: &ServiceUrl,
    access: &Token,
    request: &TokenRequest,
) -> Result<RecordUpdate> {
    let lifetime = lifetime(request, operation.now())?;
    let url = api.join(PATH);
    // The request can be repeated, because an unused cookie simply expires.
    let post =
        HttpRequest::post_value(url.clone(), &json!({ "max_age": lifetime.num_seconds() }), Repeat::Safe);
    let response = operation.send(&post.with_bearer(access.secret())).await?;
    if (200..300).contains(&response.status) && !response.is_html() {
        return Ok(RecordUpdate::token(request.scopes(), cookie(&response, &url, lifetime)?));
    }
    let Err(problem) = read_object(&response, &url, &[access.secret()]) else {
        let page = Error::new(ErrorCode::BadResponse, format!("{url} responded with a web page"));
        return Err(page.with_hint(Hint::RetryLater));
    };
    operation.drop_refused(access, problem).map_err(|problem| match problem {
        Problem::Refused(refusal) if refusal.status == 403 => refusal
            .error("EarthDaily refused the asset cookie (HTTP 403)")
            .with_hint("check the account: its subscription does not include assets"),
        problem => problem.error("EarthDaily refused the asset cookie"),
    })
}

/// Returns the asset cookie of a response as a token. Ignores cookies that load balancers and other gateways add.
fn cookie(response: &HttpResponse, url: &ServiceUrl, requested: TimeDelta) -> Result<Token> {
    let cookies = || response.header_values("set-cookie").filter_map(Cookie::read);
    let found = cookies().find(|cookie| cookie.name == "PLATFORM_ASSET").or_else(|| cookies().next());
    let cookie = found.ok_or_else(|| {
        let message = format!("the response of {url} (HTTP {}) has no cookie", response.status);
        Error::new(ErrorCode::BadResponse, message).with_hint(Hint::RetryLater)
    })?;
    let host = url.host();
    let port = host.rsplit_once(':').filter(|(_, port)| port.chars().all(|c| c.is_ascii_digit()));
    let host = port.map_or(host.as_str(), |(name, _)| name);
    let domain = cookie.domain_for(host).ok_or_else(|| {
        Error::refused(format!("{url} returned a cookie for another domain, which is not accepted"))
    })?;
    let object = json!({
        "name": cookie.name,
        "value": cookie.value,
        "domain": domain,
        "path": cookie.path().unwrap_or("/"),
        "secure": cookie.all("secure").next().is_some(),
        "http_only": cookie.all("httponly").next().is_some(),
    });
    let max_age = cookie.all("max-age").find_map(|text| TimeDelta::try_seconds(text.parse().ok()?));
    let expires = || cookie.all("expires").next().and_then(date).map(Expiry::At);
    let expiry = max_age.map(Expiry::In).or_else(expires);
    let secret = Secret::new(object.to_string());
    Ok(Token::from_response(response, secret, expiry, requested).with_type(Derived::COOKIE))
}

struct Cookie<'a> {
    name: &'a str,
    value: &'a str,
    /// The other attributes, and those without a value.
    attributes: Vec<(&'a str, &'a str)>,
}

impl<'a> Cookie<'a> {
    /// Parses a `Set-Cookie` header. Returns `None` if the cookie is not valid in a cookie file.
    fn read(line: &'a str) -> Option<Self> {
        let mut parts = line.split(';').map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (key.trim(), value.trim())
        });
        let (name, value) = parts.next().filter(|(name, value)| is_plain(name) && is_plain(value))?;
        Some(Self { name, value, attributes: parts.collect() })
    }

    /// Returns the values of an attribute, with the last one first.
    fn all(&self, key: &str) -> impl Iterator<Item = &'a str> {
        let own = self.attributes.iter().rev().filter(move |(own, _)| own.eq_ignore_ascii_case(key));
        own.map(|(_, value)| if is_plain(value) || value.contains(' ') { value } else { "" })
    }

    fn path(&self) -> Option<&'a str> {
        self.all("path").next().filter(|path| path.starts_with('/') && is_plain(path))
    }

    /// Returns the domain for a cookie file, where a leading dot includes subdomains. Returns `None` if the host must
    /// not set a cookie for the domain.
    fn domain_for(&self, host: &str) -> Option<String> {
        let own = self.all("domain").next().filter(|own| !own.is_empty());
        let Some(own) = own else { return Some(host.to_owned()) };
        let own = own.trim_start_matches('.').to_ascii_lowercase();
        if host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok() {
            return (own == host).then_some(own);
        }
        let above = own.contains('.') && host.strip_suffix(&own).is_some_and(|rest| rest.ends_with('.'));
        (above || own == host).then(|| format!(".{own}"))
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic())
}

/// Parses an HTTP date (RFC 9110 section 5.6.7), or the older format with dashes.
fn date(text: &str) -> Option<DateTime<Utc>> {
    let date = httpdate::parse_http_date(text);
    date.or_else(|_| httpdate::parse_http_date(&text.replace('-', " "))).ok().map(DateTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookie_domain_may_be_the_host_or_its_parent_domain() {
        let domain = |attribute: &str, host| {
            let line = format!("a=b; {attribute}");
            Cookie::read(&line).and_then(|cookie| cookie.domain_for(host))
        };
        let host = "api.earthdaily.com";
        for (host, attribute, expected) in [
            (host, "Domain=.earthdaily.com", Some(".earthdaily.com")),
            (host, "domain=API.EarthDaily.com", Some(".api.earthdaily.com")),
            (host, "Secure", Some(host)),
            (host, "Domain=", Some(host)),
            (host, "Domain=.com", None),
            (host, "Domain=daily.com", None),
            (host, "Domain=x.api.earthdaily.com", None),
            ("[::1]", "Domain=[::1]", Some("[::1]")),
            ("127.0.0.1", "Domain=1", None),
            ("127.0.0.1", "Domain=.0.1", None),
        ] {
            assert_eq!(domain(attribute, host).as_deref(), expected, "{attribute}");
        }
    }

    #[test]
    fn cookies_invalid_for_a_cookie_file_are_ignored() {
        for line in ["", "a", "=b", "a=", "a=b\tc", "a b=c", "a=\u{e9}", "a=b c"] {
            assert!(Cookie::read(line).is_none(), "{line:?}");
        }
        for (path, expected) in [("/x", Some("/x")), ("x", None), ("/x\ty", None)] {
            let line = format!("a=b; Path={path}");
            assert_eq!(Cookie::read(&line).and_then(|cookie| cookie.path()), expected, "{path:?}");
        }
    }
}
