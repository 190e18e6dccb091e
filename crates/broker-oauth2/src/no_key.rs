//! A [`ClientKey`] type without values, for builds without the feature `provider`.

use broker_core::{Result, Secret, ServiceUrl};
use chrono::{DateTime, Utc};

/// A client's private key. Without the feature `provider`, no value of this type exists.
pub enum ClientKey {}

impl ClientKey {
    pub(crate) fn audience(&self) -> &str {
        match *self {}
    }

    pub(crate) fn assertion(
        &self,
        _: &str,
        _: &ServiceUrl,
        _: &ServiceUrl,
        _: DateTime<Utc>,
    ) -> Result<Secret> {
        match *self {}
    }
}
