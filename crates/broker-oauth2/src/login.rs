//! A person's login, however it is had: what it changes in a record, and how it goes on.

use broker_core::{Claims, Context, Error, Record, RecordUpdate, Result, ScopeKey, Secret, Token};

use crate::{Approved, Refreshed, TokenAnswer, TokenEndpoint};

/// A person's login at a token endpoint.
#[derive(Clone, Copy)]
pub struct UserLogin<'a> {
    /// Where it is renewed, and who asks.
    pub token: TokenEndpoint<'a>,
    /// Extra fields of each refresh.
    pub fields: &'a [(&'a str, &'a str)],
    /// The finishing touch to a token for these scopes.
    pub finish: &'a (dyn Fn(Token, &ScopeKey) -> Token + Send + Sync),
}

impl UserLogin<'_> {
    /// What an approval changes in an empty record.
    pub fn approved(&self, context: &Context, approved: Approved) -> RecordUpdate {
        let answer = match approved {
            Approved::Granted(answer) => answer,
            // The first call for a token gets the rest.
            Approved::OnlyRefreshToken(refresh_token, at) => return RecordUpdate::grant(refresh_token, at),
        };
        if answer.refresh_token.is_none() {
            context.notify_after_save("the service gave no refresh token: this login ends with its first token (is `offline_access` in `scope`?)".to_owned());
        }
        let account = account_of(&answer);
        self.change(*answer, &ScopeKey::default()).and_account(account)
    }

    /// The next token for these scopes, with the refresh token of the record. What is asked for with a `scope` of its
    /// own is among `fields`.
    pub async fn refresh(
        &self,
        context: &Context,
        record: &Record,
        refresh_token: &Secret,
        scopes: &ScopeKey,
    ) -> Result<RecordUpdate> {
        Ok(match self.token.refresh(context, refresh_token, self.fields).await? {
            Refreshed::Granted(answer) => {
                // Only an ID token names the person; without one, who it is stays as it was told at the login.
                let told = answer.id_token.is_some() || record.account().is_none();
                let account = account_of(&answer).filter(|_| told);
                self.change(*answer, scopes).and_account(account)
            }
            // The broker saves it and asks again.
            Refreshed::OnlyRotated(rotated, at) => RecordUpdate::grant(rotated, at),
            Refreshed::Refused => RecordUpdate::grant_refused(),
        })
    }

    /// Begins with a refresh token from another host. It is used once, so that a wrong one never replaces a login that
    /// works.
    pub async fn begin_with(&self, context: &Context, refresh_token: &Secret) -> Result<RecordUpdate> {
        let refreshed = self.token.refresh(context, refresh_token, self.fields).await.map_err(|error| {
            let spent = "the refresh token may be spent by now: try it once more, and get another where it is from if it is refused";
            if error.is_transient() { error.with_hint(spent) } else { error }
        });
        match refreshed? {
            Refreshed::Granted(answer) => {
                let (account, at) = (account_of(&answer), answer.token.issued_at());
                let kept = answer.refresh_token.clone().unwrap_or_else(|| refresh_token.clone());
                Ok(self.change(*answer, &ScopeKey::default()).and_grant(kept, at).and_account(account))
            }
            Refreshed::OnlyRotated(rotated, at) => Ok(RecordUpdate::grant(rotated, at)),
            Refreshed::Refused => Err(Error::refused("the service does not accept this refresh token")),
        }
    }

    fn change(&self, mut answer: TokenAnswer, scopes: &ScopeKey) -> RecordUpdate {
        answer.token = (self.finish)(answer.token, scopes);
        answer.change(scopes)
    }
}

fn account_of(answer: &TokenAnswer) -> Option<String> {
    account(answer.token.secret(), answer.id_token.as_ref())
}

/// Who it is, as far as the tokens say: of the ID token first, then of an access token that is a JWT.
#[must_use]
pub fn account(access_token: &Secret, id_token: Option<&Secret>) -> Option<String> {
    let id = id_token.and_then(Claims::read);
    let access = Claims::read(access_token);
    let claim = |name: &str| [&id, &access].into_iter().flatten().find_map(|claims| claims.text(name));
    ["email", "preferred_username", "name", "sub"].into_iter().find_map(claim).map(str::to_owned)
}
