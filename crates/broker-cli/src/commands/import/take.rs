//! Taking something over: as a table of the configuration, or by a login.

use broker::{Catalog, Config, EarthDailyCredentials, Error, Login, Secret, is_provider_name, printable};

use super::super::login::say_signed_in;
use super::found::{Found, What};
use super::table::{Table, quoted};
use crate::commands::{Desk, Outcome};
use crate::run::run as run_async;

/// What was taken over.
pub(super) struct Taken {
    pub(super) provider: String,
    pub(super) kind: &'static str,
    pub(super) from: String,
}

/// Whether something is used already, can be taken over, and what else is to say.
pub(super) struct How {
    pub(super) used: bool,
    pub(super) importable: bool,
    pub(super) note: Option<String>,
}

pub(super) fn how(config: &Config, found: &Found) -> How {
    let source_of = |name: &str| {
        let entry = config.entry(name).ok();
        entry.and_then(|entry| entry.provider.sources().into_iter().next()).unwrap_or_default()
    };
    let (used, note) = match &found.what {
        What::EarthDaily(set) => (source_of("earthdaily") == set.place, None),
        What::CarbonMapper { .. } => (source_of("carbonmapper") == found.place, None),
        What::Profile(profile) => (profile == "default" || uses_profile(config, profile), None),
        What::RefreshToken(_) => (false, None),
        What::Nothing(why) => (false, Some(why.clone())),
    };
    How { used, importable: !used && note.is_none(), note }
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

pub(super) fn take(desk: &Desk<'_>, found: &Found, name: Option<&str>) -> Outcome<Taken> {
    let kind = found.kind;
    let name = match (&found.what, name) {
        (_, Some(name)) => name.to_owned(),
        (What::Profile(profile), None) if profile != "default" => format!("{kind}-{profile}"),
        _ => kind.to_owned(),
    };
    if !is_provider_name(&name) {
        let error = Error::usage(format!("`{}` is no name for a provider", printable(&name)));
        return Err(error.with_hint("name it: --as NAME, of letters, digits, `-` and `_`").into());
    }
    let table = Table::new(kind, &name);
    match &found.what {
        What::EarthDaily(set) => {
            table.secret("client_secret", &set.secret).texts(&keys_of(set)).add(desk, &found.place)?;
        }
        What::CarbonMapper { email, password } => {
            table
                .secret("password", password)
                .texts(&[("email", email.as_deref())])
                .add(desk, &found.place)?;
        }
        What::Profile(profile) if profile == "default" && name == kind => {
            desk.say(&format!("{name}: {} is used where it is: there is nothing to take over", found.place));
        }
        What::Profile(profile) => table.texts(&[("profile", Some(profile))]).add(desk, &found.place)?,
        What::RefreshToken(token) => {
            if !desk.setup().config()?.names().contains(&name) {
                // A profile of its own: the usual one is somebody's already.
                table.texts(&[("profile", Some(&name))]).add(desk, &found.place)?;
            }
            log_in(desk, &name, token)?;
        }
        What::Nothing(why) => return Err(Error::failed(format!("{}: {why}", found.place)).into()),
    }
    Ok(Taken { provider: name, kind, from: found.place.clone() })
}

fn keys_of(set: &EarthDailyCredentials) -> [(&'static str, Option<&str>); 3] {
    [
        ("auth_url", set.auth_url.as_deref()),
        ("client_id", set.client_id.as_deref()),
        ("api_url", set.api_url.as_deref()),
    ]
}

fn log_in(desk: &Desk<'_>, name: &str, token: &Secret) -> Outcome {
    let broker = desk.broker(name)?;
    if broker.status(name)?.grant {
        let error = Error::failed(format!("{name} has a login already, and is left as it is"));
        return Err(error
            .with_hint(format!("log out first (broker logout {name}), or name another: --as NAME"))
            .into());
    }
    let logged_in = run_async(&broker, broker.login(name, Login::RefreshToken(token.clone())))?;
    say_signed_in(desk, name, logged_in);
    Ok(())
}
