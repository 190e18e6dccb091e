//! Refusals of a token endpoint: whether the client was refused, and the hint for the user.

use broker_core::{Error, ErrorCode, HttpResponse, Problem, Refusal, Repeat, ServiceUrl, read_object};

use super::TokenEndpoint;
use crate::ClientAuth;

impl TokenEndpoint<'_> {
    /// Converts a refused or failed request to an error. The hint names the configuration key to check.
    pub(crate) fn error(&self, problem: Problem, what: &str) -> Error {
        let Problem::Refused(refusal) = problem else { return problem.error(what) };
        if has_bad_credentials(&refusal) {
            let error = Error::new(ErrorCode::ClientRefused, format!("{what}: {}", refusal.words));
            return error.with_hint(self.client.hint());
        }
        let error = refusal.error(what);
        match self.hint(&refusal) {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    /// Returns the hint for an error code (RFC 6749 section 5.2, RFC 8707 section 2).
    fn hint(&self, refusal: &Refusal) -> Option<String> {
        let code = refusal.code.as_deref()?;
        let key = match (code, self.client) {
            (
                "invalid_client"
                | "invalid_client_assertion"
                | "invalid_request"
                | "invalid_grant"
                | "access_denied",
                ClientAuth::Key(_, key),
            ) if names_audience(&refusal.words) => {
                return Some(format!(
                    "set `assertion_audience` (now \"{}\") to \"issuer\", \"token_url\", \"endpoint\" or the URL that \
                     the service expects",
                    key.audience()
                ));
            }
            // Keycloak sends `unauthorized_client` for a wrong client secret.
            ("invalid_client" | "invalid_client_assertion" | "unauthorized_client", _)
                if code != "unauthorized_client" || refusal.status == 401 =>
            {
                return Some(self.client.hint());
            }
            ("unauthorized_client", _) => "this client may not use this `flow`: check `client_id` and `flow`",
            ("invalid_scope", _) => {
                "check the requested scope and `scope` of this provider; a login has only the scopes that it started with"
            }
            ("invalid_target", _) => "check `audience` and `resource` of this provider",
            ("unsupported_grant_type", _) => "the service does not support this `flow`: set another `flow`",
            _ => return None,
        };
        Some(key.to_owned())
    }
}

/// Whether a service's explanation is about the `aud` claim of an assertion.
fn names_audience(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    words.split(|c: char| !c.is_alphanumeric()).any(|word| word == "aud" || word.starts_with("audience"))
}

/// Whether the service did not authenticate the client. A request that spends nothing may have any 401 response.
pub(crate) fn refuses_client(
    response: &HttpResponse,
    from: &ServiceUrl,
    repeat: Repeat,
    is_password: bool,
) -> bool {
    if response.status == 401 && repeat == Repeat::Safe {
        return true;
    }
    let Err(Problem::Refused(refusal)) = read_object(response, from, &[]) else { return false };
    // Keycloak sends `unauthorized_client` for a wrong client secret.
    refusal.is("invalid_client")
        || (response.status == 401 && refusal.is("unauthorized_client"))
        || (!is_password && has_bad_credentials(&refusal))
}

/// Whether Cloud Foundry's UAA did not authenticate the client (cloudfoundry/cf-k8s-networking#26). With the password grant,
/// the same answer may concern the password.
pub(super) fn has_bad_credentials(refusal: &Refusal) -> bool {
    let words = refusal.words.to_ascii_lowercase();
    refusal.status == 401 && refusal.is("unauthorized") && words.contains("bad credentials")
}
