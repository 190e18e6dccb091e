//! Imports a found login or secret: as a table of the configuration, or by a login.

use broker::{Config, Error, ErrorCode, Login, ProviderRegistry, Result, Secret, is_provider_name, sanitize};

use super::super::login::say_logged_in;
use super::EarthDailyCredentials;
use super::found::{Found, What};
use super::table::{Table, quoted};
use crate::commands::{CommandContext, CommandResult};
use crate::run::run as run_async;

pub(super) struct Taken {
    pub(super) provider: String,
    pub(super) kind: &'static str,
    pub(super) from: String,
}

/// Whether a found login or secret is in use and can be imported, with a note for the list.
pub(super) struct How {
    pub(super) used: bool,
    pub(super) importable: bool,
    pub(super) note: Option<String>,
}

pub(super) fn how(config: &Config, found: &Found) -> How {
    let entry = config.entry(found.kind).ok();
    let sources = entry.map(|entry| entry.provider.sources()).unwrap_or_default();
    let is_source = sources.contains(&found.place);
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

/// Returns where a provider reads its login, if `broker login` does not store the provider's login.
fn set_login(config: &Config, name: &str) -> Option<String> {
    let provider = config.entry(name).ok()?.provider;
    let is_set = provider.issuer().flow != "device_code";
    is_set.then(|| provider.sources().into_iter().next().unwrap_or_default())
}

fn other_login(config: &Config, name: &str) -> Option<String> {
    set_login(config, name).map(|place| format!("{name} uses {place} and stores no other login"))
}

/// Whether the built-in provider uses this refresh token of the environment. A service may accept it only once.
fn is_used_while_set(config: &Config, found: &Found) -> bool {
    let provider = config.entry(found.kind).ok().map(|entry| entry.provider);
    found.in_env && provider.is_some_and(|provider| provider.issuer().flow == "refresh_token")
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

pub(super) fn take(context: &CommandContext<'_>, found: &Found, name: Option<&str>) -> CommandResult<Taken> {
    let kind = found.kind;
    let name = match (&found.what, name) {
        (_, Some(name)) => name.to_owned(),
        (What::Profile(profile), None) if profile != "default" => format!("{kind}-{profile}"),
        _ => kind.to_owned(),
    };
    if !is_provider_name(&name) {
        let error = Error::usage(format!("`{}` is not a valid provider name", sanitize(&name)));
        return Err(error.with_hint("choose a name with --as NAME: letters, digits, `-` and `_`").into());
    }
    let table = Table::new(kind, &name);
    match &found.what {
        What::EarthDaily(set) => {
            table.secret("client_secret", &set.secret).texts(&keys_of(set)).add(context, &found.place)?;
        }
        What::CarbonMapper { email, password } => {
            table
                .secret("password", password)
                .texts(&[("email", email.as_deref())])
                .add(context, &found.place)?;
        }
        What::Profile(profile) if profile == "default" && name == kind => {
            context.say(&format!(
                "{name}: the broker already reads {}: there is nothing to import",
                found.place
            ));
        }
        What::Profile(profile) => table.texts(&[("profile", Some(profile))]).add(context, &found.place)?,
        What::RefreshToken(token) => {
            let config = context.setup().config()?;
            refuse_spending(&config, found, &name)?;
            if !config.names().contains(&name) {
                // The new provider gets its own profile, because another provider uses the default profile.
                table.texts(&[("profile", Some(&name))]).add(context, &found.place)?;
            }
            log_in(context, &name, token)?;
        }
        What::Nothing(why) => {
            return Err(Error::new(ErrorCode::ReadFailed, format!("{}: {why}", found.place)).into());
        }
    }
    Ok(Taken { provider: name, kind, from: found.place.clone() })
}

/// Fails if the provider would use up the refresh token without storing the new login.
fn refuse_spending(config: &Config, found: &Found, name: &str) -> Result<()> {
    let place = &found.place;
    if is_used_while_set(config, found) {
        let why =
            format!("{place} is used automatically while the variable is set: there is nothing to import");
        return Err(
            Error::new(ErrorCode::AlreadyExists, why).with_hint(format!("run: broker token {}", found.kind))
        );
    }
    other_login(config, name).map_or(Ok(()), |other| {
        let error = Error::new(ErrorCode::AlreadyExists, format!("{place}: {other}"));
        Err(error.with_hint("remove that login or secret first, or name another provider with --as NAME"))
    })
}

fn keys_of(set: &EarthDailyCredentials) -> [(&'static str, Option<&str>); 3] {
    [
        ("auth_url", set.auth_url.as_deref()),
        ("client_id", set.client_id.as_deref()),
        ("api_url", set.api_url.as_deref()),
    ]
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
