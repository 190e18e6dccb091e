//! Runs the conformance suite on providers that use client credentials (RFC 6749 section 4.4).

use std::sync::Arc;

use broker_core::Provider;

use super::Subject;
use crate::{EarthDaily, EarthDailyOptions, Server, World};

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

    fn renewal_route(&self) -> &'static str {
        "token"
    }

    fn end_grant(&self) -> bool {
        false
    }

    fn secrets(&self) -> Vec<String> {
        vec![EarthDaily::SECRET.to_owned()]
    }
}
