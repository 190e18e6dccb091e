//! A fake `EarthDaily` server: client credentials with an API token, the asset cookie, and the STAC root.

use serde_json::json;

use super::http::{Reply, Seen};
use super::server::{Fake, Route, Server, Service};
use super::time::{Now, system_clock};
use super::tokens::{ExpiresIn, Issuer, opaque};

/// The client authentication that the token endpoint accepts (RFC 6749 section 2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Accepts client credentials by HTTP Basic or in the body, but not both in one request.
    #[default]
    Either,
    /// Accepts client credentials by HTTP Basic only.
    BasicOnly,
    /// Accepts HTTP Basic only, without form encoding, as `EarthDaily`'s own client sends it.
    RawBasicOnly,
    /// Accepts `client_id` and `client_secret` in the body only.
    BodyOnly,
}

/// Configures the `EarthDaily` fake server.
#[derive(Clone)]
pub struct EarthDailyOptions {
    /// The client id. `EarthDaily`'s new authorization server uses one id for all accounts.
    pub client_id: String,
    /// The account's API token, which is the OAuth client secret.
    pub secret: String,
    /// Where a request must carry the client credentials.
    pub accept: Auth,
    /// Lifetime of an access token in seconds.
    pub life: u64,
    /// Whether `expires_in` in token responses is a number, a string, or missing.
    pub expires_in_form: ExpiresIn,
    /// Whether access tokens are JWTs with `exp`, or opaque.
    pub jwt: bool,
    /// Whether token requests get 403 because the API token belongs to another environment.
    pub environment_mismatch: bool,
    /// The attributes of the asset cookie. The server fills in `{host}` and `{max_age}`.
    pub cookie: String,
    /// The clock that the fake server reads.
    pub now: Now,
}

impl Default for EarthDailyOptions {
    fn default() -> Self {
        Self {
            client_id: "EARTHDAILY_API_TOKEN".to_owned(),
            secret: EarthDaily::SECRET.to_owned(),
            accept: Auth::Either,
            life: 3600,
            expires_in_form: ExpiresIn::Number,
            jwt: false,
            environment_mismatch: false,
            cookie: "Domain={host}; Path=/platform/v1/asset; Max-Age={max_age}; Secure; HttpOnly".to_owned(),
            now: system_clock(),
        }
    }
}

/// A running `EarthDaily` fake server. Its routes are `token` (two paths: new and legacy), `cookie` and `stac`.
pub type EarthDaily = Fake<State>;

impl EarthDaily {
    /// The API token in the default options.
    pub const SECRET: &str = "standin-api-token";

    /// Starts the server.
    #[must_use]
    pub fn start(options: EarthDailyOptions) -> Self {
        Server::start(options.now.clone(), |issuer| State { options, issuer, exchanges: 0 })
    }

    /// Returns the token URL of `EarthDaily`'s new authorization server, which users set as `EDS_AUTH_URL`.
    pub fn auth_url(&self) -> String {
        self.url().to_owned() + EXCHANGE
    }

    /// Changes the API token. Issued access tokens stay valid.
    pub fn set_secret(&self, secret: &str) {
        secret.clone_into(&mut self.state().options.secret);
    }

    /// Counts the issued access tokens.
    pub fn exchanges(&self) -> usize {
        self.state().exchanges
    }

    /// Revokes all access tokens issued so far.
    pub fn revoke_access_tokens(&self) {
        self.state().issuer.tokens.clear();
    }
}

const EXCHANGE: &str = "/account_management/v1/authentication/api_tokens/exchange";

/// The state of the `EarthDaily` fake server.
pub struct State {
    options: EarthDailyOptions,
    issuer: Issuer,
    exchanges: usize,
}

impl Service for State {
    const ROUTES: &'static [Route] = &[
        ("token", "POST", EXCHANGE),
        ("token", "POST", "/oauth2/token"),
        ("cookie", "POST", "/platform/v1/asset/cookie"),
        ("stac", "GET", "/platform/v1/stac/*"),
    ];

    fn answer(&mut self, call: &Seen) -> Result<Reply, Reply> {
        match call.route.as_str() {
            "token" => self.exchange(call),
            _ if !self.is_authorized(call) => Err(Reply::json(401, &json!({"message": "Unauthorized"}))
                .with_header("www-authenticate", "Bearer")),
            "cookie" => self.cookie(call),
            _ => Ok(Reply::stac_root("earthdaily")),
        }
    }

    fn issuer(&self) -> &Issuer {
        &self.issuer
    }
}

impl State {
    fn exchange(&mut self, call: &Seen) -> Result<Reply, Reply> {
        let grant = call.form().remove("grant_type");
        match grant.as_deref() {
            Some("client_credentials") => {}
            None => return Err(bad_request("grant_type is missing")),
            Some(_) => return Err(Reply::oauth_error(400, "unsupported_grant_type", "")),
        }
        let (id, secret) = self.credentials(call)?;
        if id != self.options.client_id || secret != self.options.secret {
            return Err(unauthorized("Invalid or revoked API token"));
        }
        if self.options.environment_mismatch {
            let body = json!({"error": "forbidden", "message": "The API token is for another environment"});
            return Err(Reply::json(403, &body));
        }
        Ok(self.issue())
    }

    fn credentials(&self, call: &Seen) -> Result<(String, String), Reply> {
        let mut form = call.form();
        let body = form.remove("client_id").zip(form.remove("client_secret"));
        let found = match (self.options.accept, call.basic(), body) {
            (Auth::Either, Some(_), Some(_)) => {
                return Err(bad_request("client credentials are in the header and in the body"));
            }
            (Auth::Either, basic, body) => basic.or(body),
            (Auth::BasicOnly, basic, _) => basic,
            (Auth::RawBasicOnly, ..) => call.raw_basic(),
            (Auth::BodyOnly, _, body) => body,
        };
        found.ok_or_else(|| unauthorized("client authentication is missing"))
    }

    fn issue(&mut self) -> Reply {
        let expiry = self.issuer.clock.after(self.options.life);
        let token = if self.options.jwt {
            let claims = json!({"iss": self.issuer.url, "sub": self.options.client_id});
            self.issuer.jwt(claims, expiry)
        } else {
            opaque("eds_")
        };
        self.issuer.add(&token, expiry);
        self.exchanges += 1;
        Reply::json(200, &self.options.expires_in_form.answer(&token, self.options.life))
    }

    fn cookie(&self, call: &Seen) -> Result<Reply, Reply> {
        let Some(max_age) = call.json()["max_age"].as_i64() else {
            return Err(Reply::json(422, &json!({"detail": "max_age must be a number"})));
        };
        let host = self.issuer.url.trim_start_matches("http://").split(':').next().unwrap_or_default();
        let attributes = self.options.cookie.replace("{host}", host);
        let attributes = attributes.replace("{max_age}", &max_age.to_string());
        let value = opaque("asset-");
        Ok(Reply::empty(204)
            .with_header("set-cookie", format!("PLATFORM_ASSET={value}; {attributes}"))
            // Like an AWS load balancer, the fake server adds a second cookie.
            .with_header("set-cookie", format!("AWSALB={value}; Path=/")))
    }
}

fn bad_request(why: &str) -> Reply {
    Reply::oauth_error(400, "invalid_request", why)
}

/// Returns a 401 response with `WWW-Authenticate`, as RFC 6749 section 5.2 requires.
fn unauthorized(message: &str) -> Reply {
    let body = json!({"error": "invalid_client", "message": message});
    Reply::json(401, &body).with_header("www-authenticate", "Basic realm=\"earthdaily\"")
}
