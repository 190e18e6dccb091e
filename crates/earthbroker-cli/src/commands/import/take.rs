//! Imports a found login or secret: adds a table to the configuration, or logs in with a refresh token.

use earthbroker::{
    Config, Error, ErrorCode, Login, ProviderRegistry, Result, Secret, is_provider_name, sanitize,
};

use super::found::{Found, What};
use super::table::{Table, quoted};
use crate::commands::login::say_logged_in;
use crate::commands::{CommandContext, CommandResult};
use crate::run::run as run_async;

/// The state of a login or secret in the list that `broker import` prints.
pub(super) struct How {
    pub(super) used: bool,
    pub(super) importable: bool,
    pub(super) note: Option<String>,
}

pub(super) fn how(config: &Config, found: &Found) -> How {
    let entry = config.entry(found.kind).ok();
    let sources = entry.map(|entry| entry.info.sources).unwrap_or_default();
    let is_source = sources.contains(&found.place);
    // A login or secret that a provider uses already is not imported again.
    let once = |used: bool| (used, !used, None);
    let (used, importable, note) = match &found.what {
        What::EarthDaily(_) | What::CarbonMapper { .. } => once(sources.first() == Some(&found.place)),
        What::Profile(profile) => once(profile == "default" || uses_profile(config, profile)),
        What::RefreshToken(_) if is_used_while_set(config, found) => (true, false, None),
        What::RefreshToken(_) => {
            let other = other_login(config, found.kind);
            (is_source, other.is_none(), other)
        }
        What::Nothing(why) => (is_source, false, Some(why.clone())),
    };
    How { used, importable, note }
}

/// Returns why a provider stores no login: its login or secret is in the configuration or a variable.
fn other_login(config: &Config, name: &str) -> Option<String> {
    let info = config.entry(name).ok()?.info;
    if info.issuer.flow == "device_code" {
        return None;
    }
    let place = info.sources.into_iter().next().unwrap_or_default();
    Some(format!("the provider {name} uses {place}, and stores no login"))
}

/// Whether a provider already uses this refresh token from the environment variable that contains it.
fn is_used_while_set(config: &Config, found: &Found) -> bool {
    let info = config.entry(found.kind).ok().map(|entry| entry.info);
    found.in_env && info.is_some_and(|info| info.issuer.flow == "refresh_token")
}

fn uses_profile(config: &Config, profile: &str) -> bool {
    let quoted = quoted(profile);
    let configured = config.configured().unwrap_or_default();
    let mut earthscope = configured.iter().filter(|provider| provider.kind == "earthscope");
    earthscope.any(|provider| {
        let settings = config.settings(&provider.name).unwrap_or_default();
        settings.iter().any(|setting| setting.key == "profile" && setting.value == quoted)
    })
}

/// Imports a found login or secret, and returns the name of the provider that uses it.
pub(super) fn take(context: &CommandContext<'_>, found: &Found, name: Option<&str>) -> CommandResult<String> {
    let (kind, place) = (found.kind, &found.place);
    let name = match (&found.what, name) {
        (_, Some(name)) => name.to_owned(),
        (What::Profile(profile), None) if profile != "default" => format!("{kind}-{profile}"),
        _ => kind.to_owned(),
    };
    if !is_provider_name(&name) {
        let error = Error::usage(format!("`{}` is not a valid provider name", sanitize(&name)));
        return Err(error.with_hint("choose a name with --as NAME: letters, digits, `-` and `_`").into());
    }
    let add = |secret, texts: &[_]| Table::new(kind, &name, secret, texts).add(context, place);
    match &found.what {
        What::EarthDaily(set) => {
            let texts = [
                ("auth_url", set.auth_url.as_deref()),
                ("client_id", set.client_id.as_deref()),
                ("api_url", set.api_url.as_deref()),
            ];
            add(Some(("client_secret", &set.secret)), &texts)?;
        }
        What::CarbonMapper { email, password } => {
            add(Some(("password", password)), &[("email", email.as_deref())])?;
        }
        What::Profile(profile) if profile == "default" && name == kind => {
            context.say(&format!("{name}: the broker already reads {place}: there is nothing to import"));
        }
        What::Profile(profile) => add(None, &[("profile", Some(profile))])?,
        What::RefreshToken(token) => {
            let config = context.setup().config()?;
            refuse_unstorable(&config, found, &name)?;
            if !config.names().contains(&name) {
                // Another provider uses EarthScope's default profile, so the new provider gets its own.
                add(None, &[("profile", Some(&name))])?;
            }
            log_in(context, &name, token)?;
        }
        What::Nothing(why) => {
            return Err(Error::new(ErrorCode::ReadFailed, format!("{place}: {why}")).into());
        }
    }
    Ok(name)
}

/// Fails if a provider already uses the refresh token, or if the provider `name` cannot store a login.
fn refuse_unstorable(config: &Config, found: &Found, name: &str) -> Result<()> {
    let place = &found.place;
    if is_used_while_set(config, found) {
        let why =
            format!("{place} is used automatically while the variable is set: there is nothing to import");
        let hint = format!("run: broker token {}", found.kind);
        return Err(Error::new(ErrorCode::AlreadyExists, why).with_hint(hint));
    }
    let Some(other) = other_login(config, name) else { return Ok(()) };
    let error = Error::new(ErrorCode::AlreadyExists, format!("{place}: {other}"));
    Err(error.with_hint(format!(
        "remove the source that {name} uses now, or name another provider with --as NAME"
    )))
}

fn log_in(context: &CommandContext<'_>, name: &str, token: &Secret) -> CommandResult {
    let broker = context.broker(name)?;
    if broker.status(name)?.grant {
        let why = format!("{name} has a login already, which was not replaced");
        return Err(Error::new(ErrorCode::AlreadyExists, why)
            .with_hint(format!("run: broker logout {name}, or name another provider with --as NAME"))
            .into());
    }
    let logged_in = run_async(&broker, broker.login(name, Login::RefreshToken(token.clone())))?;
    say_logged_in(context, name, logged_in);
    Ok(())
}
