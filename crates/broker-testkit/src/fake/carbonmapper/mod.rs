//! A fake Carbon Mapper server: password login, refresh, and scoped tokens.

mod account;
mod login;

use account::Scoped;
use serde_json::json;

use super::http::{Reply, Seen};
use super::server::{Fake, Route, Server, Service};
use super::time::{Now, system_clock};
use super::tokens::Issuer;

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
        Server::start(options.now.clone(), |issuer| State {
            options,
            refresh_tokens: issuer.clone(),
            scoped_tokens: issuer.clone(),
            issuer,
            pairs: 0,
            refreshes: 0,
            scoped: Vec::new(),
        })
    }

    /// Returns the API's base URL, which ends in `/api/v1/`.
    pub fn base_url(&self) -> String {
        format!("{}/api/v1/", self.url())
    }

    /// Returns the name and expiration date of all scoped tokens in order, including deleted ones.
    pub fn minted(&self) -> Vec<(String, String)> {
        let pair = |scoped: &Scoped| (scoped.name.clone(), scoped.date.to_string());
        self.state().scoped.iter().map(pair).collect()
    }

    /// Counts the scoped tokens created so far, including deleted ones.
    pub fn mints(&self) -> usize {
        self.minted().len()
    }

    /// Counts the successful logins.
    pub fn pairs(&self) -> usize {
        self.state().pairs
    }

    /// Counts the successful refreshes.
    pub fn refreshes(&self) -> usize {
        self.state().refreshes
    }

    /// Changes the account's password. Issued tokens stay valid.
    pub fn set_password(&self, password: &str) {
        password.clone_into(&mut self.state().options.password);
    }

    /// Revokes all refresh tokens issued so far.
    pub fn revoke_refresh_tokens(&self) {
        self.state().refresh_tokens.tokens.clear();
    }

    /// Revokes all access tokens issued so far. Scoped tokens stay valid.
    pub fn revoke_access_tokens(&self) {
        self.state().issuer.tokens.clear();
    }
}

/// The state of the Carbon Mapper fake server.
pub struct State {
    options: CarbonMapperOptions,
    /// Issues the access tokens of logins.
    issuer: Issuer,
    refresh_tokens: Issuer,
    /// Without the deleted scoped tokens.
    scoped_tokens: Issuer,
    pairs: usize,
    refreshes: usize,
    /// All scoped tokens of the account, including deleted ones.
    scoped: Vec<Scoped>,
}

impl Service for State {
    const ROUTES: &'static [Route] = &[
        ("pair", "POST", "/api/v1/token/pair"),
        ("refresh", "POST", "/api/v1/token/refresh"),
        ("create-stac", "POST", "/api/v1/account/tokens/create-stac"),
        ("list", "GET", "/api/v1/account/tokens"),
        ("delete", "DELETE", "/api/v1/account/tokens/{id}"),
        ("stac", "GET", "/api/v1/stac/*"),
    ];

    fn answer(&mut self, call: &Seen) -> Result<Reply, Reply> {
        match call.route.as_str() {
            "pair" => self.pair(call),
            "refresh" => self.refresh(call),
            "stac" if self.is_authorized(call) => Ok(Reply::stac_root("carbonmapper")),
            // Scoped tokens cannot create, list or delete tokens.
            "create-stac" if self.has_access_token(call) => self.create(call),
            "list" if self.has_access_token(call) => Ok(self.list()),
            "delete" if self.has_access_token(call) => self.delete(call.last_segment()),
            _ => Err(unauthorized(call)),
        }
    }

    fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Whether the STAC endpoint accepts this access token or scoped token now.
    fn is_live(&self, token: &str) -> bool {
        self.issuer.accepts(token) || self.scoped_tokens.accepts(token)
    }
}

fn unauthorized(call: &Seen) -> Reply {
    let body = match call.bearer() {
        None => json!({"detail": "Unauthorized"}),
        Some(_) => json!({
            "detail": "Given token not valid for any token type",
            "code": "token_not_valid",
            "messages": [{
                "token_class": "AccessToken",
                "token_type": "access",
                "message": "Token is invalid or expired",
            }],
        }),
    };
    Reply::json(401, &body)
}
