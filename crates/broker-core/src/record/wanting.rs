//! What a person has to do before a provider can go on, as its record tells.

use super::Record;
use crate::{Error, Hint, TokenRequest};

impl Record {
    /// Why a person is needed, where there is no grant to use: an [`crate::ErrorKind::LoginRequired`] error.
    #[must_use]
    pub fn login_missing(&self) -> Error {
        Error::login_required(match self.grant() {
            Some(_) => "the login is over: the service no longer accepts its refresh token",
            None => "there is no login",
        })
    }

    /// An error if the service is known to have refused the password of this [`crate::fingerprint`], and nobody forces it:
    /// wrong passwords lock accounts.
    pub fn check_password(&self, secret_fingerprint: &str, request: &TokenRequest) -> crate::Result<()> {
        let mut failures = self.held.failures.values();
        if request.is_forced()
            || !failures.any(|failure| failure.secret_fingerprint.as_deref() == Some(secret_fingerprint))
        {
            return Ok(());
        }

        Err(Error::refused("the service has refused this password before: it is not tried again by itself")
            .with_secret_fingerprint(secret_fingerprint.to_owned())
            .with_hint(Hint::CorrectPassword))
    }
}
