//! git's credential helper protocol: lines of `key=value` (git-credential(1), gitcredentials(7)).

use std::fmt::Write;

use broker::{Broker, Secret, TokenRequest};

use super::{input, provider_for, token};
use crate::commands::{CommandContext, CommandResult, answer};
use crate::format::plain;
use crate::run::run as run_async;

/// What servers that take a token by HTTP Basic mostly want for a name, if they want one.
const USERNAME: &str = "oauth2";

pub(super) fn run(context: &CommandContext<'_>, operation: &str) -> CommandResult {
    let said = input()?;
    let said = Said(&said);
    let Some(url) = said.url() else { return Ok(()) };
    match operation {
        "get" => get(context, &said, &url),
        "erase" => erase(context, &said, &url),
        // `store`, and what newer versions may say: git wants silence.
        _ => Ok(()),
    }
}

fn get(context: &CommandContext<'_>, said: &Said<'_>, url: &str) -> CommandResult {
    let broker = context.setup().open()?;
    let Some(provider) = provider_for(context, &broker, url) else { return Ok(()) };
    let token = token(&broker, &provider)?;
    let header = broker.header(&provider)?;
    let (kind, secret) = (header.prefix_of(&token), plain(&token)?);
    let mut lines = if said.takes_bearer() {
        format!("capability[]=authtype\nauthtype={kind}\ncredential={secret}\nephemeral=1\n")
    } else {
        let username = said.value("username").unwrap_or(USERNAME);
        format!("username={username}\npassword={secret}\n")
    };
    if let Some(expires_at) = token.expires_at() {
        let _ = writeln!(lines, "password_expiry_utc={}", expires_at.timestamp());
    }
    answer(&lines)
}

/// The server did not take a credential. If it is the held token, another is had, for the next call.
fn erase(context: &CommandContext<'_>, said: &Said<'_>, url: &str) -> CommandResult {
    let Some(refused) = said.value("credential").or_else(|| said.value("password")) else { return Ok(()) };
    let broker = context.setup().open()?;
    let Some(provider) = provider_for(context, &broker, url) else { return Ok(()) };
    let (request, refused) = (TokenRequest::new(), Secret::new(refused));
    if is_held(&broker, &provider, &request, &refused) {
        // The next call says what is wrong, if it still is.
        let _ = run_async(&broker, broker.replace_rejected(&provider, &request, Some(refused)));
    }
    Ok(())
}

fn is_held(broker: &Broker, provider: &str, request: &TokenRequest, secret: &Secret) -> bool {
    let held = broker.stored(provider, request).ok().flatten();
    held.is_some_and(|held| held.secret().same_as(secret))
}

/// What git says.
struct Said<'a>(&'a str);

impl<'a> Said<'a> {
    fn values(&self, key: &str) -> impl Iterator<Item = &'a str> {
        let lines = self.0.lines().take_while(|line| !line.is_empty());
        lines
            .filter_map(move |line| line.split_once('=').filter(|(name, _)| *name == key))
            .map(|(_, value)| value)
    }

    fn value(&self, key: &str) -> Option<&'a str> {
        self.values(key).last()
    }

    fn url(&self) -> Option<String> {
        let (protocol, host) = (self.value("protocol")?, self.value("host")?);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        let web = protocol == "https" || protocol == "http";
        (web && host.chars().all(plain)).then(|| format!("{protocol}://{host}/"))
    }

    /// Whether git can send a bearer token (from 2.46 on), to a server that does not ask for Basic alone.
    fn takes_bearer(&self) -> bool {
        let asks = |scheme: &str| {
            let is =
                |asked: &str| asked.get(..scheme.len()).is_some_and(|word| word.eq_ignore_ascii_case(scheme));
            self.values("wwwauth[]").any(is)
        };
        self.values("capability[]").any(|capability| capability == "authtype")
            && (asks("Bearer") || !asks("Basic"))
    }
}
