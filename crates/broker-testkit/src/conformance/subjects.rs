//! Runs the conformance suite on providers that use client credentials (RFC 6749 section 4.4), or that log in to a
//! [`TokenService`].

use std::sync::Arc;

use broker_core::{Kind, Provider, Settings};
use serde_json::Value;

use super::Subject;
use crate::{EarthDaily, EarthDailyOptions, Server, TestPrompt, TokenService, TokenServiceOptions, World};

/// A function that builds a provider from the test environment, the fake server and a client secret.
pub type OfSecret = fn(&World, &EarthDaily, &str) -> Arc<dyn Provider>;

/// A provider under test that uses client credentials (RFC 6749 section 4.4) at EarthDaily's fake server.
pub struct ClientSubject {
    /// The test environment.
    pub world: World,
    /// The EarthDaily fake server.
    pub service: EarthDaily,
    build: OfSecret,
}

impl ClientSubject {
    /// Starts the fake server. `build` creates the provider under test.
    #[must_use]
    pub fn new(world: World, options: EarthDailyOptions, build: OfSecret) -> Self {
        let options = EarthDailyOptions { now: world.clock.for_service(), ..options };
        Self { world, service: EarthDaily::start(options), build }
    }
}

impl Subject for ClientSubject {
    fn world(&self) -> &World {
        &self.world
    }

    fn provider(&self) -> Arc<dyn Provider> {
        (self.build)(&self.world, &self.service, EarthDaily::SECRET)
    }

    fn elsewhere(&self) -> Arc<dyn Provider> {
        (self.build)(&self.world, &self.service, "client-secret-of-another-account")
    }

    fn service(&self) -> &Server {
        &self.service
    }

    fn end_grant(&self) -> bool {
        false
    }

    fn secrets(&self) -> Vec<String> {
        vec![EarthDaily::SECRET.to_owned()]
    }
}

/// How often the fake prompt can enter the password: more often than any test logs in.
const LOGINS: usize = 8;

/// A provider under test that logs in to a [`TokenService`]. A fake prompt enters the password.
pub struct TokenSubject {
    /// The test environment.
    pub world: World,
    /// The fake token service.
    pub service: TokenService,
    kind: Kind,
    table: Value,
    elsewhere: Value,
    secrets: Vec<String>,
    password: String,
}

impl TokenSubject {
    /// Starts the fake token service. `table` maps its URL to provider settings for the account in `options`.
    /// `elsewhere` does so for another account or issuer.
    #[must_use]
    pub fn new(
        kind: Kind,
        options: TokenServiceOptions,
        table: impl Fn(&str) -> Value,
        elsewhere: impl Fn(&str) -> Value,
    ) -> Self {
        let mut world = World::new();
        world.person =
            (0..LOGINS).fold(TestPrompt::default(), |person, _| person.answering(&options.password));
        let (password, client_secret) = (options.password.clone(), options.client_secret.clone());
        let service = TokenService::start(TokenServiceOptions { now: world.clock.for_service(), ..options });
        let (table, elsewhere) = (table(service.url()), elsewhere(service.url()));
        let secrets = Some(client_secret).filter(|secret| table.to_string().contains(secret));
        Self { world, service, kind, table, elsewhere, secrets: secrets.into_iter().collect(), password }
    }

    /// Builds the provider from its settings.
    ///
    /// # Panics
    /// If the provider type rejects the settings.
    pub fn build(&self, table: &Value) -> Arc<dyn Provider> {
        let settings = Settings::new(self.kind.name, table.clone(), &self.world.env);
        (self.kind.build)(&settings).expect("settings")
    }
}

impl Subject for TokenSubject {
    fn world(&self) -> &World {
        &self.world
    }

    fn provider(&self) -> Arc<dyn Provider> {
        self.build(&self.table)
    }

    fn elsewhere(&self) -> Arc<dyn Provider> {
        self.build(&self.elsewhere)
    }

    fn service(&self) -> &Server {
        &self.service
    }

    fn end_grant(&self) -> bool {
        self.service.revoke_refresh_tokens();
        self.service.logins() > 0
    }

    fn secrets(&self) -> Vec<String> {
        self.secrets.clone()
    }

    fn login_secrets(&self) -> Vec<String> {
        if self.secrets.is_empty() { vec![self.password.clone()] } else { self.secrets.clone() }
    }
}
