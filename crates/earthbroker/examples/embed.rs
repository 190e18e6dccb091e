//! Gets a token in a Rust program: `cargo run -p earthbroker --example embed`. The service is a fake server on this machine.
//! With your own configuration in the default folder, the setup is only `Broker::open()`.

#![allow(clippy::print_stdout, reason = "an example prints its results")]

use broker_testkit::{EarthDaily, EarthDailyOptions};
use earthbroker::Setup;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let service = EarthDaily::start(EarthDailyOptions::default());
    let home = tempfile::tempdir()?;
    let config = home.path().join("providers.toml");
    let secret = home.path().join("secret");
    std::fs::write(&secret, "standin-api-token")?;
    let (url, secret) = (service.auth_url(), secret.display());
    std::fs::write(
        &config,
        format!("[providers.earthdaily]\nauth_url = \"{url}\"\nclient_secret = {{ file = \"{secret}\" }}\n"),
    )?;

    let broker = Setup::new().config_file(config).state_dir(home.path()).open()?;
    let earthdaily = broker.provider("earthdaily")?;
    let token = earthdaily.token().await?;
    assert!(service.access_is_live(token.secret().expose()));
    println!("{token:?}"); // secret: [redacted]

    // All 100 tasks get the stored token, so no further request is sent.
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let earthdaily = earthdaily.clone();
            tokio::spawn(async move { earthdaily.token().await })
        })
        .collect();
    for call in calls {
        assert!(call.await??.secret().same_as(token.secret()));
    }
    assert_eq!(service.exchanges(), 1);
    Ok(())
}
