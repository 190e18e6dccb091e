//! Without the feature `provider` there is no [`ClientKey`]: nothing signs.

use std::convert::Infallible;

use broker_core::{Result, Secret, ServiceUrl};
use chrono::{DateTime, Utc};

/// A client's private key: with the feature `provider`.
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

    pub(crate) fn is_out_of_time(_services: DateTime<Utc>, _ours: DateTime<Utc>) -> bool {
        false
    }
}
