//! Imports a found login or secret: adds a table to the configuration, or logs in with a refresh token.

use earthbroker::tools::{ToolLogin, ToolLoginContent, ToolLoginOrigin, ToolSettings};
use earthbroker::{
    Config, Error, ErrorCode, Login, ProviderRegistry, Result, Secret, is_provider_name, sanitize,
};

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

pub(super) fn how(config: &Config, found: &ToolLogin) -> How {
    let entry = config.entry(found.kind).ok();
    let sources = entry.map(|entry| entry.info.sources).unwrap_or_default();
    let is_source = sources.contains(&found.place);
    // A login or secret that a provider uses already is not imported again.
    let once = |used: bool| (used, !used, None);
    let (used, importable, note) = match &found.content {
        ToolLoginContent::Settings(settings) => {
            let is_first = sources.first() == Some(&found.place);
            once(found.is_default || is_first || is_configured(config, found.kind, settings))
        }
        ToolLoginContent::RefreshToken { .. } if is_used_while_set(config, found) => (true, false, None),
        ToolLoginContent::RefreshToken { .. } => {
            let other = other_login(config, found.kind);
            (is_source, other.is_none(), other)
        }
        ToolLoginContent::Nothing(why) => (is_source, false, Some(why.clone())),
    };
    How { used, importable, note }
}

/// Returns why a provider stores no login: its login or secret is in the configuration or a variable.
fn other_login(config: &Config, name: &str) -> Option<String> {
    let info = config.entry(name).ok()?.info;
    if info.takes_refresh_token() && info.issuer.flow != "refresh_token" {
        return None;
    }
    let place = info.sources.into_iter().next().unwrap_or_default();
    Some(format!("the provider {name} uses {place}, and stores no login"))
}

/// Whether a provider already uses this refresh token from the environment variable that contains it.
fn is_used_while_set(config: &Config, found: &ToolLogin) -> bool {
    let info = config.entry(found.kind).ok().map(|entry| entry.info);
    found.origin == ToolLoginOrigin::Environment
        && info.is_some_and(|info| info.issuer.flow == "refresh_token")
}

/// Whether a provider has these settings, which need no secret: it uses the tools' file.
fn is_configured(config: &Config, kind: &str, wanted: &ToolSettings) -> bool {
    let configured = config.configured().unwrap_or_default();
    let mut of_kind = configured.iter().filter(|provider| provider.kind == kind);
    wanted.secret.is_none()
        && of_kind.any(|provider| {
            let settings = config.settings(&provider.name).unwrap_or_default();
            let has = |key: &str, value: &str| settings.iter().any(|it| it.key == key && it.value == value);
            wanted.texts.iter().all(|(key, text)| text.as_ref().is_none_or(|text| has(key, &quoted(text))))
        })
}

/// Imports a found login or secret, and returns the name of the provider that uses it.
pub(super) fn take(
    context: &CommandContext<'_>,
    found: &ToolLogin,
    name: Option<&str>,
) -> CommandResult<String> {
    let (kind, place) = (found.kind, &found.place);
    let name = match (&found.content, name) {
        (_, Some(name)) => name,
        (ToolLoginContent::Settings(ToolSettings { name: Some(name), .. }), None) => name,
        _ => kind,
    };
    if !is_provider_name(name) {
        let error = Error::usage(format!("`{}` is not a valid provider name", sanitize(name)));
        return Err(error.with_hint("choose a name with --as NAME: letters, digits, `-` and `_`").into());
    }
    match &found.content {
        ToolLoginContent::Settings(_) if found.is_default && name == kind => {
            context.say(&format!("{name}: the broker already reads {place}: there is nothing to import"));
        }
        ToolLoginContent::Settings(settings) => Table { name, kind, settings }.add(context, place)?,
        ToolLoginContent::RefreshToken { token, name_key } => {
            let config = context.setup().config()?;
            refuse_unstorable(&config, found, name)?;
            if !config.names().iter().any(|known| known == name) {
                let texts = name_key.iter().map(|key| (*key, Some(name.to_owned()))).collect();
                let settings = ToolSettings { texts, ..ToolSettings::default() };
                Table { name, kind, settings: &settings }.add(context, place)?;
            }
            log_in(context, name, token)?;
        }
        ToolLoginContent::Nothing(why) => {
            return Err(Error::new(ErrorCode::ReadFailed, format!("{place}: {why}")).into());
        }
    }
    Ok(name.to_owned())
}

/// Fails if a provider already uses the refresh token, or if the provider `name` cannot store a login.
fn refuse_unstorable(config: &Config, found: &ToolLogin, name: &str) -> Result<()> {
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
