//! Opens brokers for fake services. With your own configuration, use `earthbroker::Broker::open()`.

use std::error::Error;

use broker_testkit::{EarthDaily, EarthScopeOptions};
use earthbroker::{Broker, Setup};
use tempfile::TempDir;

/// Opens a broker with this configuration. The records are in the temporary folder.
pub(crate) fn open(setup: Setup, config: &str) -> Result<(Broker, TempDir), Box<dyn Error>> {
    let home = tempfile::tempdir()?;
    let file = home.path().join("providers.toml");
    std::fs::write(&file, config)?;
    Ok((setup.config_file(file).state_dir(home.path()).open()?, home))
}

/// Returns the configuration of the provider `earthdaily`, whose only host is the fake server.
pub(crate) fn earthdaily(service: &EarthDaily) -> String {
    let (url, secret) = (service.auth_url(), EarthDaily::SECRET);
    let host = service.url().trim_start_matches("http://");
    format!("[providers.earthdaily]\nauth_url = {url:?}\nclient_secret = {secret:?}\nhosts = [{host:?}]\n")
}

/// Returns the options of a fake EarthScope server with a client secret, so that no login is necessary.
pub(crate) fn earthscope_options() -> EarthScopeOptions {
    EarthScopeOptions { client_secret: Some(SECRET.to_owned()), ..EarthScopeOptions::default() }
}

/// Returns the configuration of the provider `earthscope` at the fake server's URL.
pub(crate) fn earthscope(url: &str) -> String {
    format!("[providers.earthscope]\ndomain = {url:?}\napi_url = {url:?}\nclient_secret = {SECRET:?}\n")
}

const SECRET: &str = "fake-client-secret";
