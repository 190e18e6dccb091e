//! The requests to the service: login, refresh, mint (create a token with the login's token) and revoke.

use std::collections::BTreeMap;

use broker_core::{
    Error, ErrorCode, ErrorKind, Grant, Hint, HttpResponse, Operation, Problem, Record, RecordUpdate, Result,
    Revoked, Secret, Token, TokenRequest, fingerprint, salvage_new, sanitize,
};
use chrono::TimeDelta;
use serde_json::{Map, Value};

use crate::LoginProvider;
use crate::mint::Mint;
use crate::request::Request;
use crate::response::{DEFAULT_LIFETIME, has_no_object};
use crate::template::Values;

impl LoginProvider {
    /// Logs in. `automatic` means that no user started the login: a password that the service refused before is then
    /// not sent again.
    pub(crate) async fn log_in(
        &self,
        operation: &Operation,
        username: Option<&str>,
        password: Option<&Secret>,
        automatic: Option<(&Record, &TokenRequest)>,
    ) -> Result<RecordUpdate> {
        let request = &self.requests.login;
        let secrets = self.secrets_of(operation, request).await?;
        let values = Values { username, password, secrets, ..Values::default() };
        let fingerprint = self.fingerprint(&values);
        if let Some((record, request)) = automatic {
            record.check_password(&fingerprint, request)?;
        }
        let (response, read) = self.send(operation, request, &values).await?;
        let account = username.map(str::to_owned);
        if let (Err(Problem::Transient(_)), Some(refresh_token)) =
            (&read, self.salvaged(request, &response, None))
        {
            return Ok(RecordUpdate::grant(refresh_token, response.sent_at).and_account(account));
        }
        let body = read.map_err(|problem| {
            // Repeated wrong passwords lock accounts. The fingerprint tells the next call not to send this password. Only
            // the service's own words mark a password: a gateway may have sent other refusals.
            let is_wrong = matches!(&problem, Problem::Refused(refusal) if request.ends(refusal));
            let error = problem.error("the service refused the login");
            if !is_wrong {
                return error;
            }
            let is_password = password.is_some() && error.code() == ErrorCode::RequestRefused;
            let error = if is_password {
                Error::new(ErrorCode::PasswordRefused, error.message()).with_hint(Hint::CorrectPassword)
            } else {
                error
            };
            error.with_secret_fingerprint(fingerprint)
        })?;
        let account = account.or_else(|| request.account(&body, &values.secrets()));
        Ok(self.update(operation, request, (&response, &body), None)?.and_account(account))
    }

    /// Gets a new login token with the refresh token.
    pub(crate) async fn refresh(
        &self,
        operation: &Operation,
        request: &Request,
        record: &Record,
        grant: &Grant,
    ) -> Result<RecordUpdate> {
        let sent = grant.secret();
        let secrets = self.secrets_of(operation, request).await?;
        let username = self.username_of(record);
        let values = Values { username, refresh_token: Some(sent), secrets, ..Values::default() };
        let (response, read) = self.send(operation, request, &values).await?;
        let problem = match read {
            Ok(body) => return self.update(operation, request, (&response, &body), Some(sent)),
            Err(problem) => problem,
        };
        // The response is malformed, but its refresh token is saved: the service may have ended the old one.
        if let Some(new) = self.salvaged(request, &response, Some(sent)) {
            return Ok(RecordUpdate::grant(new, response.sent_at));
        }
        match problem {
            Problem::Refused(refusal) if request.ends(&refusal) => Ok(RecordUpdate::grant_refused()),
            problem => Err(problem.error("the service refused to refresh the login")),
        }
    }

