//! The token requests of each flow, and the record updates from their responses.

use broker_core::{
    Error, ErrorCode, ErrorKind, FinalCodes, Hint, Operation, Record, RecordUpdate, Result, ScopeKey, Secret,
    SecretSource, ServiceUrl, TokenRequest, fingerprint,
};
use chrono::TimeDelta;
use serde_json::Value;

use super::OAuth2;
use super::config::{Auth, Flow};
use crate::answer::STANDARD_FIELDS;
use crate::authorization::pkce::{challenge, random};
use crate::discovery::{Endpoint, Metadata};
use crate::{BasicSpelling, ClientAuth, ClientKey, CodeFlow, DeviceFlow, TokenAnswer, TokenEndpoint};

/// The key in [`Token::details`] that stores the configured scope.
pub(super) const DEFAULT_SCOPE: &str = "usual_scope";

/// The key in [`Token::details`] that stores the fingerprint of the provider's settings.
pub(super) const FINGERPRINT: &str = "asked_with";

/// The record's metadata key that stores the scope of the login request.
const LOGIN_SCOPE: &str = "login_scope";

/// The lifetime of a token without `expires_in` that is not a JWT with `exp`.
const DEFAULT_LIFETIME: TimeDelta = TimeDelta::hours(1);

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

const WARNING: &str = "WARNING: `flow = \"password\"` gives your password to this program; \
     use another flow if the service supports one (RFC 9700 section 2.4)";

impl OAuth2 {
    /// Stores the current settings in the token's details, for `accepts`.
    fn annotate(&self, answer: TokenAnswer, scopes: &ScopeKey) -> TokenAnswer {
        let scope = scopes.is_empty().then(|| (DEFAULT_SCOPE.to_owned(), Value::from(self.scope.as_str())));
        let fingerprint = (FINGERPRINT.to_owned(), Value::from(self.fingerprint.as_str()));
        answer.map_token(|token| token.with_details(scope.into_iter().chain([fingerprint]).collect()))
    }

    /// Stores the requested scope of the login in the record's metadata.
    pub(super) fn add_login_scope(&self, update: RecordUpdate) -> RecordUpdate {
        update.and_metadata(LOGIN_SCOPE, Value::from(self.scope.as_str()))
    }

    /// Returns the parameters of all authorization and token requests: `resource` (RFC 8707) and configured `params`.
    fn common_fields(&self) -> Vec<(&str, &str)> {
        let resource = self.config.resource.0.iter().map(|resource| ("resource", resource.as_str()));
        resource.chain(self.params.iter().map(|(key, value)| (key.as_str(), value.as_str()))).collect()
    }

    /// Returns the parameters of a login or a client credentials request.
    pub(super) fn initial_fields<'a>(&'a self, scopes: &'a str) -> Vec<(&'a str, &'a str)> {
        let scope = if scopes.is_empty() { self.scope.as_str() } else { scopes };
        let scope = Some(("scope", scope)).filter(|(_, scope)| !scope.is_empty());
        let audience = self.config.audience.as_deref().map(|audience| ("audience", audience));
        [scope, audience].into_iter().flatten().chain(self.common_fields()).collect()
    }

    /// Returns the parameters of a refresh request. Without `scope`, the service uses the scope of the login (RFC
    /// 6749 section 6).
    fn refresh_fields<'a>(&'a self, record: &Record, scopes: &'a ScopeKey) -> Vec<(&'a str, &'a str)> {
        // The user logged in with another program, so the scope and audience of the login are unknown.
        if self.flow == Flow::RefreshToken {
            return self.initial_fields(scopes.as_str());
        }
        let login = record.metadata(LOGIN_SCOPE).and_then(Value::as_str);
        let changed = login.is_some_and(|login| login != self.scope) && !self.scope.is_empty();
        let scope = match scopes.as_str() {
            "" => Some(self.scope.as_str()).filter(|_| changed),
            requested => Some(requested),
        };
        scope.map(|scope| ("scope", scope)).into_iter().chain(self.common_fields()).collect()
    }

    /// In the password flow, replaces the account name from the response by `account`.
    fn with_username(&self, update: RecordUpdate, account: Option<&str>) -> RecordUpdate {
        if self.flow == Flow::Password { update.and_account(account.map(str::to_owned)) } else { update }
    }

    /// Whether the configuration contains a username and a password, so that no prompt is needed.
    pub(super) fn has_password(&self) -> bool {
        self.flow == Flow::Password && self.config.username.is_some() && self.config.password.is_some()
    }

    /// Returns a fingerprint of the password. Its 16 bits are too few to confirm a guessed password.
    fn password_fingerprint(&self, username: &str, password: &Secret) -> String {
        fingerprint(&format!("{} {username}", self.info.issuer.endpoint), password, 16)
    }
}

