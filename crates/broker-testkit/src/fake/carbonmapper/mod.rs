//! A fake Carbon Mapper server: password login, refresh, and scoped tokens.

mod account;
mod login;

use account::Account;
use login::{Kind, Logins};
use serde_json::json;

use super::http::{Reply, Seen};
use super::server::{Fake, Route, Server, Service};
use super::time::{Now, system_clock};

/// Configures the Carbon Mapper fake server.
#[derive(Clone)]
pub struct CarbonMapperOptions {
    /// The account's password.
    pub password: String,
    /// Whether a refresh invalidates the old refresh token.
    pub rotate_refresh: bool,
    /// Whether the response to a refresh request contains a refresh token.
    pub return_refresh_on_refresh: bool,
    /// Whether scoped tokens are JWTs with `exp`, or opaque.
    pub scoped_is_jwt: bool,
    /// The clock that the fake server reads.
    pub now: Now,
}

impl Default for CarbonMapperOptions {
    fn default() -> Self {
        Self {
            password: "standin-password".to_owned(),
            rotate_refresh: false,
            return_refresh_on_refresh: true,
            scoped_is_jwt: false,
            now: system_clock(),
        }
    }
}

/// A running Carbon Mapper fake server.
/// Its routes are `pair` (login), `refresh`, `create-stac`, `stac`, `list` and `delete`.
pub type CarbonMapper = Fake<State>;

impl CarbonMapper {
    /// Starts the server.
    #[must_use]
    pub fn start(options: CarbonMapperOptions) -> Self {
        Server::start(options.now.clone(), |_, clock| State {
            options,
            logins: Logins::new(clock.clone()),
            account: Account::new(clock),
        })
    }

    /// Returns the API's base URL, which ends in `/api/v1/`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("{}/api/v1/", self.url())
    }

    /// Returns the name and expiration date of all scoped tokens in order, including deleted ones.
    #[must_use]
    pub fn minted(&self) -> Vec<(String, String)> {
        self.state().account.minted()
    }

    /// Counts the scoped tokens created so far, including deleted ones.
    #[must_use]
    pub fn mints(&self) -> usize {
        self.minted().len()
    }

    /// Counts the successful logins.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.state().logins.pairs
    }

    /// Counts the successful refreshes.
    #[must_use]
    pub fn refreshes(&self) -> usize {
        self.state().logins.refreshes
    }

    /// Changes the account's password. Issued tokens stay valid.
    pub fn set_password(&self, password: &str) {
        password.clone_into(&mut self.state().options.password);
    }

    /// Revokes all refresh tokens issued so far.
    pub fn revoke_refresh_tokens(&self) {
        self.state().logins.revoke(Kind::Refresh);
    }

    /// Revokes all access tokens issued so far. Scoped tokens stay valid.
    pub fn revoke_access_tokens(&self) {
        self.state().logins.revoke(Kind::Access);
    }

    /// Returns whether the STAC endpoint accepts this access token or scoped token now.
    #[must_use]
    pub fn access_is_live(&self, token: &str) -> bool {
        self.state().may_read(token)
    }
}

/// The state of the Carbon Mapper fake server.
pub struct State {
    options: CarbonMapperOptions,
    logins: Logins,
    account: Account,
}

impl Service for State {
    const ROUTES: &'static [Route] = &[
        Route::new("pair", "POST", "/api/v1/token/pair"),
        Route::new("refresh", "POST", "/api/v1/token/refresh"),
        Route::new("create-stac", "POST", "/api/v1/account/tokens/create-stac"),
        Route::new("list", "GET", "/api/v1/account/tokens"),
        Route::new("delete", "DELETE", "/api/v1/account/tokens/{id}"),
        Route::new("stac", "GET", "/api/v1/stac/*"),
    ];

    fn answer(&mut self, call: &Seen) -> Reply {
        let Self { options, logins, account } = self;
        let answer = match call.route.as_str() {
            "pair" => logins.pair(options, call),
            "refresh" => logins.refresh(options, call),
            "stac" => return self.stac(call),
            _ => logged_in(logins, call).and_then(|()| match call.route.as_str() {
                "create-stac" => account.create(options, call),
                "list" => Ok(account.list()),
                _ => Ok(account.delete(call.last_segment())),
            }),
        };
        answer.unwrap_or_else(|refusal| refusal)
    }
}

impl State {
    fn stac(&self, call: &Seen) -> Reply {
        match call.bearer() {
            Some(token) if self.may_read(token) => {
                let root = json!({"type": "ProviderRegistry", "id": "carbonmapper",
                    "stac_version": "1.0.0", "description": "fake server", "links": []});
                Reply::json(200, &root)
            }
            Some(_) => bad_bearer(),
            None => no_bearer(),
        }
    }

    fn may_read(&self, token: &str) -> bool {
        self.logins.is_live(token, Kind::Access) || self.account.is_live(token)
    }
}

/// Checks that the bearer token is an access token: scoped tokens cannot create, list or delete tokens.
fn logged_in(logins: &Logins, call: &Seen) -> Result<(), Reply> {
    match call.bearer() {
        Some(token) if logins.is_live(token, Kind::Access) => Ok(()),
        Some(_) => Err(bad_bearer()),
        None => Err(no_bearer()),
    }
}

fn no_bearer() -> Reply {
    Reply::json(401, &json!({"detail": "Unauthorized"}))
}

fn bad_bearer() -> Reply {
    let message = json!({"token_class": "AccessToken", "token_type": "access",
        "message": "Token is invalid or expired"});
    let body = json!({"detail": "Given token not valid for any token type",
        "code": "token_not_valid", "messages": [message]});
    Reply::json(401, &body)
}
