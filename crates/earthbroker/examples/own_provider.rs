//! Adds a provider to the broker from another crate: `cargo run -p earthbroker --example own_provider`. The provider only
//! sends the token request; the broker locks, renews and saves. Login and revocation keep the trait's defaults.

#![allow(clippy::print_stdout, reason = "an example prints its results")]

use std::sync::Arc;

use async_trait::async_trait;
use broker_testkit::{EarthDaily, EarthDailyOptions};
use chrono::TimeDelta;
use earthbroker::{
    Error, ErrorCode, HttpRequest, Issuer, Kind, Operation, Provider, ProviderInfo, Record, RecordUpdate,
    Repeat, Result, Secret, SecretSource, ServiceUrl, Settings, SettingsError, Setup, Token, TokenRequest,
    read_object, seconds,
};
use serde::Deserialize;

const KIND: Kind = Kind::new::<Config>("observatory", build).secrets(&["key"]);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    url: ServiceUrl,
    key: SecretSource,
}

struct Observatory {
    config: Config,
    info: ProviderInfo,
}

fn build(settings: &Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError> {
    let config: Config = settings.parse()?;
    let url = config.url.as_str();
    let secret_fingerprint = config.key.fingerprint(url, settings.env());
    let issuer = Issuer { secret_fingerprint, ..Issuer::new(KIND.name, "client_credentials", url) };
    let mut info = ProviderInfo::new(issuer);
    info.hosts = vec![config.url.host()];
    info.variable = "OBSERVATORY_TOKEN".to_owned();
    Ok(Arc::new(Observatory { config, info }))
}

#[async_trait]
impl Provider for Observatory {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    async fn exchange(
        &self,
        operation: &Operation,
        _record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        let key = self.config.key.resolve(operation.context(), "key").await?;
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", "EARTHDAILY_API_TOKEN"),
            ("client_secret", key.expose()),
        ];
        let post = HttpRequest::post_form(self.config.url.clone(), &fields, Repeat::Safe);
        let response = operation.send(&post).await?;
        let answer = read_object(&response, &self.config.url, &[&key])
            .map_err(|problem| problem.error("the observatory refused the key"))?;
        let secret = answer.get("access_token").and_then(|token| token.as_str()).map(Secret::new);
        let secret = secret.ok_or_else(|| {
            Error::new(ErrorCode::BadResponse, "the response of the observatory has no token")
        })?;
        let lifetime = answer.get("expires_in").and_then(seconds);
        Ok(RecordUpdate::token(
            request.scopes(),
            Token::from_response(&response, secret, lifetime, TimeDelta::hours(1)),
        ))
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let service = EarthDaily::start(EarthDailyOptions::default());
    let home = tempfile::tempdir()?;
    let config = home.path().join("providers.toml");
    let (url, secret) = (service.auth_url(), home.path().join("key"));
    std::fs::write(&secret, "standin-api-token")?;
    let secret = secret.display();
    std::fs::write(
        &config,
        format!("[providers.observatory]\nurl = \"{url}\"\nkey = {{ file = \"{secret}\" }}\n"),
    )?;

    let broker = Setup::new().kind(KIND).config_file(config).state_dir(home.path()).open()?;
    let token = broker.token("observatory", &TokenRequest::new()).await?;
    assert!(service.access_is_live(token.secret().expose()));
    println!("{token:?}");
    Ok(())
}
