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
];
