//! Carbon Mapper: password login, refresh, and scoped tokens.

mod account;
mod login;

use std::ops::Deref;
use std::sync::{Arc, Mutex};

use account::Account;
use login::{Kind, Logins};
use serde_json::json;

use super::http::{Reply, Seen};
use super::locked;
use super::server::{Route, Server, Service};
use super::time::{Now, system_clock};

/// Configures the Carbon Mapper fake server.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct CarbonMapperOptions {
    /// The account's email address.
    pub email: String,
    /// The account's password.
    pub password: String,
    /// Lifetime of an access token in seconds.
    pub access_life: u64,
    /// Lifetime of a refresh token in seconds.
    pub refresh_life: u64,
    /// Whether a refresh invalidates the old refresh token.
    pub rotate_refresh: bool,
    /// Whether the response to a refresh request contains a refresh token.
    pub return_refresh_on_refresh: bool,
    /// Whether scoped tokens are JWTs with `exp`, or opaque.
    pub scoped_is_jwt: bool,
    /// Whether `expiration_date` must be tomorrow (UTC) or later, and within [`max_days`](Self::max_days).
    pub require_future_date: bool,
    /// The longest lifetime of a scoped token in days.
    pub max_days: u64,
    /// The clock that the fake server reads.
    pub now: Now,
}

impl Default for CarbonMapperOptions {
    fn default() -> Self {
        Self {
            email: "ada@example.org".to_owned(),
            password: "standin-password".to_owned(),
            access_life: 300,
            refresh_life: 86_400,
            rotate_refresh: false,
            return_refresh_on_refresh: true,
            scoped_is_jwt: false,
            require_future_date: true,
            max_days: 365,
            now: system_clock(),
        }
    }
}

/// A running Carbon Mapper fake server.
/// Its routes are `pair` (login), `refresh`, `verify`, `create-stac`, `stac`, `list` and `delete`.
pub struct CarbonMapper {
    server: Server,
    state: Arc<Mutex<State>>,
}

impl Deref for CarbonMapper {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl CarbonMapper {
    /// Starts the server.
    #[must_use]
    pub fn start(options: CarbonMapperOptions) -> Self {
        let now = options.now.clone();
        let (server, state) = Server::start(now, |_, clock| State {
            options,
            logins: Logins::new(clock.clone()),
            account: Account::new(clock),
        });
        Self { server, state }
    }

    /// Returns the API's base URL, which ends in `/api/v1/`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("{}/api/v1/", self.url())
    }

    /// Returns the name and expiration date of all scoped tokens in order, including deleted ones.
    #[must_use]
    pub fn minted(&self) -> Vec<(String, String)> {
        locked(&self.state).account.minted()
    }

    /// Counts the scoped tokens created so far, including deleted ones.
    #[must_use]
    pub fn mints(&self) -> usize {
        self.minted().len()
    }

    /// Counts the successful logins.
    #[must_use]
    pub fn pairs(&self) -> usize {
        locked(&self.state).logins.pairs
    }

    /// Counts the successful refreshes.
    #[must_use]
    pub fn refreshes(&self) -> usize {
        locked(&self.state).logins.refreshes
    }

    /// Changes the account's password. Issued tokens stay valid.
    pub fn set_password(&self, password: &str) {
        password.clone_into(&mut locked(&self.state).options.password);
    }

    /// Revokes all refresh tokens issued so far.
    pub fn revoke_refresh_tokens(&self) {
        locked(&self.state).logins.revoke(Kind::Refresh);
    }

    /// Revokes all access tokens issued so far. Scoped tokens stay valid.
    pub fn revoke_access_tokens(&self) {
        locked(&self.state).logins.revoke(Kind::Access);
    }

    /// Returns whether the STAC endpoint accepts this access token or scoped token now.
    #[must_use]
    pub fn access_is_live(&self, token: &str) -> bool {
        locked(&self.state).may_read(token)
    }
}

struct State {
    options: CarbonMapperOptions,
    logins: Logins,
    account: Account,
}

impl Service for State {
    const ROUTES: &'static [Route] = &[
        Route::new("pair", "POST", "/api/v1/token/pair"),
        Route::new("refresh", "POST", "/api/v1/token/refresh"),
        Route::new("verify", "POST", "/api/v1/token/verify"),
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
            "verify" => logins.verify(call),
            "stac" => return self.stac(call),
            _ => logged_in(logins, call).and_then(|()| match call.route.as_str() {
                "create-stac" => account.create(options, call),
                "list" => Ok(account.list()),
                _ => Ok(account.delete(last_segment(&call.path))),
            }),
        };
        answer.unwrap_or_else(|refusal| refusal)
    }
}

fn last_segment(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
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

/// Accepts only access tokens, because scoped tokens cannot manage the account's tokens.
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
