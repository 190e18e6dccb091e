//! Compares how this crate and EarthScope's SDK read generated settings.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "tests")]

use broker_core::{Secret, SecretSource, ServiceUrl, Settings, SettingsProblem};
use broker_testkit::{TestEnv, official_readings};
use serde_json::{Value, json};

use crate::resolved::ResolvedSettings;
use crate::resolved::{AUDIENCE, CLIENT_ID, SCOPE};
use crate::sources::Layer;
use crate::{DOMAIN, EarthScope};

/// The number of generated homes.
const HOMES: usize = 2000;

/// The generated domains apart from the SDK's default.
const OTHER_DOMAINS: [&str; 3] = ["https://a.example", "https://b.example", "http://127.0.0.1:1"];

#[test]
#[ignore = "needs python3 with earthscope-sdk (BROKER_TOOLS_PYTHON)"]
fn generated_settings_are_read_as_by_earthscopes_sdk() {
    let folder = tempfile::tempdir().expect("a folder");
    let cases = official_readings("earthscope", folder.path(), HOMES);
    let (mut differences, mut kept_apart) = (Vec::new(), 0);
    for case in &cases {
        match difference(case) {
            Ok(apart) => kept_apart += usize::from(apart),
            Err(why) => differences.push(format!("{why}\n{case}\n{}", config(case))),
        }
    }
    let read = cases.iter().filter(|case| case.get("read").is_some()).count();
    println!(
        "{HOMES} homes, {read} valid, {kept_apart} with secret and URL kept apart, {} differences",
        differences.len()
    );
    assert!(differences.is_empty(), "{}", differences.join("\n----\n"));
    assert!(read > HOMES / 2 && kept_apart < HOMES / 4, "{read}, {kept_apart}");
}

fn config(case: &Value) -> String {
    let home = case["variables"]["HOME"].as_str().expect("a home");
    std::fs::read_to_string(format!("{home}/.earthscope/config.toml")).unwrap_or_default()
}

fn read(case: &Value) -> Result<EarthScope, broker_core::SettingsError> {
    let variables = case["variables"].as_object().expect("variables");
    let env = variables
        .iter()
        .fold(TestEnv::default(), |env, (name, value)| env.with(name, value.as_str().unwrap()));
    let settings = Settings::new("earthscope", json!({}), &env);
    ResolvedSettings::from(settings.parse()?, &settings)?.into_provider(&settings)
}

/// Compares both readings of a home. Returns whether the only difference is that we keep a secret from a URL of another
/// source, which is intended.
fn difference(case: &Value) -> Result<bool, String> {
    let ours = read(case);
    let theirs = match (case["error"].as_str(), &ours) {
        // Intended: a profile needs no table in `config.toml`.
        (Some("ProfileDoesNotExistError"), _) | (Some(_), Err(_)) => return Ok(false),
        // Intended: an invalid value in another profile is no error.
        (Some("ValidationError"), Ok(_)) if case["changed"] == true => return Ok(false),
        // Intended: the escapes `\e` and `\x` of TOML 1.1 are read.
        (Some("TOMLDecodeError"), Ok(_))
            if ["\\e", "\\x"].iter().any(|escape| config(case).contains(escape)) =>
        {
            return Ok(false);
        }
        (Some(error), Ok(_)) => return Err(format!("only we read it: {error}")),
        (None, _) => case["read"].as_array().expect("a reading"),
    };
    // Intended: a URL with a fragment is an error.
    if ours.is_err() && theirs.iter().any(|value| value.as_str().is_some_and(|text| text.contains('#'))) {
        return Ok(false);
    }
    let url = |text: &str| ServiceUrl::parse(text).expect("a URL").as_str().to_owned();
    let text = |index: usize| theirs[index].as_str().map(str::to_owned);
    let has_domain = url(&text(0).unwrap_or_default()) != url(DOMAIN);
    let ours = match ours {
        Ok(ours) => ours,
        Err(error) if has_domain && matches!(error.problem, SettingsProblem::MixedSources(_)) => {
            return Ok(true);
        }
        Err(error) => return Err(format!("only they read it: {error}")),
    };
    let secret = match &ours.client_secret {
        Some(SecretSource::Literal(secret)) => Some(secret),
        _ => None,
    };
    let login = ours.settings_logins.first().and_then(Layer::refresh_token);
    let found = [
        Some(ours.domain.as_str().to_owned()),
        Some(ours.client_id.clone()),
        Some(ours.audience.clone()),
        Some(ours.scope.clone()),
        secret.map(|secret| secret.expose().to_owned()),
    ];
    let mut expected = [text(0).map(|domain| url(&domain)), text(1), text(2), text(3), text(4)];
    let login_differs = secret.is_none() && login.as_ref().map(Secret::expose) != theirs[5].as_str();
    // Intended: a secret goes to the domain of its own source.
    let domain_differs = found[0] != expected[0] && (secret.is_some() || login.is_some());
    if domain_differs && found[0].as_ref().is_some_and(|domain| in_sources(case, domain)) {
        expected[0].clone_from(&found[0]);
    }
    // Intended: a profile may set a value that is the SDK's default, where the table `default` has another.
    for (index, usual) in [(1, CLIENT_ID), (2, AUDIENCE), (3, SCOPE)] {
        if found[index].as_deref() == Some(usual) && config(case).contains(usual) {
            expected[index].clone_from(&found[index]);
        }
    }
    if found != expected {
        return Err(format!("ours {found:?}"));
    }
    let api_differs = ours.api_url.as_str() != url(&text(6).unwrap_or_default());
    // Intended: a login goes to the domain of its own source.
    let kept_apart = login.is_none() && OTHER_DOMAINS.iter().any(|domain| in_sources(case, domain));
    if login_differs && !has_domain && !kept_apart {
        return Err(format!("ours {:?}", login.as_ref().map(Secret::expose)));
    }
    let has_secret = secret.is_some() || login.is_some();
    if api_differs && !has_secret {
        return Err(format!("ours {}", ours.api_url));
    }
    Ok(domain_differs || login_differs || api_differs)
}

/// Whether a source of the settings contains this URL.
fn in_sources(case: &Value, url: &str) -> bool {
    let text = format!("{}{}", config(case), case["variables"]);
    url == format!("{DOMAIN}/") || text.contains(url.trim_end_matches('/'))
}
