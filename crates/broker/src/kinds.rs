//! The kinds that are compiled in: a new provider is a crate of its own, and a line here.

use broker_core::Kind;

/// The kinds that are compiled in.
pub(crate) const BUILT_IN: &[Kind] = &[
    #[cfg(feature = "carbonmapper")]
    broker_carbonmapper::KIND,
    #[cfg(feature = "earthdaily")]
    broker_earthdaily::KIND,
    #[cfg(feature = "earthscope")]
    broker_earthscope::KIND,
    #[cfg(feature = "exec")]
    broker_exec::KIND,
    #[cfg(feature = "login")]
    broker_login::KIND,
    #[cfg(feature = "oauth2")]
    broker_oauth2::KIND,
    #[cfg(feature = "static")]
    broker_static::KIND,
];
