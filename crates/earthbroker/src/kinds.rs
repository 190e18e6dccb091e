//! The compiled-in provider kinds.

use broker_core::Kind;

/// The compiled-in kinds. Each new provider crate needs a line in this list.
pub(crate) const BUILT_IN: &[Kind] = &[
    #[cfg(feature = "earthdaily")]
    broker_earthdaily::KIND,
    #[cfg(feature = "earthscope")]
    broker_earthscope::KIND,
    #[cfg(feature = "carbonmapper")]
    broker_carbonmapper::KIND,
    #[cfg(feature = "exec")]
    broker_exec::KIND,
    #[cfg(feature = "login")]
    broker_login::KIND,
    #[cfg(feature = "oauth2")]
    broker_oauth2::KIND,
    #[cfg(feature = "static")]
    broker_static::KIND,
];
