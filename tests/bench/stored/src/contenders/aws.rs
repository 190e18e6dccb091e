//! Measures aws-smithy's identity cache, which the AWS SDK calls before each request.

use std::time::{Duration, SystemTime};

use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime_api::client::identity::{
    Identity, IdentityFuture, ResolveCachedIdentity, ResolveIdentity, SharedIdentityCache,
    SharedIdentityResolver,
};
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_types::config_bag::ConfigBag;
use tokio::runtime::{Handle, Runtime};

use super::{Contender, ready, repeat};
use crate::service::{PROVIDERS, secret};

struct Aws {
    cache: SharedIdentityCache,
    resolvers: [SharedIdentityResolver; 2],
    components: RuntimeComponents,
    config: ConfigBag,
    runtime: Handle,
}

#[derive(Debug)]
struct Resolver;

impl ResolveIdentity for Resolver {
    fn resolve_identity<'a>(&'a self, _: &'a RuntimeComponents, _: &'a ConfigBag) -> IdentityFuture<'a> {
        let until = SystemTime::now() + Duration::from_hours(24);
        IdentityFuture::ready(Ok(Identity::new(secret(), Some(until))))
    }
}

pub(super) fn contender(runtime: &Runtime) -> Box<dyn Contender> {
    let components = RuntimeComponentsBuilder::for_tests()
        .with_sleep_impl(Some(SharedAsyncSleep::new(TokioSleep::new())))
        .with_time_source(Some(SharedTimeSource::new(SystemTimeSource::new())))
        .build()
        .expect("components");
    Box::new(Aws {
        cache: IdentityCache::lazy().build(),
        resolvers: PROVIDERS.map(|_| SharedIdentityResolver::new(Resolver)),
        components,
        config: ConfigBag::base(),
        runtime: runtime.handle().clone(),
    })
}

impl Contender for Aws {
    fn name(&self) -> &'static str {
        "aws-smithy identity cache"
    }

    fn get(&self, token: usize, calls: u32) {
        // The cache's load timeout needs a tokio runtime.
        let _entered = self.runtime.enter();
        repeat(calls, || {
            let resolver = self.resolvers[token].clone();
            ready(self.cache.resolve_cached_identity(resolver, &self.components, &self.config))
                .expect("an identity")
        });
    }
}
