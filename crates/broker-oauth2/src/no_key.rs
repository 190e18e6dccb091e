//! An empty [`ClientKey`] for builds without the feature `provider`.

use std::convert::Infallible;

use broker_core::{Result, Secret, ServiceUrl};
use chrono::{DateTime, Utc};

/// A client's private key. Without the feature `provider`, no value of this type exists.
#[derive(Debug)]
pub struct ClientKey(Infallible);

impl ClientKey {
    pub(crate) fn assertion(
        &self,
        _client_id: &str,
        _url: &ServiceUrl,
        _now: DateTime<Utc>,
    ) -> Result<Secret> {
        match self.0 {}
    }

    pub(crate) fn is_clock_wrong(_service: DateTime<Utc>, _local: DateTime<Utc>) -> bool {
        false
    }
}