    /// Mints a token: the mint request contains the login's token.
    pub(crate) async fn mint(
        &self,
        operation: &Operation,
        mint: &Mint,
        record: &Record,
        login_token: &Token,
        requested: &TokenRequest,
    ) -> Result<RecordUpdate> {
        let Mint { request, has_name, .. } = mint;
        let expiry = mint.expiry(requested, operation.now())?;
        let name = requested.name.as_deref().map_or_else(|| operation.token_name(), str::to_owned);
        let values = Values {
            username: self.username_of(record),
            token: Some(login_token.secret()),
            scope: requested.scopes().as_str(),
            name: &name,
            expires: expiry,
            secrets: self.secrets_of(operation, request).await?,
            ..Values::default()
        };
        let failed = |error: Error| match error.kind() {
            // The service may have created a token although the request failed.
            ErrorKind::Unavailable if error.retry_after().is_none() && *has_name => error.with_hint(format!(
                "try again; the failed request may have created a token {} at the service",
                sanitize(&name)
            )),
            _ => error,
        };
        let (response, read) = self.send(operation, request, &values).await.map_err(failed)?;
        let body = match read {
            Ok(body) => body,
            // The service refused a stored login token. The broker gets a new one and repeats the mint request. The
            // status alone ends no login that only the user can renew.
            Err(Problem::Refused(refusal))
                if login_token.issued_at() <= operation.began_at()
                    && (request.ends(&refusal)
                        || request.rejects_token(&refusal) && self.can_renew(record)) =>
            {
                return Ok(RecordUpdate::drop_token(&self.login_key));
            }
            Err(problem) => return Err(failed(problem.error("the service refused to create a token"))),
        };
        let secret = request.token(&body);
        let secret = secret.ok_or_else(|| failed(request.missing_token()))?;
        let lifetime = expiry.map(|at| at - response.sent_at).or(request.lifetime());
        let lifetime = lifetime.or(Some(DEFAULT_LIFETIME));
        let mut token = self.token_of(operation, request, (&response, &body), secret, lifetime);
        if !requested.scopes().is_empty() {
            token = token.with_scope(Some(requested.scopes().as_str().to_owned()));
        }
        let mut details = Map::new();
        if *has_name {
            details = request.details(&body, &values.secrets());
            details.entry("name").or_insert_with(|| Value::from(name.as_str()));
            let until = token
                .expires_at()
                .map_or_else(String::new, |at| at.format(", valid until %F %H:%M UTC").to_string());
            let days = if mint.in_days() { " (the service rounds the expiry to UTC days)" } else { "" };
            operation.notify_after_save(format!("created token {}{until}{days}", sanitize(&name)));
        }
        Ok(RecordUpdate::token(requested.scopes(), self.fingerprints.add_to(token, details, true)))
    }

    /// Revokes the login at the service, if a `revoke` request is configured.
    pub(crate) async fn revoke_login(&self, operation: &Operation, record: &Record) -> Result<Revoked> {
        let name = |details: &Map<String, Value>| Some(sanitize(details.get("name")?.as_str()?));
        let names: Vec<_> = record.details().filter_map(name).collect();
        let left = (!names.is_empty()).then(|| {
            let names = names.join(", ");
            format!("these minted tokens stay valid unless you delete them at the service: {names}")
        });
        let not_revoked = |why: &str| {
            let note = [Some(why), left.as_deref()].into_iter().flatten().collect::<Vec<_>>().join("; ");
            Revoked::new(false, Some(note))
        };
        let Some(request) = &self.requests.revoke else {
            return Ok(not_revoked("no `revoke` request is configured: tokens stay valid until they expire"));
        };
        let token = record.usable_token(&self.login_key, operation.now()).map(Token::secret);
        let refresh_token = record.usable_grant().map(Grant::secret);
        if request.needs_token() && token.is_none()
            || request.needs_refresh_token() && refresh_token.is_none()
        {
            let not_revoked = not_revoked("the login has already expired");
            // A refresh brings the token.
            let can_refresh =
                request.needs_token() && request.needs_refresh_token() && refresh_token.is_some();
            let needs = || self.login_key.iter().fold(TokenRequest::new(), TokenRequest::scope);
            return Ok(if can_refresh { not_revoked.needing(needs()) } else { not_revoked });
        }
        let username = self.username_of(record);
        let secrets = self.secrets_of(operation, request).await?;
        let values = Values { username, refresh_token, token, secrets, ..Values::default() };
        let (response, read) = self.send(operation, request, &values).await?;
        // Services often confirm a revocation with an empty body or one word, which are not JSON objects.
        let is_confirmed = (200..300).contains(&response.status) && has_no_object(&response);
        match read {
            Err(Problem::Refused(refusal))
                if !is_confirmed && (refusal.status == 404 || request.rejects_token(&refusal)) =>
            {
                Ok(not_revoked("the service had already ended the login"))
            }
            Err(problem) if !is_confirmed => Err(problem.error("the service refused to revoke the login")),
            _ => Ok(Revoked::new(true, left)),
        }
    }

