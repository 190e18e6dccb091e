//! Tests that each example in docs/dev/writing-a-provider.md gets a token.

use broker_e2e::{MARK, Run, Sandbox};
use broker_testkit::{TokenService, TokenServiceOptions};

use crate::stage::{with_path, write_script};

const PAGE: &str = include_str!("../../docs/dev/writing-a-provider.md");

/// Returns the one code block of `writing-a-provider.md` that is written in `language` and contains `text`.
pub(crate) fn block(language: &str, text: &str) -> String {
    let fence = format!("```{language}\n");
    let blocks = PAGE.split(&fence).skip(1).filter_map(|rest| rest.split("```\n").next());
    let [found] = blocks.filter(|block| block.contains(text)).collect::<Vec<_>>()[..] else {
        panic!("one block of {language} with {text}");
    };
    found.to_owned()
}

/// Returns a sandbox with the configuration in a code block, adapted to the fake server.
fn sandbox(text: &str, service: &TokenService) -> Sandbox {
    let table = block("toml", text).replace("https://auth.example.org", service.url());
    let sandbox = Sandbox::new().with_config(&table);
    assert_eq!(sandbox.broker(&["config", "check"]).ends(0).err.lines().count(), 0, "no warning");
    sandbox
}

fn service() -> TokenService {
    TokenService::start(TokenServiceOptions::default())
}

#[track_caller]
fn assert_issued_by(service: &TokenService, run: Run) {
    let token = run.token();
    assert!(service.access_is_live(&token), "issued by the service: {token}");
}

#[test]
fn documented_static_provider_returns_its_token() {
    let service = service();
    let key = format!("{MARK}-tiles");
    let sandbox = sandbox("[providers.tiles]", &service).with_env("TILES_KEY", &key);
    assert_eq!(sandbox.broker(&["token", "tiles"]).token(), key);
    let header = sandbox.broker(&["token", "tiles", "--format", "header"]).ends(0).out;
    assert_eq!(header, format!("X-Api-Key: {key}\n"));
}

#[test]
fn documented_client_credentials_provider_gets_a_token() {
    let service = service();
    let sandbox = sandbox("[providers.radar]", &service).with_env("RADAR_SECRET", "standin-secret");
    assert_issued_by(&service, sandbox.broker(&["token", "radar"]));
}

#[test]
fn documented_provider_of_type_login_gets_a_token() {
    let service = service();
    let sandbox = sandbox("[providers.buoys]", &service);
    let login = sandbox.broker_reading(&["login", "buoys", "--password-stdin"], "standin-password\n");
    let _ = login.ends(0);
    assert_issued_by(&service, sandbox.broker(&["token", "buoys"]));
    assert_issued_by(&service, sandbox.broker(&["token", "buoys", "--force"]));
    assert_eq!((service.logins(), service.refreshes()), (1, 1), "one login, and a refresh");
}

#[test]
#[ignore = "needs python3"]
fn documented_python_plugin_gets_a_token() {
    let key = format!("{MARK}-tides");
    let sandbox = Sandbox::new().with_config(&block("toml", "[providers.tides]")).with_env("TIDES_KEY", &key);
    let folder = sandbox.home().join("bin");
    write_script(&sandbox, &folder.join("tides.py"), &block("python", "import json, sys"));
    let sandbox = with_path(sandbox, &folder);
    assert_eq!(sandbox.broker(&["token", "tides"]).token(), format!("{key}-token"));
}
