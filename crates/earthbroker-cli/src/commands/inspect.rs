use broker_core::{Claims, Inspected, ScopeKey, SystemClock, sanitize};
use chrono::{DateTime, Utc};
use earthbroker::{Broker, Clock, Error, ErrorCode, Hint, RequestPart};
use serde_json::{Map, Value, json};

use super::{CommandContext, CommandResult, answer};
use crate::args::Inspect;
use crate::format::{line, rfc3339};
use crate::humanize;
use crate::run::run as run_async;

/// The claims that are times (RFC 7519 section 4.1, OpenID Connect Core sections 2 and 5.1).
const TIMES: [&str; 5] = ["exp", "iat", "nbf", "auth_time", "updated_at"];

pub(super) fn run(context: &CommandContext<'_>, args: &Inspect) -> CommandResult {
    let broker = context.broker(&args.provider)?;
    let scopes = &ScopeKey::new(args.scope.iter().map(String::as_str));
    let token = broker.provider(&args.provider)?.inspect(scopes)?;
    let token = token.ok_or_else(|| none_stored(&broker, &args.provider, scopes.as_str()))?;
    let introspection = args.introspect.then(|| introspect(&broker, &args.provider, scopes)).transpose()?;
    let now = SystemClock.now();
    answer(&if args.json {
        let mut object = object(&args.provider, scopes.as_str(), &token, now);
        if let Some(claims) = introspection {
            object["introspection"] = Value::from(claims);
        }
        line(&object)?
    } else {
        let claims =
            introspection.map(|claims| format!("\nthe service says\n{}", lines(&claims, &Map::new())));
        text(&args.provider, &token, now) + &claims.unwrap_or_default()
    })
}

/// Asks the service about the token (RFC 7662).
fn introspect(broker: &Broker, provider: &str, scopes: &ScopeKey) -> CommandResult<Map<String, Value>> {
    let claims = run_async(broker, broker.provider(provider)?.introspect(scopes))?;
    Ok(claims.ok_or_else(|| {
        Error::new(ErrorCode::RequestUnsupported, "this service does not support introspection")
            .with_hint(Hint::LeaveOut(RequestPart::Introspection))
            .for_provider(provider)
    })?)
}

/// Returns the error for a scope without a stored token, with the scopes of all stored tokens.
fn none_stored(broker: &Broker, provider: &str, scopes: &str) -> Error {
    let others = broker.status(provider).map(|status| status.tokens).unwrap_or_default();
    let others: Vec<_> = others.iter().map(|token| humanize::asked(&token.scope)).collect();
    let what = match others.as_slice() {
        [] => "no token is stored".to_owned(),
        scopes => format!("no token is stored for these scopes; there are tokens for: {}", scopes.join(", ")),
    };
    let flags: Vec<_> = scopes.split_whitespace().map(|scope| format!(" --scope {scope}")).collect();
    let hint = format!("run: broker token {provider}{}", flags.concat());
    Error::login_required(what).for_provider(provider).with_hint(hint)
}

fn times(claims: &Claims) -> Map<String, Value> {
    let time = |name: &str| Some((name.to_owned(), Value::from(rfc3339(claims.time(name)?))));
    TIMES.into_iter().filter_map(time).collect()
}

fn object(provider: &str, scopes: &str, token: &Inspected, now: DateTime<Utc>) -> Value {
    let jwt = token.jwt.as_ref();
    json!({
        "version": 1,
        "provider": provider,
        "scope": Some(scopes).filter(|scopes| !scopes.is_empty()),
        "token_type": token.token_type,
        "expires_at": token.expires_at.map(rfc3339),
        "expires_in": token.expires_at.map(|at| (at - now).num_seconds().max(0)),
        "header": jwt.map(|(header, _)| header),
        "claims": jwt.map(|(_, claims)| claims.object()),
        "times": jwt.map(|(_, claims)| times(claims)),
    })
}

fn text(provider: &str, token: &Inspected, now: DateTime<Utc>) -> String {
    let left = token.expires_at.map(|at| match (at - now).to_std() {
        Ok(left) => format!("expires {}, in {}", rfc3339(at), humanize::duration(left)),
        Err(_) => format!("expired {}", rfc3339(at)),
    });
    let left = left.unwrap_or_else(|| "does not expire".to_owned());
    let title = sanitize(&format!("{provider}: {} token, {left}", token.token_type));
    let Some((header, claims)) = &token.jwt else {
        let why = if token.kept {
            "the token is opaque: it is not a JWT, so it has no claims to show"
        } else {
            "the token is not stored, so its claims are not shown"
        };
        return format!("{title}\n{why}\n");
    };
    let times = times(claims);
    format!("{title}\n\nheader\n{}\nclaims\n{}", lines(header, &Map::new()), lines(claims.object(), &times))
}

/// Returns a sanitized line for each member of `object`. Numbers that are times are also shown as dates.
fn lines(object: &Map<String, Value>, times: &Map<String, Value>) -> String {
    let width = object.keys().map(|name| sanitize(name).chars().count()).max().unwrap_or(0);
    let line = |(name, value): (&String, &Value)| {
        let time = times.get(name).and_then(Value::as_str);
        let time = time.map(|time| format!("  {time}")).unwrap_or_default();
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("  {:width$}  {}{time}\n", sanitize(name), sanitize(&shown))
    };
    object.iter().map(line).collect()
}