    /// Sends the request. Returns the response and its JSON body, or why the response is not a success.
    async fn send(
        &self,
        operation: &Operation,
        request: &Request,
        values: &Values<'_>,
    ) -> Result<(HttpResponse, Result<Value, Problem>)> {
        let (filled, pair) = request.fill(values)?;
        let response = operation.send(&filled).await?;
        let secrets: Vec<_> = values.secrets().into_iter().chain(&pair).collect();
        let read = request.read(&response, &secrets);
        Ok((response, read))
    }

    /// Returns the record update for the response to a login, or to a refresh with the refresh token `sent`. A response
    /// without access token may contain a new refresh token, which is saved.
    fn update(
        &self,
        operation: &Operation,
        request: &Request,
        (response, body): (&HttpResponse, &Value),
        sent: Option<&Secret>,
    ) -> Result<RecordUpdate> {
        let token = request.token(body);
        let refresh_token = match token {
            Some(_) => self.requests.refresh.as_ref().and_then(|_| request.refresh_token(body)),
            None => self.salvaged(request, response, sent),
        };
        if token.is_none() && refresh_token.is_none() {
            return Err(request.missing_token());
        }
        // A login that only the user can repeat lasts until the service rejects its token.
        let is_renewable = sent.is_some() || refresh_token.is_some() || self.logs_in_automatically();
        let lifetime = request.lifetime().or(is_renewable.then_some(DEFAULT_LIFETIME));
        let token = token.map(|token| self.token_of(operation, request, (response, body), token, lifetime));
        let token = token.map(|token| self.fingerprints.add_to(token, Map::new(), false));
        let update = RecordUpdate::default().and_token(&self.login_key, token);
        Ok(update.and_grant(refresh_token, response.sent_at))
    }

    /// Returns the refresh token of a malformed response to a login, or to a request with the refresh token `sent`, if a
    /// request to refresh is configured.
    fn salvaged(&self, request: &Request, response: &HttpResponse, sent: Option<&Secret>) -> Option<Secret> {
        self.requests.refresh.as_ref()?;
        salvage_new(response, request.refresh_token_path(), sent)
    }

    /// Creates the token. It expires at the earliest of the response's expiry and that of a JWT, else after `lifetime`.
    /// Without any of them, it does not expire. Warns the user if the response lacks the configured expiry.
    fn token_of(
        &self,
        operation: &Operation,
        request: &Request,
        (response, body): (&HttpResponse, &Value),
        secret: Secret,
        lifetime: Option<TimeDelta>,
    ) -> Token {
        let expiry = request.expiry(body, response);
        let is_read = !expiry.is_empty();
        let token = Token::from_response(response, secret, expiry, lifetime);
        if let Some(warning) = request.expiry_warning(body, &token).filter(|_| !is_read) {
            operation.notify_after_save(format!("{}: {warning}", self.name));
        }
        token
    }

    async fn secrets_of(&self, operation: &Operation, request: &Request) -> Result<BTreeMap<String, Secret>> {
        let mut secrets = BTreeMap::new();
        for name in request.secrets() {
            if let Some(source) = self.config.secrets.get(&name) {
                let secret = source.resolve(operation.context(), &format!("secrets.{name}")).await?;
                secrets.insert(name, secret);
            }
        }
        Ok(secrets)
    }

    fn username_of<'a>(&'a self, record: &'a Record) -> Option<&'a str> {
        self.config.username.as_deref().or(record.account())
    }

    /// Returns a fingerprint of the values' secrets. Its 16 bits are too few to confirm a guessed password.
    fn fingerprint(&self, values: &Values<'_>) -> String {
        let salt = format!("{} {}", self.info.issuer.endpoint, values.username.unwrap_or_default());
        let all: Vec<_> = values.secrets().into_iter().map(Secret::expose).collect();
        fingerprint(&salt, &Secret::new(all.join("\0")), 16)
    }
}
