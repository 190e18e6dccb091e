//! What a person has to do before a provider can go on, as its record tells.

use super::Record;
use crate::{Error, TokenRequest};

impl Record {
    /// Why a person is needed, where there is no grant to use: an [`crate::ErrorKind::LoginRequired`] error.
    #[must_use]
    pub fn login_missing(&self) -> Error {
        Error::login_required(match self.grant() {
            Some(_) => "the login is over: the service no longer accepts its refresh token",
            None => "there is no login",
        })
    }

    /// An error if the service is known to have refused the password of this [`crate::mark`], and nobody forces it:
    /// wrong passwords lock accounts.
    pub fn check_password(&self, secret_mark: &str, request: &TokenRequest) -> crate::Result<()> {
        let mut failures = self.held.failures.values();
        if request.is_forced() || !failures.any(|failure| failure.secret_mark.as_deref() == Some(secret_mark))
        {
            return Ok(());
        }
        let name = self.provider();
        Err(Error::refused("the service has refused this password before: it is not tried again by itself")
            .with_secret_mark(secret_mark.to_owned())
            .with_hint(format!(
                "correct the password, or try this one once more: broker login {name} (or --force)"
            )))
    }
}
