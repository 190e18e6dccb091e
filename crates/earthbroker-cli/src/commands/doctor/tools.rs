//! Checks for conflicts with the services' own tools, in their files and environment variables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use earthbroker::platform::others_read;
use earthbroker::{Config, Env, Status, SystemEnv, platform};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::mode;
use super::report::Report;
use crate::commands::CommandContext;
use crate::format::quoted_path;

/// A configured provider, its kind and its settings.
struct Entry {
    name: String,
    kind: String,
    keys: BTreeMap<String, String>,
}

pub(super) fn check(
    context: &CommandContext<'_>,
    config: Option<&Config>,
    named: Option<&str>,
    statuses: &[Status],
    report: &mut Report,
) {
    let entries = config.map(entries).unwrap_or_default();
    let of_kind = |kind: &str| entries.iter().filter(|entry| entry.kind == kind).collect::<Vec<_>>();
    let asked = |kind: &str| named.is_none_or(|name| of_kind(kind).iter().any(|entry| entry.name == name));
    let from_file = context.global.env_file.is_some();
    if asked("earthscope") {
        earthscope(&of_kind("earthscope"), from_file, statuses, report);
    }
    if from_file {
        let what = "environment variables of other tools are ignored, because --env-file replaces them";
        return report.skipped("tools.variables", None, what);
    }
    if asked("earthdaily") {
        earthdaily(&of_kind("earthdaily"), report);
    }
    if asked("carbonmapper") {
        carbonmapper(&of_kind("carbonmapper"), report);
    }
}

fn entries(config: &Config) -> Vec<Entry> {
    let keys = |name: &str| {
        let settings = config.settings(name).unwrap_or_default();
        settings.into_iter().map(|set| (set.key, set.value.trim_matches('"').to_owned())).collect()
    };
    let configured = config.configured().unwrap_or_default();
    configured.into_iter().map(|c| Entry { keys: keys(&c.name), name: c.name, kind: c.kind }).collect()
}

fn earthscope(entries: &[&Entry], from_file: bool, statuses: &[Status], report: &mut Report) {
    let home = entries.iter().find_map(|entry| entry.keys.get("sdk_home"));
    let home = home.map_or("~/.earthscope", String::as_str);
    let home = platform::expand(Path::new(home), &SystemEnv);
    if !home.is_absolute() {
        return;
    }
    let profiles = std::fs::read_dir(&home).into_iter().flatten().flatten();
    let mut files: Vec<_> = profiles.map(|profile| profile.path().join("tokens.json")).collect();
    files.retain(|file| file.symlink_metadata().is_ok());
    files.sort();
    for file in &files {
        // The login check has already reported an invalid token file from which a provider reads its login.
        let is_reported = |status: &Status| status.invalid_login_file.as_ref() == Some(file);
        match wrong_tokens(file) {
            Some(_) if statuses.iter().any(is_reported) => {}
            None => report.ok("tools.earthscope_file", None, format!("{} is valid", file.display())),
            Some(what) => {
                let path = quoted_path(file);
                let fix =
                    format!("run: mv {path} {path}.old, then log in again with the tool that uses the file");
                report.error("tools.earthscope_file", None, &format!("{}: {what}", file.display()), &fix);
            }
        }
        older_writer(file, report);
    }
    one_profile(entries, report);
    if !from_file && !files.is_empty() {
        shadows(&files, report);
    }
}

/// Returns why a token file of EarthScope's SDK is invalid. Returns `None` for a valid file.
fn wrong_tokens(file: &Path) -> Option<String> {
    if !file.symlink_metadata().ok()?.is_file() {
        return Some("the token file is not a regular file".to_owned());
    }
    let text = match std::fs::read(file) {
        Ok(text) => Zeroizing::new(text),
        Err(error) => return Some(format!("cannot read the token file: {error}")),
    };
    let Ok(object) = serde_json::from_slice::<Map<String, Value>>(&text) else {
        return Some("the token file is not JSON, and may be incomplete".to_owned());
    };
    let has = |key: &str| object.get(key).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    let empty = !has("access_token") && !has("refresh_token");
    empty.then(|| "the token file has neither an access token nor a refresh token".to_owned())
}