/// The endpoints and the authenticated client for a login, a token request, a logout or an introspection.
pub(super) struct Session<'a> {
    pub(super) provider: &'a OAuth2,
    /// The issuer's metadata, if known. Configured URLs replace the discovered ones.
    pub(super) found: Option<Metadata>,
    pub(super) token: TokenEndpoint<'a>,
}

impl<'a> Session<'a> {
    /// Reads the configured client secret or private key. `instead` is the endpoint of a logout or introspection, which
    /// needs no token URL. For the other requests, fails if the token URL is unknown.
    pub(super) async fn new(
        provider: &'a OAuth2,
        operation: &'a Operation,
        found: Option<Metadata>,
        basic: BasicSpelling,
        instead: Option<(Endpoint, &ServiceUrl)>,
    ) -> Result<Self> {
        let (config, context) = (&provider.config, operation.context());
        let secret = async |source: &SecretSource| source.resolve(context, "client_secret").await;
        let id = config.client_id.clone().unwrap_or_default();
        let endpoint = instead.map_or(Endpoint::Token, |(endpoint, _)| endpoint);
        let auth = provider.client_auth(found.as_ref(), endpoint)?;
        let client = match (auth, &config.client_secret, &config.private_key) {
            (Auth::Basic, Some(source), _) => ClientAuth::Basic(id, secret(source).await?, basic),
            (Auth::Body, Some(source), _) => ClientAuth::Body(id, secret(source).await?),
            (Auth::PrivateKeyJwt, _, Some(source)) => {
                let pem = source.resolve_lines(context, "private_key").await?;
                let (key_id, audience) = (config.key_id.clone(), config.assertion_audience.clone());
                let issuer = config.issuer.as_ref().map(|issuer| issuer.0.clone());
                ClientAuth::Key(id, ClientKey::parse(&pem, config.algorithm, key_id, audience, issuer)?)
            }
            // `Config::check` refuses an authentication whose secret is not configured.
            _ => ClientAuth::Public(id),
        };
        let url = match instead {
            None => provider.require(found.as_ref(), Endpoint::Token)?,
            Some((_, url)) => provider.find(found.as_ref(), Endpoint::Token)?.unwrap_or_else(|| url.clone()),
        };
        let token = TokenEndpoint {
            operation,
            url,
            client,
            default_life: config.life.map_or(DEFAULT_LIFETIME, |life| life.0),
            is_life_assumed: config.life.is_none() && !provider.has_password(),
            fields: config.fields.as_ref().unwrap_or(&STANDARD_FIELDS),
            final_codes: FinalCodes::oauth(&config.error_final.0),
        };
        Ok(Self { provider, found, token })
    }

    /// Gets a token without a user: by client credentials, or by exchange of another provider's token.
    pub(super) async fn request_token(&self, scopes: &ScopeKey) -> Result<RecordUpdate> {
        let config = &self.provider.config;
        let mut fields = self.provider.initial_fields(scopes.as_str());
        let mut answer = match &config.from {
            Some(from) => {
                let subject =
                    self.token.operation.token_of(from, &TokenRequest::new()).await.map_err(name_from)?;
                let subject_type = config.subject_token_type.as_deref().unwrap_or(ACCESS_TOKEN);
                let requested_type = config.requested_token_type.as_deref();
                fields.push(("subject_token_type", subject_type));
                fields.extend(requested_type.map(|kind| ("requested_token_type", kind)));
                self.token.token_exchange(subject.secret(), &fields).await?
            }
            None => self.token.client_credentials(&fields).await?,
        };
        // The client's credentials or the exchanged token suffice for the next token, so no refresh token is stored.
        answer.refresh_token = None;
        Ok(self.provider.annotate(answer, scopes).into_update(scopes))
    }

    /// Gets a token with the refresh token in the record.
    pub(super) async fn refresh(
        &self,
        record: &Record,
        refresh_token: &Secret,
        scopes: &ScopeKey,
    ) -> Result<RecordUpdate> {
        let fields = self.provider.refresh_fields(record, scopes);
        let Some(answer) = self.token.refresh(refresh_token, &fields).await? else {
            return Ok(RecordUpdate::grant_refused());
        };
        let update = self.provider.annotate(answer, scopes).into_renewal(record, scopes);
        Ok(self.provider.with_username(update, record.account()))
    }

    /// Starts a login with a refresh token that another program got.
    pub(super) async fn begin_with(&self, refresh_token: &Secret) -> Result<RecordUpdate> {
        let no_scopes = ScopeKey::default();
        let fields = match self.provider.flow {
            Flow::RefreshToken => self.provider.initial_fields(""),
            _ => self.provider.common_fields(),
        };
        let answer = self.token.begin_with(refresh_token, &fields).await?;
        let update = self.provider.annotate(answer, &no_scopes).into_update(&no_scopes);
        Ok(self.provider.with_username(update, self.provider.config.username.as_deref()))
    }

