//! Tests of `kind = "earthdaily"` with a fake server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "earthdaily/cookie.rs"]
mod cookie;

use broker_core::Settings;
use broker_earthdaily::KIND;
use broker_testkit::conformance::{self, ClientSubject};
use broker_testkit::{EarthDailyOptions, World};
use serde_json::json;

pub(crate) fn imagery(options: EarthDailyOptions) -> ClientSubject {
    let world = World::new();
    ClientSubject::new(world, options, |world, service, secret| {
        // Older clients set `api_url` to the STAC root.
        let api_url = format!("{}/platform/v1/stac", service.url());
        let table = json!({ "auth_url": service.auth_url(), "client_secret": secret, "api_url": api_url });
        (KIND.build)(&Settings::new(KIND.name, table, &world.env)).expect("settings")
    })
}

#[tokio::test]
async fn earthdaily_passes_the_conformance_suite() {
    conformance::run(|| imagery(EarthDailyOptions::default())).await;
}

#[test]
fn earthdaily_reports_credential_sources_and_hosts() {
    let resolved = |world: World, table: serde_json::Value| {
        let provider = (KIND.build)(&Settings::new("lab", table, &world.env)).expect("settings");
        let info = provider.info();
        (info.sources.clone(), info.hosts.clone())
    };
    let with = |name: &str, value: &str| {
        let mut world = World::new();
        world.env = world.env.with("HOME", "/nowhere").with(name, value);
        world
    };
    let usual = vec!["api.earthdaily.com".to_owned()];
    let secret = with("EDS_SECRET", "s");
    assert_eq!(resolved(secret, json!({})), (vec!["EDS_SECRET (environment)".to_owned()], usual.clone()));
    let own = json!({ "client_secret": { "file": "/nowhere/secret" } });
    assert_eq!(resolved(with("EDS_SECRET", "s"), own), (vec!["/nowhere/secret".to_owned()], usual.clone()));
    let (sources, hosts) = resolved(with("EDS_API_URL", "https://imagery.example/"), json!({}));
    assert!(sources[1].contains("/nowhere/.earthdaily/credentials [default]"), "{sources:?}");
    assert_eq!(hosts, usual, "a URL without a secret is not used");
    for url in ["https://imagery.example", "https://imagery.example/platform/v1/stac/?x=y"] {
        let (_, hosts) =
            resolved(with("EDS_API_URL", url), json!({ "client_secret": { "env": "EDS_SECRET" } }));
        assert_eq!(hosts, usual);
        let (_, hosts) = resolved(with("X", "y"), json!({ "client_secret": "s", "api_url": url }));
        assert_eq!(hosts, [usual[0].as_str(), "imagery.example"]);
    }
}
