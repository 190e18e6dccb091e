//! Client authentication (RFC 6749 section 2.3, RFC 7523 section 2.2).

use broker_core::Secret;

use crate::{BasicSpelling, ClientKey};

/// The client ID and how the client authenticates.
#[derive(Debug, Clone, Copy)]
pub enum ClientAuth<'a> {
    /// A public client, which sends only `client_id`. An empty `client_id` is not sent.
    Public(&'a str),
    /// `client_id` and `client_secret` in an HTTP Basic header (RFC 6749 section 2.3.1), in the spelling that the
    /// service accepts.
    Basic(&'a str, &'a Secret, &'a BasicSpelling),
    /// `client_id` and `client_secret` in the request body (RFC 6749 section 2.3.1).
    Body(&'a str, &'a Secret),
    /// `client_id` and a signed assertion (`private_key_jwt`, RFC 7523 section 2.2).
    Key(&'a str, &'a ClientKey),
}

impl<'a> ClientAuth<'a> {
    /// Returns the `client_id`.
    #[must_use]
    pub fn id(&self) -> &'a str {
        match self {
            Self::Public(id) | Self::Basic(id, ..) | Self::Body(id, _) | Self::Key(id, _) => id,
        }
    }

    /// Returns the client secret, if the client sends one.
    pub(crate) fn secret(&self) -> Option<&'a Secret> {
        match self {
            Self::Basic(_, secret, _) | Self::Body(_, secret) => Some(secret),
            Self::Public(_) | Self::Key(..) => None,
        }
    }

    /// Returns the form fields that authenticate the client.
    pub(crate) fn fields<'f>(&self, assertion: Option<&'f Secret>) -> Vec<(&'f str, &'f str)>
    where
        'a: 'f,
    {
        match (*self, assertion) {
            (Self::Public("") | Self::Basic(..), _) => Vec::new(),
            (Self::Body(id, secret), _) => vec![("client_id", id), ("client_secret", secret.expose())],
            (Self::Key(id, _), Some(assertion)) => vec![
                ("client_id", id),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", assertion.expose()),
            ],
            (Self::Public(id) | Self::Key(id, _), _) => vec![("client_id", id)],
        }
    }

    /// Returns the hint for a refused client, which names the configuration keys to check.
    pub(crate) fn keys(&self) -> &'static str {
        match self {
            Self::Public(_) => "check `client_id`; a client with a secret needs `client_secret`",
            Self::Basic(id, secret, _) if BasicSpelling::varies(id, secret) => {
                "check `client_id` and `client_secret`, which were sent form-encoded and as they are; if both are \
                 correct, set `client_auth = \"body\"`"
            }
            Self::Basic(..) => "check `client_id`, `client_secret` and `client_auth` (now \"basic\")",
            Self::Body(..) => "check `client_id`, `client_secret` and `client_auth` (now \"body\")",
            Self::Key(..) => {
                "check `client_id`, `private_key`, `key_id`, `algorithm` and `assertion_audience`"
            }
        }
    }
}