    /// Logs in by the device authorization grant (RFC 8628), with PKCE (RFC 7636) as some services require.
    pub(super) async fn device(&self) -> Result<RecordUpdate> {
        let uses_pkce = self.provider.config.pkce != Some(false);
        let verifier = if uses_pkce { Some(random::<32>()?) } else { None };
        let challenge = verifier.as_ref().map(challenge);
        let mut fields = self.provider.initial_fields("");
        if let Some(challenge) = &challenge {
            fields.extend([("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")]);
        }
        let flow = DeviceFlow {
            url: &self.provider.require(self.found.as_ref(), Endpoint::Device)?,
            token: &self.token,
            fields: &fields,
            token_fields: &self.provider.common_fields(),
            verifier: verifier.as_ref(),
        };
        Ok(self.approved(flow.run().await?))
    }

    /// Logs in by the authorization code grant with PKCE (RFC 8252).
    pub(super) async fn authorization_code(&self) -> Result<RecordUpdate> {
        let flow = CodeFlow {
            url: &self.provider.require(self.found.as_ref(), Endpoint::Authorization)?,
            token: &self.token,
            issuer: self.provider.config.issuer.as_ref().map(|issuer| issuer.0.as_str()),
            sends_issuer: self.found.as_ref().is_some_and(|found| found.sends_issuer),
            redirect_uri: &self.provider.redirect_uri,
            fields: &self.provider.initial_fields(""),
            token_fields: &self.provider.common_fields(),
        };
        Ok(self.approved(flow.run().await?))
    }

    // The password grant (RFC 6749 section 4.3), for services that support no other grant.

    /// Logs in with `password`, else with the configured password or one that the user types.
    pub(super) async fn log_in_with(&self, password: Option<&Secret>) -> Result<RecordUpdate> {
        let (operation, config) = (self.token.operation, &self.provider.config);
        let hint = |key| format!("set `{key}` of this provider in the configuration");
        let username = match &config.username {
            Some(username) => username.clone(),
            None => {
                operation.prompt().ask("Username").await.map_err(|error| error.with_hint(hint("username")))?
            }
        };
        let password = match (password, &config.password) {
            (Some(password), _) => password.clone(),
            // If the configured environment variable is not set, the user can type the password.
            (None, Some(SecretSource::Env(name))) if operation.env().var(name).is_none() => {
                ask_password(operation, &username, format!("set the environment variable {name}")).await?
            }
            (None, Some(source)) => source.resolve(operation.context(), "password").await?,
            (None, None) => ask_password(operation, &username, hint("password")).await?,
        };
        self.send_password(&username, &password, &ScopeKey::default()).await
    }

    /// Logs in with the configured password, unless the service has already refused that password.
    pub(super) async fn log_in_configured(
        &self,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        let (Some(username), Some(source)) = (&self.provider.config.username, &self.provider.config.password)
        else {
            return Err(record.login_missing());
        };
        let password = source.resolve(self.token.operation.context(), "password").await?;
        let fingerprint = self.provider.password_fingerprint(username, &password);
        record.check_password(&fingerprint, request)?;
        let update = self.send_password(username, &password, request.scopes()).await?;
        let is_login = request.scopes().is_empty();
        Ok(if is_login { self.provider.add_login_scope(update) } else { update })
    }

    async fn send_password(
        &self,
        username: &str,
        password: &Secret,
        scopes: &ScopeKey,
    ) -> Result<RecordUpdate> {
        let fields = self.provider.initial_fields(scopes.as_str());
        self.token.operation.notify_after_save(WARNING.to_owned());
        // Repeated wrong passwords lock accounts, so a refused password's fingerprint is stored and checked.
        let fingerprint = self.provider.password_fingerprint(username, password);
        let mut answer = self.token.password(username, password, fingerprint, &fields).await?;
        // A token request with scopes is not a login, so it must not replace the login's refresh token.
        answer.refresh_token.take_if(|_| answer.token.is_some() && !scopes.is_empty());
        let update = self.provider.annotate(answer, scopes).into_update(scopes);
        Ok(update.and_account(Some(username.to_owned())))
    }

    /// Returns the record update that stores a new login.
    fn approved(&self, answer: TokenAnswer) -> RecordUpdate {
        self.provider.annotate(answer, &ScopeKey::default()).into_login(self.token.operation)
    }
}

/// Adds the configuration key `from` to an error about the provider that `from` names.
fn name_from(error: Error) -> Error {
    if error.kind() != ErrorKind::Usage {
        return error;
    }
    Error::new(ErrorCode::ConfigInvalidValue, format!("`from`: {}", error.message()))
        .with_hint("set `from` to the name of a provider in this configuration")
}

async fn ask_password(operation: &Operation, username: &str, hint: String) -> Result<Secret> {
    let password = operation.prompt().ask_hidden(&format!("Password of {username}")).await;
    password.map_err(|error| error.with_hint(Hint::SetPassword(hint)))
}
