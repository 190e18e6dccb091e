//! The login in a login file of a service's own tools.

use crate::token::{Secret, Token};

/// The login that a login file contains.
#[derive(Debug, Clone, Default)]
pub struct FileLogin {
    /// The refresh token of the login.
    pub refresh_token: Option<Secret>,
    /// The login's access token, which answers token requests without scopes.
    pub access_token: Option<Token>,
    /// The ID token of the login (OpenID Connect Core section 2).
    pub id_token: Option<Secret>,
    /// The name of the account, if a token contains the name.
    pub account: Option<String>,
    /// Why the issuer of the login is unknown, or seems to be another one; `None` if the login file shows the configured
    /// issuer. The broker uses an unproven login only if the record contains the same login, or a token of the same
    /// issuer, client and audience.
    pub unproven: Option<String>,
    /// Whether the login is from another issuer than the configured one. A new login then renames the login file
    /// instead of overwriting it.
    pub of_another: bool,
}

impl FileLogin {
    pub(crate) fn is_empty(&self) -> bool {
        self.refresh_token.is_none() && self.access_token.is_none()
    }

    /// Whether both logins have the same tokens.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        let tokens = |login: &Self| {
            let access = login.access_token.as_ref().map(|token| token.secret().clone());
            [login.refresh_token.clone(), access, login.id_token.clone()]
        };
        tokens(self).iter().zip(&tokens(other)).all(|pair| match pair {
            (Some(ours), Some(theirs)) => ours.same_as(theirs),
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        })
    }
}
