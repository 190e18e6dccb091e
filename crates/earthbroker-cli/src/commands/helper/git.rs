//! git's credential helper protocol: lines of `key=value` (git-credential(1), gitcredentials(7)).

use std::fmt::Write;

use earthbroker::{Secret, TokenRequest};

use super::{input, provider_for, token};
use crate::commands::{CommandContext, CommandResult, answer};
use crate::format::plain;
use crate::run::run as run_async;

/// The user name that most servers expect with a token in HTTP Basic.
const USERNAME: &str = "oauth2";

pub(super) fn run(context: &CommandContext<'_>, operation: &str) -> CommandResult {
    let input = input()?;
    let input = Input(&input);
    let Some(url) = input.url() else { return Ok(()) };
    match operation {
        "get" => get(context, &input, &url),
        "erase" => erase(context, &input, &url),
        // `store` and operations of newer git versions get no answer.
        _ => Ok(()),
    }
}

fn get(context: &CommandContext<'_>, input: &Input<'_>, url: &str) -> CommandResult {
    let broker = context.setup().open()?;
    let Some(provider) = provider_for(context, &broker, url) else { return Ok(()) };
    let token = token(&broker, &provider)?;
    let (scheme, secret) = (token.header().prefix_of(&token), plain(&token)?);
    let mut lines = if input.takes_bearer() {
        format!("capability[]=authtype\nauthtype={scheme}\ncredential={secret}\nephemeral=1\n")
    } else {
        let username = input.value("username").unwrap_or(USERNAME);
        format!("username={username}\npassword={secret}\n")
    };
    if let Some(expires_at) = token.expires_at() {
        let _ = writeln!(lines, "password_expiry_utc={}", expires_at.timestamp());
    }
    answer(&lines)
}

/// Replaces the stored token if the server rejected it.
fn erase(context: &CommandContext<'_>, input: &Input<'_>, url: &str) -> CommandResult {
    let Some(rejected) = input.value("credential").or_else(|| input.value("password")) else { return Ok(()) };
    let broker = context.setup().open()?;
    let Some(provider) = provider_for(context, &broker, url) else { return Ok(()) };
    if let Ok(Some(stored)) = provider.blocking_stored_with(&TokenRequest::new())
        && stored.secret().same_as(&Secret::new(rejected))
    {
        // A failure is ignored, because git's next request for a credential reports the same failure.
        let _ = run_async(&broker, provider.replace_rejected(&stored));
    }
    Ok(())
}

/// The attributes that git sends on standard input.
struct Input<'a>(&'a str);

impl<'a> Input<'a> {
    fn values(&self, key: &str) -> impl Iterator<Item = &'a str> {
        let lines = self.0.lines().take_while(|line| !line.is_empty());
        let attributes = lines.filter_map(|line| line.split_once('='));
        attributes.filter(move |(name, _)| *name == key).map(|(_, value)| value)
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

    /// Whether git can send a bearer token (since 2.46), and the server accepts more than HTTP Basic.
    fn takes_bearer(&self) -> bool {
        let accepts = |scheme: &str| {
            let is =
                |value: &str| value.get(..scheme.len()).is_some_and(|word| word.eq_ignore_ascii_case(scheme));
            self.values("wwwauth[]").any(is)
        };
        self.values("capability[]").any(|capability| capability == "authtype")
            && (accepts("Bearer") || !accepts("Basic"))
    }
}
