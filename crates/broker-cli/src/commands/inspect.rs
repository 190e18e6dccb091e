//! `broker inspect`.

use broker::{Broker, Claims, Clock, Error, Inspected, ScopeKey, SystemClock, TokenRequest, sanitize};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::{CommandContext, CommandResult, answer};
use crate::args::Inspect;
use crate::format::rfc3339;
use crate::humanize;
use crate::run::run as run_async;

/// The claims that are times (RFC 7519 section 4.1, OpenID Connect Core sections 2 and 5.1).
const TIMES: [&str; 5] = ["exp", "iat", "nbf", "auth_time", "updated_at"];

pub(super) fn run(context: &CommandContext<'_>, args: &Inspect) -> CommandResult {
    let broker = context.broker(&args.provider)?;
    let request = args.scope.iter().fold(TokenRequest::new(), |request, scope| request.scope(scope));
    let scopes = request.scopes();
    let held = broker.inspect(&args.provider, scopes)?;
    let held = held.ok_or_else(|| none_held(&broker, &args.provider, scopes.as_str()))?;
    let said = if args.introspect { Some(introspect(&broker, &args.provider, scopes)?) } else { None };
    let now = SystemClock.now();
    answer(&if args.json {
        let mut object = object(&args.provider, scopes.as_str(), &held, now);
        if let Some(said) = said {
            object["introspection"] = Value::from(said);
        }
        escaped(&object)
    } else {
        let said = said.map(|said| format!("\nthe service says\n{}", lines(&said, &Map::new())));
        text(&args.provider, &held, now) + &said.unwrap_or_default()
    })
}

/// What the service says of the token (RFC 7662).
fn introspect(broker: &Broker, provider: &str, scopes: &ScopeKey) -> CommandResult<Map<String, Value>> {
    let said = run_async(broker, broker.introspect(provider, scopes))?;
    Ok(said.ok_or_else(|| {
        Error::usage("this service cannot be asked about its tokens: leave out `--introspect`")
            .for_provider(provider)
    })?)
}

/// Without a token there is nothing to look at: another scope's may be meant, or one has to be had first.
fn none_held(broker: &Broker, provider: &str, scopes: &str) -> Error {
    let others = broker.status(provider).map(|status| status.tokens).unwrap_or_default();
    let others: Vec<_> = others.iter().map(|token| humanize::asked(&token.scope)).collect();
    let what = match others.as_slice() {
        [] => "no token is held".to_owned(),
        scopes => format!("no token is held for that; there are tokens for: {}", scopes.join(", ")),
    };
    let words = ["broker token", provider].into_iter().map(str::to_owned);
    let flags = scopes.split_whitespace().map(|scope| format!("--scope {scope}"));
    let command = words.chain(flags).collect::<Vec<_>>().join(" ");
    Error::login_required(what).for_provider(provider).with_hint(format!("to get one, run: {command}"))
}

fn times(claims: &Claims) -> Map<String, Value> {
    let time = |name: &str| Some((name.to_owned(), Value::from(rfc3339(claims.time(name)?))));
    TIMES.into_iter().filter_map(time).collect()
}

fn object(provider: &str, scopes: &str, held: &Inspected, now: DateTime<Utc>) -> Value {
    let jwt = held.jwt.as_ref();
    json!({
        "version": 1,
        "provider": provider,
        "scope": Some(scopes).filter(|scopes| !scopes.is_empty()),
        "token_type": held.token_type,
        "expires_at": held.expires_at.map(rfc3339),
        "expires_in": held.expires_at.map(|at| (at - now).num_seconds().max(0)),
        "header": jwt.map(|(header, _)| header),
        "claims": jwt.map(|(_, claims)| claims.object()),
        "times": jwt.map(|(_, claims)| times(claims)),
    })
}

/// JSON in a line. What could steer a terminal stands only in texts, where it can be written by its number.
fn escaped(object: &Value) -> String {
    let escape = |c: char| {
        let steers = !sanitize(c.encode_utf8(&mut [0; 4])).starts_with(c);
        if steers { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() }
    };
    object.to_string().chars().map(escape).chain(["\n".to_owned()]).collect()
}

fn text(provider: &str, held: &Inspected, now: DateTime<Utc>) -> String {
    let left = held.expires_at.map(|at| match (at - now).to_std() {
        Ok(left) => format!("expires {}, in {}", rfc3339(at), humanize::duration(left)),
        Err(_) => format!("expired {}", rfc3339(at)),
    });
    let left = left.unwrap_or_else(|| "does not expire".to_owned());
    let title = format!("{provider}: {} token, {left}", sanitize(&held.token_type));
    let Some((header, claims)) = &held.jwt else {
        let why = if held.kept {
            "it is opaque: not a JWT, so it says nothing of itself"
        } else {
            "it stays where it is read from, and is not looked into"
        };
        return format!("{title}\n{why}\n");
    };
    let times = times(claims);
    format!("{title}\n\nheader\n{}\nclaims\n{}", lines(header, &Map::new()), lines(claims.object(), &times))
}

/// A line for each member, with the time beside its number. What a service says must not steer the terminal.
fn lines(object: &Map<String, Value>, times: &Map<String, Value>) -> String {
    let width = object.keys().map(|name| sanitize(name).chars().count()).max().unwrap_or(0);
    let line = |(name, value): (&String, &Value)| {
        let time =
            times.get(name).and_then(Value::as_str).map(|time| format!("  {time}")).unwrap_or_default();
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("  {:width$}  {}{time}\n", sanitize(name), sanitize(&shown))
    };
    object.iter().map(line).collect()
}
