//! The requests to the service: login, refresh, mint (create a token with the login's token) and revoke.

use std::collections::BTreeMap;

use broker_core::{
    Error, ErrorCode, ErrorKind, Grant, Hint, HttpResponse, Operation, Problem, Record, RecordUpdate, Result,
    Revoked, ScopeKey, Secret, Token, TokenRequest, fingerprint, sanitize,
};
use serde_json::{Map, Value};

use crate::LoginProvider;
use crate::mint::MintOptions;
use crate::request::Request;
use crate::response::{DEFAULT_LIFETIME, has_no_object};
use crate::template::Values;

pub(crate) struct Credentials<'a> {
    pub(crate) username: Option<&'a str>,
    pub(crate) password: Option<&'a Secret>,
}

struct Parsed {
    response: HttpResponse,
    body: Value,
}

enum SendError {
    /// The service refused the request, or the response is malformed.
    Problem(Box<HttpResponse>, Problem),
    Error(Error),
}

impl LoginProvider {
    /// Logs in. `automatic` means that no user started the login: a password that the service refused before is then
    /// not sent again.
    pub(crate) async fn log_in(
        &self,
        operation: &Operation,
        credentials: &Credentials<'_>,
        automatic: Option<(&Record, &TokenRequest)>,
    ) -> Result<RecordUpdate> {
        let request = &self.requests.login;
        let Credentials { username, password } = *credentials;
        let secrets = self.secrets_of(operation, request).await?;
        let values = Values { username, password, secrets, ..Values::default() };
        let fingerprint = self.fingerprint(&values);
        if let Some((record, request)) = automatic {
            record.check_password(&fingerprint, request)?;
        }
        let sent = self.send(operation, request, &values).await;
        if let Err(SendError::Problem(response, Problem::Transient(_))) = &sent
            && let Some(refresh_token) = self.salvaged_refresh_token(request, response)
        {
            let account = username.map(str::to_owned);
            return Ok(RecordUpdate::grant(refresh_token, response.sent_at).and_account(account));
        }
        let parsed = sent.map_err(|error| match error {
            SendError::Problem(_, problem) => {
                // Repeated wrong passwords lock accounts. The fingerprint tells the next call not to send this password.
                // Only the service's own words mark a password: a gateway may have sent other refusals.
                let is_wrong =
                    matches!(&problem, Problem::Refused(refusal) if request.format.refuses(refusal));
                let error = problem.error("the service refused the login");
                if is_wrong { wrong_secret(error, password.is_some(), fingerprint) } else { error }
            }
            SendError::Error(error) => error,
        })?;
        let account = username.map(str::to_owned);
        let account = account.or_else(|| request.format.account(&parsed.body, &values.secrets()));
        Ok(self.update(operation, request, &parsed, None)?.and_account(account))
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
        match self.send(operation, request, &values).await {
            Ok(parsed) => self.update(operation, request, &parsed, Some(sent)),
            Err(SendError::Error(error)) => Err(error),
            Err(SendError::Problem(response, problem)) => {
                let ends_grant =
                    matches!(&problem, Problem::Refused(refusal) if request.format.refuses(refusal));
                let salvaged = request.format.salvage_refresh_token(&response);
                match salvaged.filter(|new| !new.same_as(sent)) {
                    // The response is malformed, but its refresh token is saved: the service may have ended the
                    // old refresh token.
                    Some(new) => Ok(RecordUpdate::grant(new, response.sent_at)),
                    None if ends_grant => Ok(RecordUpdate::grant_refused()),
                    None => Err(problem.error("the service refused to refresh the login")),
                }
            }
        }
    }

