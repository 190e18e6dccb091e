//! A generic fake token service: password and client credentials grants, refresh, revocation, and a data endpoint.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::http::{Reply, Seen, put};
use super::server::{Fake, Route, Server, Service};
use super::time::{Now, system_clock};
use super::tokens::{ExpiresIn, Issuer, RefreshTokens, Rotation, opaque};

/// Configures the fake [`TokenService`].
#[derive(Clone)]
pub struct TokenServiceOptions {
    /// The account's user name for the password grant (RFC 6749 section 4.3).
    pub username: String,
    /// The account's password.
    pub password: String,
    /// The client id for the client credentials grant (RFC 6749 section 4.4).
    pub client_id: String,
    /// The client secret, which the service accepts by HTTP Basic or in the body.
    pub client_secret: String,
    /// Whether the response to a refresh request contains the same, a new, or no refresh token (RFC 6749 section 6).
    pub rotation: Rotation,
    /// Lifetime of an access token in seconds.
    pub life: u64,
    /// The clock that the service reads.
    pub now: Now,
}

impl Default for TokenServiceOptions {
    fn default() -> Self {
        Self {
            username: "ada".to_owned(),
            password: "standin-password".to_owned(),
            client_id: "standin-client".to_owned(),
            client_secret: "standin-secret".to_owned(),
            rotation: Rotation::Keep,
            life: 3600,
            now: system_clock(),
        }
    }
}

/// A running fake token service. Its routes are `token` (form or JSON), `revoke` and `data`.
pub type TokenService = Fake<State>;

impl TokenService {
    /// Starts the service.
    #[must_use]
    pub fn start(options: TokenServiceOptions) -> Self {
        Server::start(options.now.clone(), |issuer| State {
            refresh_tokens: RefreshTokens::new(options.rotation, 0),
            options,
            issuer,
            logins: 0,
        })
    }

    /// Counts the successful password logins.
    pub fn logins(&self) -> usize {
        self.state().logins
    }

    /// Counts the successful refreshes.
    pub fn refreshes(&self) -> usize {
        self.state().refresh_tokens.refreshes
    }

    /// Revokes all refresh tokens issued so far, as an administrator would.
    pub fn revoke_refresh_tokens(&self) {
        self.state().refresh_tokens.revoke_all();
    }
}

/// The state of the token service.
pub struct State {
    options: TokenServiceOptions,
    issuer: Issuer,
    refresh_tokens: RefreshTokens,
    logins: usize,
}

type Fields = BTreeMap<String, String>;

impl Service for State {
    const ROUTES: &'static [Route] =
        &[("token", "POST", "/token"), ("revoke", "POST", "/revoke"), ("data", "GET", "/data")];

    fn answer(&mut self, call: &Seen) -> Result<Reply, Reply> {
        match call.route.as_str() {
            "token" => self.token(call),
            "revoke" => {
                self.refresh_tokens.revoke(field(&fields(call), "token"));
                Ok(Reply::empty(200))
            }
            _ if self.is_authorized(call) => Ok(Reply::json(200, &json!({"data": "fake server"}))),
            _ => Err(refused(401, "invalid_token")),
        }
    }

    fn issuer(&self) -> &Issuer {
        &self.issuer
    }
}

impl State {
    fn token(&mut self, call: &Seen) -> Result<Reply, Reply> {
        let form = fields(call);
        let scope = field(&form, "scope");
        let refresh_token = match field(&form, "grant_type") {
            "password" => Some(self.log_in(&form, scope)?),
            "refresh_token" => self.refresh(field(&form, "refresh_token"))?,
            "client_credentials" => {
                let in_body =
                    || (field(&form, "client_id").to_owned(), field(&form, "client_secret").to_owned());
                let (id, secret) = call.basic().unwrap_or_else(in_body);
                if id != self.options.client_id || secret != self.options.client_secret {
                    return Err(refused(401, "invalid_client"));
                }
                None
            }
            _ => return Err(refused(400, "unsupported_grant_type")),
        };
        let token = opaque("at.");
        self.issuer.add(&token, self.issuer.clock.after(self.options.life));
        let mut answer = ExpiresIn::Number.answer(&token, self.options.life);
        put(&mut answer, "refresh_token", refresh_token);
        put(&mut answer, "scope", Some(scope).filter(|scope| !scope.is_empty()));
        Ok(Reply::json(200, &answer))
    }

    fn log_in(&mut self, form: &Fields, scope: &str) -> Result<String, Reply> {
        let TokenServiceOptions { username, password, .. } = &self.options;
        if field(form, "username") != username || field(form, "password") != password {
            return Err(refused(400, "invalid_grant"));
        }
        self.logins += 1;
        Ok(self.refresh_tokens.issue(scope))
    }

    fn refresh(&mut self, token: &str) -> Result<Option<String>, Reply> {
        if self.refresh_tokens.peek(token).is_none() {
            self.refresh_tokens.refuse(token);
            return Err(refused(400, "invalid_grant"));
        }
        Ok(self.refresh_tokens.renew(token))
    }
}

/// Returns the fields of a form or JSON body.
fn fields(call: &Seen) -> Fields {
    if call.header("content-type").is_some_and(|kind| kind.contains("json")) {
        let body: Value = serde_json::from_str(&call.body).unwrap_or_default();
        let texts = body.as_object().into_iter().flatten();
        return texts.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect();
    }
    call.form()
}

fn field<'a>(form: &'a Fields, name: &str) -> &'a str {
    form.get(name).map_or("", String::as_str)
}

fn refused(status: u16, code: &str) -> Reply {
    Reply::oauth_error(status, code, "refused by the fake server")
}
