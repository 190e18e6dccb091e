//! The broker with the configuration and the records of the command line.

use std::ops::Deref;

use broker_core::Result;

use crate::Setup;

/// Gets, renews and stores tokens, by default with the configuration and the records of the command line. Clones are
/// cheap and share all state. Async calls need a tokio runtime with time and I/O.
///
/// [`Broker::provider`](broker_core::Broker::provider) returns the handle of one provider, which has all calls. The methods
/// of the core's [`Broker`](broker_core::Broker) are available too.
///
/// If a caller drops a call (a timeout, `select!`), the operation still runs until the response is saved, as long as the
/// tokio runtime of the call runs. Await [`Broker::wait_idle`](broker_core::Broker::wait_idle) before the process exits
/// and before the runtime is dropped. Otherwise the operation ends like a killed process, and if the service has already
/// replaced the refresh token, the login is lost.
#[derive(Clone)]
pub struct Broker(pub(crate) broker_core::Broker);

impl Broker {
    /// Opens the broker with the configuration and the records of the command line.
    pub fn open() -> Result<Self> {
        Setup::new().open()
    }
}

impl Deref for Broker {
    type Target = broker_core::Broker;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