    /// Mints a token: the mint request contains the login's token.
    pub(crate) async fn mint(
        &self,
        operation: &Operation,
        (request, options): (&Request, &MintOptions),
        record: &Record,
        login_token: &Token,
        requested: &TokenRequest,
    ) -> Result<RecordUpdate> {
        let expiry = options.expiry(requested, operation.now())?;
        let name = requested.asked_name().map_or_else(|| operation.token_name(), str::to_owned);
        let values = Values {
            username: self.username_of(record),
            token: Some(login_token.secret()),
            scope: requested.scopes().as_str(),
            name: &name,
            expires: expiry,
            secrets: self.secrets_of(operation, request).await?,
            ..Values::default()
        };
        let failed = |error| Err(mint_error(error, options, &name));
        let Parsed { response, body } = match self.send(operation, request, &values).await {
            Ok(parsed) => parsed,
            // The service refused a stored login token. The broker gets a new one and repeats the mint request. The
            // status alone ends no login that only the user can renew.
            Err(SendError::Problem(_, Problem::Refused(refusal)))
                if login_token.issued_at() <= operation.began_at()
                    && (request.format.says_token_is_invalid(&refusal)
                        || request.format.rejects_token(&refusal) && self.can_renew(record)) =>
            {
                return Ok(RecordUpdate::drop_token(&self.login_key));
            }
            Err(SendError::Problem(_, problem)) => {
                return failed(problem.error("the service refused to create a token"));
            }
            Err(SendError::Error(error)) => return failed(error),
        };
        let Some(secret) = request.format.token(&body) else {
            return failed(request.format.missing_token(&request.sample));
        };
        let lifetime = expiry.map(|at| at - response.sent_at).or(self.lifetime_of(request));
        let lifetime = lifetime.or(Some(DEFAULT_LIFETIME));
        let mut token = request.format.token_from(&response, &body, secret, lifetime);
        self.warn_of_expiry(operation, request, (&response, &body), &token);
        if !requested.scopes().is_empty() {
            token = token.with_scope(Some(requested.scopes().as_str().to_owned()));
        }
        let mut details = Map::new();
        if options.has_name {
            details = request.format.details(&body, &values.secrets());
            details.entry("name").or_insert_with(|| Value::from(name.as_str()));
            let until = token
                .expires_at()
                .map_or_else(String::new, |at| at.format(", valid until %F %H:%M UTC").to_string());
            let days = if options.in_days() { " (the service rounds the expiry to UTC days)" } else { "" };
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
            let note = match &left {
                Some(left) => format!("{why}; {left}"),
                None => why.to_owned(),
            };
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
        match self.send(operation, request, &values).await {
            Ok(_) => Ok(Revoked::new(true, left)),
            // Services often confirm a revocation with an empty body or one word, which are not JSON objects.
            Err(SendError::Problem(response, _))
                if (200..300).contains(&response.status) && has_no_object(&response) =>
            {
                Ok(Revoked::new(true, left))
            }
            Err(SendError::Problem(_, Problem::Refused(refusal)))
                if refusal.status == 404 || request.format.rejects_token(&refusal) =>
            {
                Ok(not_revoked("the service had already ended the login"))
            }
            Err(SendError::Problem(_, problem)) => {
                Err(problem.error("the service refused to revoke the login"))
            }
            Err(SendError::Error(error)) => Err(error),
        }
    }

    async fn send(
        &self,
        operation: &Operation,
        request: &Request,
        values: &Values<'_>,
    ) -> Result<Parsed, SendError> {
        let (filled, pair) = request.fill(values).map_err(SendError::Error)?;
        let response = operation.send(&filled).await.map_err(SendError::Error)?;
        let secrets: Vec<_> = values.secrets().into_iter().chain(&pair).collect();
        match request.format.read(&response, &request.sample, &secrets) {
            Ok(body) => Ok(Parsed { response, body }),
            Err(problem) => Err(SendError::Problem(Box::new(response), problem)),
        }
    }

    /// Returns the record update for the response to a login, or to a refresh with the refresh token `sent`. A response
    /// without access token may contain a new refresh token, which is saved.
    fn update(
        &self,
        operation: &Operation,
        request: &Request,
        Parsed { response, body }: &Parsed,
        sent: Option<&Secret>,
    ) -> Result<RecordUpdate> {
        let token = request.format.token(body);
        let format = &request.format;
        let refresh_token = self.requests.refresh.as_ref().and_then(|_| match sent {
            _ if token.is_some() => format.refresh_token(body),
            Some(_) => format.salvage_refresh_token(response),
            None => format.salvage_login(response),
        });
        let is_new = refresh_token.as_ref().is_some_and(|new| !sent.is_some_and(|sent| new.same_as(sent)));
        if token.is_none() && !is_new {
            return Err(request.format.missing_token(&request.sample));
        }
        let mut update = RecordUpdate::default();
        if let Some(token) = token {
            // A login that only the user can repeat lasts until the service rejects its token.
            let is_renewable = sent.is_some() || refresh_token.is_some() || self.logs_in_automatically();
            let lifetime = self.lifetime_of(request).or(is_renewable.then_some(DEFAULT_LIFETIME));
            let token = request.format.token_from(response, body, token, lifetime);
            self.warn_of_expiry(operation, request, (response, body), &token);
            update = update.and_token(&self.login_key, self.fingerprints.add_to(token, Map::new(), false));
        }
        Ok(match refresh_token {
            Some(refresh_token) => update.and_grant(refresh_token, response.sent_at),
            None => update,
        })
    }

    /// Returns the refresh token of a malformed response to a login, if a request to refresh is configured.
    fn salvaged_refresh_token(&self, request: &Request, response: &HttpResponse) -> Option<Secret> {
        self.requests.refresh.as_ref().and_then(|_| request.format.salvage_login(response))
    }

    fn lifetime_of(&self, request: &Request) -> Option<chrono::TimeDelta> {
        request.format.lifetime.or(self.lifetime)
    }

    fn warn_of_expiry(
        &self,
        operation: &Operation,
        request: &Request,
        (response, body): (&HttpResponse, &Value),
        token: &Token,
    ) {
        let has_lifetime = self.lifetime_of(request).is_some();
        if let Some(warning) = request.format.expiry_warning(response, body, token, has_lifetime) {
            operation.notify_after_save(format!("{}: {warning}", self.name));
        }
    }

    async fn secrets_of(&self, operation: &Operation, request: &Request) -> Result<BTreeMap<String, Secret>> {
        let mut secrets = BTreeMap::new();
        for name in request.secrets() {
            if let Some(source) = self.secrets.get(&name) {
                let secret = source.resolve(operation.context(), &format!("secrets.{name}")).await?;
                secrets.insert(name, secret);
            }
        }
        Ok(secrets)
    }

    fn username_of<'a>(&'a self, record: &'a Record) -> Option<&'a str> {
        self.username.as_deref().or(record.account())
    }

    /// Returns a fingerprint of the values' secrets. Its 16 bits are too few to confirm a guessed password.
    fn fingerprint(&self, values: &Values<'_>) -> String {
        let salt = format!("{} {}", self.info.issuer.endpoint, values.username.unwrap_or_default());
        let all: Vec<_> = values.secrets().into_iter().map(Secret::expose).collect();
        fingerprint(&salt, &Secret::new(all.join("\0")), 16)
    }
}

/// The reserved scope of a login's token that only mints other tokens. No caller can request this scope.
pub(crate) fn login_only_key() -> ScopeKey {
    ScopeKey::new(["(login)"])
}

/// Returns the error for a login with a wrong password, or with another wrong secret.
fn wrong_secret(error: Error, has_password: bool, fingerprint: String) -> Error {
    let error = match error.code() {
        ErrorCode::RequestRefused if has_password => {
            Error::new(ErrorCode::PasswordRefused, error.message()).with_hint(Hint::CorrectPassword)
        }
        _ => error,
    };
    error.with_secret_fingerprint(fingerprint)
}

/// Adds a hint if the service may have created a token although the request failed.
fn mint_error(error: Error, options: &MintOptions, name: &str) -> Error {
    if error.kind() != ErrorKind::Unavailable || error.retry_after().is_some() || !options.has_name {
        return error;
    }
    let name = sanitize(name);
    error.with_hint(format!("try again; the failed request may have created a token {name} at the service"))
}
