//! The same calls for programs without an async runtime.
//!
//! ```no_run
//! # fn example() -> Result<(), earthbroker::Error> {
//! use earthbroker::blocking::Broker;
//!
//! let earthscope = Broker::open()?.provider("earthscope")?;
//! let header = earthscope.token()?.authorization();
//! # drop(header);
//! # Ok(())
//! # }
//! ```
//!
//! Inside an async runtime, these calls fail with [`ErrorKind::Usage`](crate::ErrorKind::Usage) instead of blocking the
//! runtime: use [`crate::Broker`] there.

use std::sync::Arc;

use broker_core::{
    Error, ErrorCode, LoggedIn, LoggedOut, Login, Prompt, ProviderInfo, Result, Secret, Status, Token,
    TokenRequest,
};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::Setup;

/// A [`crate::Broker`] with its own runtime, on the threads of the callers. Clones are cheap and share all state.
#[derive(Clone)]
pub struct Broker {
    broker: crate::Broker,
    runtime: Arc<CallersRuntime>,
}

/// A provider of a [`Broker`]: see [`crate::ProviderHandle`]. Clones are cheap and share all state.
#[derive(Clone)]
pub struct ProviderHandle {
    handle: crate::ProviderHandle,
    runtime: Arc<CallersRuntime>,
}

/// A runtime without threads. It runs while a caller waits.
struct CallersRuntime(Option<Runtime>);

impl Broker {
    /// Opens the broker with the configuration and the records of the command line.
    pub fn open() -> Result<Self> {
        Self::with(Setup::new())
    }

    /// Opens the broker with this setup.
    pub fn with(setup: Setup) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| {
            Error::new(ErrorCode::Internal, "cannot create the runtime of the calls").with_source(error)
        })?;
        Ok(Self { broker: setup.open()?, runtime: Arc::new(CallersRuntime(Some(runtime))) })
    }

    /// Returns the names of the configured providers.
    pub fn names(&self) -> Vec<String> {
        self.broker.names()
    }

    /// Returns a handle of the provider with this name. Fails if the configuration has no such provider, or if its
    /// settings are invalid.
    pub fn provider(&self, name: &str) -> Result<ProviderHandle> {
        Ok(ProviderHandle { handle: self.broker.provider(name)?, runtime: self.runtime.clone() })
    }
}

impl ProviderHandle {
    /// Describes the provider, as the configuration changed it.
    pub fn info(&self) -> &ProviderInfo {
        self.handle.info()
    }

    /// Calls [`crate::ProviderHandle::token`].
    pub fn token(&self) -> Result<Token> {
        self.token_with(&TokenRequest::new())
    }

    /// Calls [`crate::ProviderHandle::token_with`].
    pub fn token_with(&self, request: &TokenRequest) -> Result<Token> {
        self.runtime.wait(self.handle.token_with(request))
    }

    /// Calls [`crate::ProviderHandle::stored_with`]. Works inside an async runtime too.
    pub fn stored_with(&self, request: &TokenRequest) -> Result<Option<Token>> {
        self.handle.stored_with(request)
    }

    /// Calls [`crate::ProviderHandle::stored`]. Works inside an async runtime too.
    pub fn stored(&self) -> Result<Option<Token>> {
        self.handle.stored()
    }

    /// Calls [`crate::ProviderHandle::replace_rejected`].
    pub fn replace_rejected(&self, rejected: &Token) -> Result<Token> {
        self.runtime.wait(self.handle.replace_rejected(rejected))
    }

    /// Calls [`crate::ProviderHandle::replace_rejected_with`].
    pub fn replace_rejected_with(&self, request: &TokenRequest, rejected: Option<&Secret>) -> Result<Token> {
        self.runtime.wait(self.handle.replace_rejected_with(request, rejected))
    }

    /// Calls [`crate::ProviderHandle::login`].
    pub fn login(&self, prompt: &Arc<dyn Prompt>) -> Result<LoggedIn> {
        self.runtime.wait(self.handle.login(prompt))
    }

    /// Calls [`crate::ProviderHandle::login_with`].
    pub fn login_with(&self, login: Login) -> Result<LoggedIn> {
        self.runtime.wait(self.handle.login_with(login))
    }

    /// Calls [`crate::ProviderHandle::logout`].
    pub fn logout(&self) -> Result<LoggedOut> {
        self.runtime.wait(self.handle.logout())
    }

    /// Calls [`crate::ProviderHandle::logout_locally`].
    pub fn logout_locally(&self) -> Result<LoggedOut> {
        self.runtime.wait(self.handle.logout_locally())
    }

    /// Calls [`crate::ProviderHandle::status`]. Works inside an async runtime too.
    pub fn status(&self) -> Result<Status> {
        self.handle.status()
    }
}

impl CallersRuntime {
    fn wait<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        match &self.0 {
            // A runtime's thread that waits here would stop all its tasks.
            _ if Handle::try_current().is_ok() => {
                let message = "blocking calls do not work inside an async runtime";
                Err(Error::usage(message).with_hint("use `earthbroker::Broker` and await its calls"))
            }
            Some(runtime) => runtime.block_on(call),
            None => Err(Error::failed("the runtime of the calls has ended")),
        }
    }
}

impl Drop for CallersRuntime {
    fn drop(&mut self) {
        // Unlike the runtime's own `drop`, this does not panic inside an async runtime.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
