//! The stable error codes, each with its [`ErrorKind`].

use serde::{Deserialize, Serialize};

use crate::error::ErrorKind;

/// Defines each error code once: its variant, name and [`ErrorKind`].
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident, $name:literal, $kind:ident;)+) => {
        /// What failed, as a code that programs compare. The meaning and the kind of a code never change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $variant,)+
        }

        impl ErrorCode {
            /// All error codes, ordered by their [`ErrorKind`]. The first code of a kind is its general one.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Returns the name that programs compare, such as `login_required`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Returns the kind of errors with this code: what the caller can do about them.
            pub fn kind(self) -> ErrorKind {
                match self { $(Self::$variant => ErrorKind::$kind,)+ }
            }
        }
    };
}

codes! {
    /// The arguments of the call are wrong.
    UsageInvalid, "usage_invalid", Usage;
    /// No provider with this name is configured.
    ProviderUnknown, "provider_unknown", Usage;
    /// The provider does not have the requested scope, or does not let callers choose scopes.
    ScopeUnsupported, "scope_unsupported", Usage;
    /// The provider does not support a requested feature: AWS keys, a cookie, a lifetime, a name or introspection.
    RequestUnsupported, "request_unsupported", Usage;
    /// The provider does not support this method of login.
    LoginUnsupported, "login_unsupported", Usage;
    /// No login is stored, or the stored login has expired.
    LoginRequired, "login_required", LoginRequired;
    /// The service refused the stored refresh token (`invalid_grant`).
    GrantRefused, "grant_refused", LoginRequired;
    /// The user must answer a question, but no terminal is attached.
    PromptUnavailable, "prompt_unavailable", LoginRequired;
    /// The user did not finish the login in time.
    LoginTimeout, "login_timeout", LoginRequired;
    /// The service is temporarily unavailable (5xx, `temporarily_unavailable`).
    ServiceUnavailable, "service_unavailable", Unavailable;
    /// No connection to the service was possible.
    NetworkUnreachable, "network_unreachable", Unavailable;
    /// The service's host name could not be resolved.
    NameNotFound, "name_not_found", Unavailable;
    /// The service's TLS certificate is not trusted.
    TlsUntrusted, "tls_untrusted", Unavailable;
    /// The TLS connection failed for another reason than the certificate.
    TlsFailed, "tls_failed", Unavailable;
    /// The proxy cannot be reached, or does not connect to the service.
    ProxyFailed, "proxy_failed", Unavailable;
    /// No response came in time.
    Timeout, "timeout", Unavailable;
    /// The service asked for a pause (`Retry-After`, HTTP 429).
    RateLimited, "rate_limited", Unavailable;
    /// The response does not follow the service's protocol.
    BadResponse, "bad_response", Unavailable;
    /// The service answered with a redirect, which is never followed.
    RedirectRefused, "redirect_refused", Unavailable;
    /// A new token has expired already. The service or program returned an old token, or a clock is wrong.
    TokenExpired, "token_expired", Unavailable;
    /// The service rejected a token, and the broker got no better one: the new token is the same, or was rejected too.
    TokenRejected, "token_rejected", Unavailable;
    /// Another process has locked the record for too long, was killed during a renewal, or has replaced the login.
    LockTimeout, "lock_timeout", Unavailable;
    /// A setting has an invalid value, or settings contradict each other.
    ConfigInvalid, "config_invalid", Configuration;
    /// A configuration file cannot be read.
    ConfigUnreadable, "config_unreadable", Configuration;
    /// A configuration file is not valid TOML.
    ConfigSyntax, "config_syntax", Configuration;
    /// The configuration has an unknown key.
    ConfigUnknownKey, "config_unknown_key", Configuration;
    /// A configuration key has a value of the wrong type or form.
    ConfigInvalidValue, "config_invalid_value", Configuration;
    /// A required configuration key is missing.
    ConfigMissingKey, "config_missing_key", Configuration;
    /// A provider's `kind` is unknown.
    ConfigUnknownKind, "config_unknown_kind", Configuration;
    /// An environment variable sets a URL, and the secret, login or token for this URL is from another source.
    ConfigMixedSources, "config_mixed_sources", Configuration;
    /// The provider's required secret is not configured.
    SecretMissing, "secret_missing", Configuration;
    /// A secret's environment variable, file or command cannot be read.
    SecretUnreadable, "secret_unreadable", Configuration;
    /// The proxy setting is invalid.
    ProxyInvalid, "proxy_invalid", Configuration;
    /// The token may not be sent to this host.
    HostNotAllowed, "host_not_allowed", Configuration;
    /// A program that the configuration names cannot be started.
    ProgramNotFound, "program_not_found", Configuration;
    /// A plugin or program violates the protocol, or uses another version of the protocol.
    ProtocolMismatch, "protocol_mismatch", Configuration;
    /// The service refused the request.
    RequestRefused, "request_refused", Refused;
    /// The service refused the client ID or the client secret (`invalid_client`).
    ClientRefused, "client_refused", Refused;
    /// The service refused the username or the password.
    PasswordRefused, "password_refused", Refused;
    /// The user, or an administrator, denied the login (`access_denied`).
    AccessDenied, "access_denied", Refused;
    /// The caller stopped waiting for the operation.
    Cancelled, "cancelled", Cancelled;
    /// An unexpected failure on this machine.
    Internal, "internal", Failed;
    /// A stored record or its folder cannot be read.
    StoreUnreadable, "store_unreadable", Failed;
    /// A record cannot be written to the store.
    StoreUnwritable, "store_unwritable", Failed;
    /// An encrypted record cannot be decrypted, because its key, passphrase or keyring is missing.
    StoreSealed, "store_sealed", Failed;
    /// The OS keyring does not answer or is locked.
    KeyringUnavailable, "keyring_unavailable", Failed;
    /// A file or a stream cannot be read.
    ReadFailed, "read_failed", Failed;
    /// A file or a stream cannot be written.
    WriteFailed, "write_failed", Failed;
    /// The file, configuration table or login exists already and is not replaced.
    AlreadyExists, "already_exists", Failed;
    /// The requested output format cannot represent this token.
    FormatUnsuitable, "format_unsuitable", Failed;
    /// A configured command or program failed, or printed no usable result.
    ProgramFailed, "program_failed", Failed;
}
