//! The endpoints and access tokens of the `EarthScope` fake server.

use std::collections::BTreeMap;

use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::super::http::{Reply, Seen, put};
use super::super::server::{Route, Service};
use super::super::tokens::{Issuer, RefreshTokens, opaque};
use super::EarthScopeOptions;
use super::device::Codes;

/// The only audience that the server accepts.
const AUDIENCE: &str = "https://api.earthscope.org";

/// The user's email address.
const EMAIL: &str = "ada@example.org";

/// The state of the `EarthScope` fake server.
pub struct State {
    pub(super) options: EarthScopeOptions,
    pub(super) codes: Codes,
    pub(super) refresh_tokens: RefreshTokens,
    pub(super) issuer: Issuer,
}

impl Service for State {
    const ROUTES: &'static [Route] = &[
        ("device", "POST", "/oauth/device/code"),
        ("token", "POST", "/oauth/token"),
        ("revoke", "POST", "/oauth/revoke"),
        ("profile", "GET", "/beta/user/profile"),
        ("aws", "GET", "/beta/user/credentials/aws/{id}"),
        ("activate", "GET", "/activate"),
        ("activate", "POST", "/activate"),
    ];

    fn answer(&mut self, call: &Seen) -> Result<Reply, Reply> {
        match call.route.as_str() {
            "device" => self.device(&call.form()),
            "token" => self.token(&call.form()),
            "revoke" => self.revoke(call),
            "activate" => Ok(self.codes.activate(call)),
            _ if !self.is_authorized(call) => Err(Reply::json(401, &json!({"detail": "Unauthorized"}))
                .with_header("www-authenticate", "Bearer error=\"invalid_token\"")),
            "profile" => Ok(self.profile()),
            _ => self.aws(call),
        }
    }

    fn issuer(&self) -> &Issuer {
        &self.issuer
    }
}

type Form = BTreeMap<String, String>;

impl State {
    /// Handles a device authorization request (RFC 8628 sections 3.1 and 3.2).
    fn device(&mut self, form: &Form) -> Result<Reply, Reply> {
        self.check_client(form.get("client_id").map(String::as_str))?;
        check_audience(form)?;
        let (device_code, user_code) = self.codes.issue(form.get("scope").cloned().unwrap_or_default());
        let page = format!("{}/activate", self.issuer.url);
        let mut answer = json!({
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": page,
            "expires_in": self.options.code_life,
        });
        put(&mut answer, "interval", self.options.interval);
        let complete = || format!("{page}?user_code={user_code}");
        put(&mut answer, "verification_uri_complete", self.options.complete_uri.then(complete));
        Ok(Reply::json(200, &answer))
    }

    fn token(&mut self, form: &Form) -> Result<Reply, Reply> {
        const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
        self.check_client(form.get("client_id").map(String::as_str))?;
        match field(form, "grant_type")? {
            DEVICE => self.poll(field(form, "device_code")?),
            "refresh_token" => self.refresh(form),
            "client_credentials" => self.machine(form),
            other => Err(Reply::oauth_error(400, "unsupported_grant_type", other)),
        }
    }

    /// Handles a poll for the token of a device login (RFC 8628 sections 3.4 and 3.5). Only this response contains an ID
    /// token.
    fn poll(&mut self, device_code: &str) -> Result<Reply, Reply> {
        let scope = self.codes.poll(device_code).map_err(|code| {
            // Auth0 sends status 429 and 403, not 400 as RFC 8628 defines.
            let status = if code == "slow_down" { 429 } else { 403 };
            Reply::oauth_error(status, code, "the fake server issued no token")
        })?;
        let requested = |name: &str| scope.split(' ').any(|one| one == name);
        let id_token = requested("openid").then(|| self.id_token());
        let refresh_token = requested("offline_access").then(|| self.refresh_tokens.issue(&scope));
        let mut answer = self.access_token(&self.options.user_subject.clone(), &scope);
        put(&mut answer, "refresh_token", refresh_token);
        put(&mut answer, "id_token", id_token);
        Ok(Reply::json(200, &answer))
    }

    /// Handles a refresh request (RFC 6749 section 6). EarthScope's SDK sends `scopes` instead of `scope`.
    fn refresh(&mut self, form: &Form) -> Result<Reply, Reply> {
        let token = field(form, "refresh_token")?;
        let Some(granted) = self.refresh_tokens.peek(token) else {
            self.refresh_tokens.refuse(token);
            // Auth0 sends status 403, not 400 as RFC 6749 defines.
            return Err(Reply::oauth_error(403, "invalid_grant", "Unknown or invalid refresh token."));
        };
        let scope = form.get("scopes").or_else(|| form.get("scope")).unwrap_or(&granted);
        if !scope.split_whitespace().all(|one| granted.split(' ').any(|known| known == one)) {
            let why = "the requested scope exceeds the scope of the login";
            return Err(Reply::oauth_error(400, "invalid_scope", why));
        }
        let renewed = self.refresh_tokens.renew(token);
        let mut answer = self.access_token(&self.options.user_subject.clone(), scope);
        put(&mut answer, "refresh_token", renewed);
        Ok(Reply::json(200, &answer))
    }

