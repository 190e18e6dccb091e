//! The stable codes of errors, each with its kind.

use serde::{Deserialize, Serialize};

use crate::ErrorKind;

/// Defines the codes once: the variant, its name for programs, and its kind.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident, $name:literal, $kind:ident;)+) => {
        /// What went wrong, for programs. The list is closed, and a code never changes its meaning or its kind.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $variant,)+
        }

        impl ErrorCode {
            /// All codes, ordered by kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name that programs compare: `login_required`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What the caller can do about errors with this code.
            #[must_use]
            pub fn kind(self) -> ErrorKind {
                match self { $(Self::$variant => ErrorKind::$kind,)+ }
            }
        }
    };
}

codes! {
    /// The request or the arguments are wrong.
    UsageInvalid, "usage_invalid", Usage;
    /// No provider of this name is configured.
    ProviderUnknown, "provider_unknown", Usage;
    /// The provider does not have this scope, or its scopes cannot be chosen.
    ScopeUnsupported, "scope_unsupported", Usage;
    /// The provider cannot do this: AWS keys, a cookie, a lifetime, a name, introspection.
    RequestUnsupported, "request_unsupported", Usage;
    /// The provider does not support this way to log in.
    LoginUnsupported, "login_unsupported", Usage;
    /// No login is stored, or it has expired.
    LoginRequired, "login_required", LoginRequired;
    /// The service refused the stored refresh token (`invalid_grant`).
    GrantRefused, "grant_refused", LoginRequired;
    /// A question has to be answered, and no terminal is attached.
    PromptUnavailable, "prompt_unavailable", LoginRequired;
    /// The user did not finish the login in time.
    LoginTimeout, "login_timeout", LoginRequired;
    /// The service cannot serve the request now, or says so.
    ServiceUnavailable, "service_unavailable", Unavailable;
    /// No connection to the service could be made.
    NetworkUnreachable, "network_unreachable", Unavailable;
    /// The service's host name could not be resolved.
    NameNotFound, "name_not_found", Unavailable;
    /// The service's TLS certificate is not trusted.
    TlsUntrusted, "tls_untrusted", Unavailable;
    /// No response came in time.
    Timeout, "timeout", Unavailable;
    /// The service asked for a pause (`Retry-After`, HTTP 429).
    RateLimited, "rate_limited", Unavailable;
    /// The response is not what the protocol says.
    BadResponse, "bad_response", Unavailable;
    /// The service answered with a redirect, which is never followed.
    RedirectRefused, "redirect_refused", Unavailable;
    /// The service issues tokens that have expired already: one of the clocks is wrong.
    TokenExpired, "token_expired", Unavailable;
    /// The service rejected the token, and a new one would be no better.
    TokenRejected, "token_rejected", Unavailable;
    /// Another process holds the lock for too long.
    LockTimeout, "lock_timeout", Unavailable;
    /// A setting is wrong.
    ConfigInvalid, "config_invalid", Configuration;
    /// A configuration file cannot be read.
    ConfigUnreadable, "config_unreadable", Configuration;
    /// A configuration file is not TOML.
    ConfigSyntax, "config_syntax", Configuration;
    /// The configuration has a key that does not exist.
    ConfigUnknownKey, "config_unknown_key", Configuration;
    /// A key has a value of the wrong form.
    ConfigInvalidValue, "config_invalid_value", Configuration;
    /// A key is missing.
    ConfigMissingKey, "config_missing_key", Configuration;
    /// The `kind` of a provider does not exist.
    ConfigUnknownKind, "config_unknown_kind", Configuration;
    /// A provider has no secret.
    SecretMissing, "secret_missing", Configuration;
    /// A secret's environment variable, file or command cannot be read.
    SecretUnreadable, "secret_unreadable", Configuration;
    /// The proxy setting cannot be used.
    ProxyInvalid, "proxy_invalid", Configuration;
    /// The token may not be sent to this host.
    HostNotAllowed, "host_not_allowed", Configuration;
    /// A program that the configuration names cannot be started.
    ProgramNotFound, "program_not_found", Configuration;
    /// A plugin or program uses another version of its protocol, or breaks its rules.
    ProtocolMismatch, "protocol_mismatch", Configuration;
    /// The service refused the request.
    RequestRefused, "request_refused", Refused;
    /// The service refused the client's id or secret (`invalid_client`).
    ClientRefused, "client_refused", Refused;
    /// The service refused the username or the password.
    PasswordRefused, "password_refused", Refused;
    /// The user, or an administrator, denied the login (`access_denied`).
    AccessDenied, "access_denied", Refused;
    /// The caller stopped waiting.
    Cancelled, "cancelled", Cancelled;
    /// Something failed that should not fail on this machine.
    Internal, "internal", Failed;
    /// A stored record or its folder cannot be read.
    StoreUnreadable, "store_unreadable", Failed;
    /// A record cannot be written.
    StoreUnwritable, "store_unwritable", Failed;
    /// A sealed record cannot be opened: its key, passphrase or keyring is missing.
    StoreSealed, "store_sealed", Failed;
    /// The OS keyring does not answer or is locked.
    KeyringUnavailable, "keyring_unavailable", Failed;
    /// A file or a stream cannot be read.
    ReadFailed, "read_failed", Failed;
    /// A file or a stream cannot be written.
    WriteFailed, "write_failed", Failed;
    /// A file, table or login exists already and is not replaced.
    AlreadyExists, "already_exists", Failed;
    /// The requested format cannot carry this token.
    FormatUnsuitable, "format_unsuitable", Failed;
    /// A program that was run failed or printed nothing usable.
    ProgramFailed, "program_failed", Failed;
}
