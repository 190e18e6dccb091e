//! The record updates after a user's login and after each refresh of its tokens.

use broker_core::{
    Claims, Error, ErrorCode, Operation, Record, RecordUpdate, Result, ScopeKey, Secret, Token,
    repeats_secret,
};

use crate::{TokenAnswer, TokenEndpoint};

/// The login of a user, with the token endpoint that refreshes the tokens.
#[derive(Clone, Copy)]
pub struct UserLogin<'a> {
    /// The token endpoint, and the client that refreshes the tokens.
    pub token: TokenEndpoint<'a>,
    /// Extra fields of each refresh request.
    pub fields: &'a [(&'a str, &'a str)],
    /// Adds provider-specific details to a new token. The `ScopeKey` contains the token's scopes.
    pub finish: &'a (dyn Fn(Token, &ScopeKey) -> Token + Send + Sync),
}

impl UserLogin<'_> {
    /// Returns the record update that stores a new login.
    pub fn approved(&self, operation: &Operation, answer: TokenAnswer) -> RecordUpdate {
        if let (Some(token), None) = (&answer.token, &answer.refresh_token) {
            operation.notify_after_save(match token.expires_at() {
                Some(_) => "the service issued no refresh token, so this login ends when its token expires (is `offline_access` in `scope`?)".to_owned(),
                None => "the service issued no refresh token and no expiry, so this login lasts until the service rejects its token".to_owned(),
            });
        }
        let account = account_of(&answer, &self.token, None);
        self.update(answer, &ScopeKey::default()).and_account(account)
    }

    /// Gets a token for `scopes` with the record's refresh token. `self.fields` must already contain these scopes.
    pub async fn refresh(
        &self,
        operation: &Operation,
        record: &Record,
        refresh_token: &Secret,
        scopes: &ScopeKey,
    ) -> Result<RecordUpdate> {
        let Some(answer) = self.token.refresh(operation, refresh_token, self.fields).await? else {
            return Ok(RecordUpdate::grant_refused());
        };
        // An access token may not name the user, so it does not replace a known account name.
        let is_known = answer.id_token.is_some() || record.account().is_none();
        let account = account_of(&answer, &self.token, Some(refresh_token)).filter(|_| is_known);
        Ok(self.update(answer, scopes).and_account(account))
    }

    /// Logs in with a refresh token that another program got. Refreshes once, so an invalid refresh token does not
    /// replace a valid login.
    pub async fn begin_with(&self, operation: &Operation, refresh_token: &Secret) -> Result<RecordUpdate> {
        let refreshed = self.token.refresh(operation, refresh_token, self.fields).await.map_err(|error| {
            let hint = "the service may have replaced the refresh token: try this token once more; if the service refuses it, get a new one from the host or program that you copied it from";
            let may_have_arrived = operation.lost_response() || error.code() == ErrorCode::BadResponse;
            if error.is_transient() && may_have_arrived { error.with_hint(hint) } else { error }
        });
        let mut answer = refreshed?.ok_or_else(|| {
            Error::refused("the service refused this refresh token")
                .with_hint("get a new refresh token from the host or program that you copied this one from")
        })?;
        let account = account_of(&answer, &self.token, Some(refresh_token));
        answer.refresh_token.get_or_insert_with(|| refresh_token.clone());
        Ok(self.update(answer, &ScopeKey::default()).and_account(account))
    }

    fn update(&self, answer: TokenAnswer, scopes: &ScopeKey) -> RecordUpdate {
        answer.map_token(|token| (self.finish)(token, scopes)).into_update(scopes)
    }
}

/// Returns the account's name, which is shown, unless it repeats a secret of the exchange.
pub(crate) fn account_of(
    answer: &TokenAnswer,
    token: &TokenEndpoint<'_>,
    sent: Option<&Secret>,
) -> Option<String> {
    let access_token = answer.token.as_ref()?.secret();
    let secrets = [Some(access_token), answer.refresh_token.as_ref(), sent, token.client.secret()];
    let secrets: Vec<_> = secrets.into_iter().flatten().collect();
    account(access_token, answer.id_token.as_ref()).filter(|name| !repeats_secret(name, &secrets))
}

/// Returns the account name in the claims of the ID token, or of an access token that is a JWT.
#[must_use]
pub fn account(access_token: &Secret, id_token: Option<&Secret>) -> Option<String> {
    let id = id_token.and_then(Claims::read);
    let access = Claims::read(access_token);
    let claim = |name: &str| [&id, &access].into_iter().flatten().find_map(|claims| claims.text(name));
    ["email", "preferred_username", "name", "sub"].into_iter().find_map(claim).map(str::to_owned)
}
