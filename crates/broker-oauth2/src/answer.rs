//! The response of a token endpoint (RFC 6749 section 5.1).

use std::sync::LazyLock;

use broker_core::{
    Claims, Expiry, HttpResponse, Operation, Problem, Record, RecordUpdate, ScopeKey, Secret, Token,
    read_object, repeats_secret, text_at, value_at, without_token,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::TokenEndpoint;

/// The paths of the fields in a token response, such as `data.token`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AnswerFields {
    access_token: String,
    pub(crate) refresh_token: String,
    expires_in: String,
    token_type: String,
    scope: String,
    id_token: String,
}

/// The field names of RFC 6749 section 5.1, and `id_token` (OpenID Connect Core section 3.1.3.3).
const STANDARD: [&str; 6] =
    ["access_token", "refresh_token", "expires_in", "token_type", "scope", "id_token"];

/// The fields of services that follow RFC 6749.
pub(crate) static STANDARD_FIELDS: LazyLock<AnswerFields> = LazyLock::new(AnswerFields::default);

impl Default for AnswerFields {
    fn default() -> Self {
        let [access_token, refresh_token, expires_in, token_type, scope, id_token] =
            STANDARD.map(str::to_owned);
        Self { access_token, refresh_token, expires_in, token_type, scope, id_token }
    }
}

impl AnswerFields {
    /// Returns the name of the first field whose configured path is empty. An empty path is invalid.
    pub(crate) fn empty(&self) -> Option<&'static str> {
        let Self { access_token, refresh_token, expires_in, token_type, scope, id_token } = self;
        let paths = [access_token, refresh_token, expires_in, token_type, scope, id_token];
        STANDARD.into_iter().zip(paths).find(|(_, path)| path.trim().is_empty()).map(|(field, _)| field)
    }

    /// Returns the expiries at the configured path, or in the usual fields.
    fn expiry(&self, answer: &Value, response: &HttpResponse) -> Vec<Expiry> {
        if self.expires_in == STANDARD[2] {
            return Expiry::beside(&self.access_token, answer, response.sent_at);
        }
        let value = value_at(answer, &self.expires_in);
        value.and_then(|value| Expiry::read(&self.expires_in, value, response.sent_at)).into_iter().collect()
    }
}

/// The tokens in a response of a token endpoint.
#[derive(Debug)]
#[non_exhaustive]
pub struct TokenAnswer {
    /// The access token; `None` if the response is malformed, so that only its refresh token is saved.
    pub token: Option<Token>,
    /// The new refresh token, if the response contains one (RFC 6749 section 6).
    pub refresh_token: Option<Secret>,
    /// The ID token, if the response contains one (OpenID Connect Core section 3.1.3.3).
    pub id_token: Option<Secret>,
    /// The account name in the ID token or access token, for display.
    pub account: Option<String>,
    /// When the request was sent.
    pub sent_at: DateTime<Utc>,
}

impl TokenEndpoint<'_> {
    /// Reads a token response. The expiry may have any format and any usual name: see [`Expiry::read`]. `is_login` tells
    /// whether a user logged in. Errors withhold texts that repeat the client secret or the secrets in `sent`.
    pub(crate) fn read(
        &self,
        response: &HttpResponse,
        sent: &[&Secret],
        is_login: bool,
    ) -> Result<TokenAnswer, Problem> {
        let (from, fields, secrets) = (&self.url, self.fields, &*self.secrets(sent));
        let answer = Value::Object(read_object(response, from, secrets)?);
        let secret = |path: &str| text_at(&answer, path).map(Secret::new);
        let access_token = secret(&fields.access_token).map(Token::bare);
        let Some(access_token) = access_token.filter(|token| !token.expose().is_empty()) else {
            let message = match fields.access_token.as_str() {
                "access_token" => format!("the response of {from} has no access token"),
                path => format!("the response of {from} has no token at `{path}` (`fields.access_token`)"),
            };
            let object = answer.as_object().cloned().unwrap_or_default();
            return Err(without_token(response, &object, message, secrets));
        };
        let (refresh_token, id_token) = (secret(&fields.refresh_token), secret(&fields.id_token));
        let lasts = is_login && self.is_life_assumed && refresh_token.is_none();
        let lifetime = (!lasts).then_some(self.default_life);
        let own: Vec<_> = [Some(&access_token), refresh_token.as_ref()].into_iter().flatten().collect();
        let account = account(&access_token, id_token.as_ref())
            .filter(|name| !repeats_secret(name, &[secrets, &own].concat()));
        // These texts are shown, so they must not repeat a secret of the request.
        let shown = |path: &str| text_at(&answer, path).filter(|text| !repeats_secret(text, secrets));
        let token = Token::from_response(response, access_token, fields.expiry(&answer, response), lifetime)
            .with_type(shown(&fields.token_type).unwrap_or("Bearer"))
            .with_scope(shown(&fields.scope).map(str::to_owned));
        let sent_at = response.sent_at;
        Ok(TokenAnswer { token: Some(token), refresh_token, id_token, account, sent_at })
    }
}

impl TokenAnswer {
    /// Changes the access token, if there is one.
    #[must_use]
    pub fn map_token(self, change: impl FnOnce(Token) -> Token) -> Self {
        Self { token: self.token.map(change), ..self }
    }

    /// Returns the record update that stores the access token for `scopes`, and the new refresh token.
    pub fn into_update(self, scopes: &ScopeKey) -> RecordUpdate {
        let update = RecordUpdate::default().and_token(scopes, self.token).and_id_token(self.id_token);
        update.and_grant(self.refresh_token, self.sent_at).and_account(self.account)
    }

    /// Like [`TokenAnswer::into_update`], for the response to a refresh request. An access token may not name the user, so
    /// it does not replace a known account name.
    pub fn into_renewal(self, record: &Record, scopes: &ScopeKey) -> RecordUpdate {
        let is_known = self.id_token.is_some() || record.account().is_none();
        Self { account: self.account.filter(|_| is_known), ..self }.into_update(scopes)
    }

    /// Returns the record update that stores a user's login. Tells the user if the login cannot be refreshed.
    pub fn into_login(self, operation: &Operation) -> RecordUpdate {
        if let (Some(token), None) = (&self.token, &self.refresh_token) {
            operation.notify_after_save(match token.expires_at() {
                Some(_) => "the service issued no refresh token, so this login ends when its token expires (is `offline_access` in `scope`?)".to_owned(),
                None => "the service issued no refresh token and no expiry, so this login lasts until the service rejects its token".to_owned(),
            });
        }
        self.into_update(&ScopeKey::default())
    }
}

/// Returns the account name in the claims of the ID token, or of an access token that is a JWT.
pub fn account(access_token: &Secret, id_token: Option<&Secret>) -> Option<String> {
    let id = id_token.and_then(Claims::read);
    let access = Claims::read(access_token);
    let claim = |name: &str| [&id, &access].into_iter().flatten().find_map(|claims| claims.text(name));
    ["email", "preferred_username", "name", "sub"].into_iter().find_map(claim).map(str::to_owned)
}