/// Warns if other users can read a token file. EarthScope's SDK before 1.9.2 writes such files.
fn older_writer(file: &Path, report: &mut Report) {
    let meta = file.symlink_metadata().ok().filter(|meta| meta.is_file() && others_read(meta));
    let Some(meta) = meta else { return };
    let what = format!(
        "other users can read {} (mode {}): earthscope-sdk before 1.9.2 writes the file with this mode, and not atomically \
         (to upgrade, run: pip install --upgrade 'earthscope-sdk>=1.9.2')",
        file.display(),
        mode(&meta)
    );
    report.warning("tools.earthscope_mode", None, &what, &format!("run: chmod 600 {}", quoted_path(file)));
}

/// Warns if two providers use one profile of EarthScope's SDK. Each renewal ends the other provider's login.
fn one_profile(entries: &[&Entry], report: &mut Report) {
    let mut users: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for entry in entries {
        let shares = entry.keys.get("share").is_none_or(|share| share != "false")
            && !entry.keys.contains_key("client_secret")
            && (entry.keys.contains_key("profile") || entry.name == entry.kind);
        if shares {
            let set = entry.keys.get("profile").cloned().or_else(|| SystemEnv.var("ES_PROFILE"));
            let profile = set.unwrap_or_else(|| "default".to_owned());
            let profile = profile.split_whitespace().collect::<Vec<_>>().join("-").to_lowercase();
            users.entry(profile).or_default().push(&entry.name);
        }
    }
    for (profile, names) in users.iter().filter(|(_, names)| names.len() > 1) {
        let what = format!("{} share the profile {profile} of EarthScope's tools", names.join(" and "));
        let last = names[names.len() - 1];
        let fix = format!("set another `profile`, or `share = false`, in [providers.{last}]");
        report.warning("tools.earthscope_profile", None, &what, &fix);
    }
}

/// Warns of variables that override the login file of EarthScope's SDK. The SDK ignores the case of their names.
fn shadows(files: &[PathBuf], report: &mut Report) {
    let names = ["ES_OAUTH2__REFRESH_TOKEN", "ES_OAUTH2__ACCESS_TOKEN"];
    let set = std::env::vars_os().filter(|(_, value)| !value.is_empty());
    let set = set.filter_map(|(name, _)| name.into_string().ok());
    for name in set.filter(|name| names.iter().any(|known| known.eq_ignore_ascii_case(name))) {
        let file = files.first().map(|file| file.display().to_string()).unwrap_or_default();
        let what =
            format!("{name} is set: EarthScope's tools use this variable instead of the login in {file}");
        report.warning("tools.earthscope_variable", None, &what, &format!("run: unset {name}"));
    }
}

/// Checks that `EDS_SECRET` is set if EarthDaily's other environment variables are set.
fn earthdaily(entries: &[&Entry], report: &mut Report) {
    let has_secret = entries.iter().any(|entry| entry.keys.contains_key("client_secret"));
    let sources = ["EDS_SECRET", "EDS_JSON_PATH", "EDS_TOML_PATH", "EDS_INI_PATH"];
    let set = |name: &&str| SystemEnv.var(name).is_some();
    let others: Vec<_> = ["EDS_AUTH_URL", "EDS_CLIENT_ID"].into_iter().filter(|name| set(name)).collect();
    if has_secret || others.is_empty() || sources.iter().any(set) {
        return report.ok(
            "tools.earthdaily_variables",
            None,
            "the variables EDS_… that are set are complete",
        );
    }
    let what = format!("{} is set, but not EDS_SECRET", others.join(" and "));
    let fix = format!("set EDS_SECRET too, or run: unset {}", others.join(" "));
    report.warning("tools.earthdaily_variables", None, &what, &fix);
}

fn carbonmapper(entries: &[&Entry], report: &mut Report) {
    let set = |name: &str| SystemEnv.var(name).is_some();
    let email = set("CARBONMAPPER_EMAIL") || entries.iter().any(|entry| entry.keys.contains_key("email"));
    if !set("CARBONMAPPER_PASSWORD") || email {
        return report.ok(
            "tools.carbonmapper_variables",
            None,
            "the variables CARBONMAPPER_… that are set are complete",
        );
    }
    let what = "CARBONMAPPER_PASSWORD is set, but not CARBONMAPPER_EMAIL";
    let fix = "set CARBONMAPPER_EMAIL, or `email` in [providers.carbonmapper]";
    report.warning("tools.carbonmapper_variables", None, what, fix);
}