    /// Handles a client credentials grant (RFC 6749 section 4.4) with the credentials in the body.
    fn machine(&mut self, form: &Form) -> Result<Reply, Reply> {
        let Some(secret) = &self.options.client_secret else {
            let why = "Grant type 'client_credentials' not allowed for the client.";
            return Err(Reply::oauth_error(403, "unauthorized_client", why));
        };
        if form.get("client_secret") != Some(secret) {
            return Err(Reply::oauth_error(401, "invalid_client", "wrong secret"));
        }
        check_audience(form)?;
        let subject = format!("{}@clients", self.options.client_id);
        Ok(Reply::json(200, &self.access_token(&subject, "")))
    }

    /// Handles a revocation request (RFC 7009), whose body is JSON as at Auth0.
    fn revoke(&mut self, call: &Seen) -> Result<Reply, Reply> {
        let body: Value = serde_json::from_str(&call.body)
            .map_err(|why| Reply::oauth_error(400, "invalid_request", &why.to_string()))?;
        self.check_client(body["client_id"].as_str())?;
        let missing = || Reply::oauth_error(400, "invalid_request", "token is missing");
        let token = body["token"].as_str().ok_or_else(missing)?;
        self.refresh_tokens.revoke(token);
        Ok(Reply::empty(200))
    }

    /// Returns the user profile, with all fields that class `UserProfile` of EarthScope's SDK requires.
    fn profile(&self) -> Reply {
        let profile = json!({
            "first_name": "Ada",
            "last_name": "Example",
            "country_code": "US",
            "region_code": null,
            "institution": "Fake server University",
            "work_sector": "academic",
            "user_id": self.options.user_subject,
            "primary_email": EMAIL,
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z",
        });
        Reply::json(200, &profile)
    }

    /// Returns AWS keys for the role in the path, and ignores the query.
    fn aws(&self, call: &Seen) -> Result<Reply, Reply> {
        const ROLES: [&str; 3] = ["s3-miniseed", "s3-miniseed-v2", "s3-dropoff"];
        let role = call.last_segment();
        if !ROLES.contains(&role) {
            return Err(Reply::json(404, &json!({"detail": format!("Role not found: {role}")})));
        }
        let expiry = self.issuer.clock.after(self.options.aws_life);
        let keys = json!({
            "aws_access_key_id": opaque("ASIA"),
            "aws_secret_access_key": opaque(""),
            "aws_session_token": opaque("IQoJ"),
            "expiration": expiry.to_rfc3339_opts(SecondsFormat::Secs, true),
        });
        Ok(Reply::json(200, &keys))
    }

    fn check_client(&self, client_id: Option<&str>) -> Result<(), Reply> {
        if client_id == Some(&self.options.client_id) {
            return Ok(());
        }
        Err(Reply::oauth_error(401, "invalid_client", "Unknown client"))
    }

    fn access_token(&mut self, subject: &str, scope: &str) -> Value {
        let expiry = self.issuer.clock.after(self.options.token_life);
        let claims = json!({
            "iss": format!("{}/", self.issuer.url),
            "sub": subject,
            "aud": AUDIENCE,
            "scope": scope,
            "azp": self.options.client_id,
        });
        let token = self.issuer.jwt(claims, expiry);
        self.issuer.add(&token, expiry);
        let mut answer = self.options.expires_in_form.answer(&token, self.options.token_life);
        put(&mut answer, "scope", Some(scope.to_owned()).filter(|scope| !scope.is_empty()));
        answer
    }

    fn id_token(&self) -> String {
        let claims = json!({
            "iss": format!("{}/", self.issuer.url),
            "sub": self.options.user_subject,
            "aud": self.options.client_id,
            "email": EMAIL,
        });
        self.issuer.jwt(claims, self.issuer.clock.after(self.options.token_life))
    }
}

fn check_audience(form: &Form) -> Result<(), Reply> {
    let audience = field(form, "audience")?;
    if audience == AUDIENCE {
        return Ok(());
    }
    Err(Reply::oauth_error(403, "access_denied", &format!("Service not found: {audience}")))
}

fn field<'a>(form: &'a Form, name: &str) -> Result<&'a str, Reply> {
    let missing = || Reply::oauth_error(400, "invalid_request", &format!("{name} is missing"));
    form.get(name).map(String::as_str).ok_or_else(missing)
}
