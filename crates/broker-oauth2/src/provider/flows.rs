//! What each flow sends, and what comes of it.

use broker_core::{
    Context, Error, ErrorKind, Login, Record, RecordUpdate, Result, ScopeKey, Secret, SettingsError, Token,
    TokenRequest,
};
use serde_json::Value;

use super::OAuth2;
use super::client::Client;
use super::config::{Config, Flow};
use super::endpoints::Endpoints;
use crate::discovery::{Endpoint, IssuerUrl};
use crate::{CodeFlow, DeviceFlow, UserLogin};

/// The detail of a usual token that says which configured scope it was asked for with.
const USUAL: &str = "usual_scope";

/// The detail of a token that has a mark of what it was asked for with besides.
const MARK: &str = "asked_with";

/// What a record keeps of a login: the scope it was asked for with.
const LOGIN_SCOPE: &str = "login_scope";

/// RFC 8693 section 3.
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// What requests ask for besides.
pub(super) struct Asked {
    scope: String,
    audience: Option<String>,
    resource: Vec<String>,
    params: Vec<(String, String)>,
    /// Of what else makes a token another one: see [`Config::mark`].
    mark: String,
    /// Whether the login was begun elsewhere, with who knows what scope and audience.
    begun_elsewhere: bool,
}

impl Asked {
    pub(super) fn new(config: &Config, flow: Flow) -> Result<Self, SettingsError> {
        Ok(Self {
            scope: config.scope(),
            audience: config.audience.clone(),
            resource: config.resources().to_vec(),
            params: config.params()?,
            mark: config.fingerprint(),
            begun_elsewhere: flow == Flow::RefreshToken,
        })
    }

    /// A token that was asked for otherwise than now is not handed out any more, nor one for another configured scope
    /// as the usual one.
    pub(super) fn accepts(&self, token: &Token) -> bool {
        let noted = |key: &str| token.details().and_then(|details| details.get(key)?.as_str());
        let same_scope = |scope: &str| ScopeKey::new([scope]) == ScopeKey::new([self.scope.as_str()]);
        noted(MARK).is_none_or(|mark| mark == self.mark) && noted(USUAL).is_none_or(same_scope)
    }

    /// With the notes that make [`Asked::accepts`] work.
    pub(super) fn note(&self, token: Token, scopes: &ScopeKey) -> Token {
        let usual = scopes.is_empty().then(|| (USUAL.to_owned(), Value::from(self.scope.as_str())));
        let mark = (MARK.to_owned(), Value::from(self.mark.as_str()));
        token.with_details(usual.into_iter().chain([mark]).collect())
    }

    /// With what the login was asked for with.
    pub(super) fn keep_in(&self, change: RecordUpdate) -> RecordUpdate {
        change.and_metadata(LOGIN_SCOPE, Value::from(self.scope.as_str()))
    }

    /// `resource` (RFC 8707 section 2) and the extra parameters, which every request has.
    fn always(&self) -> Vec<(&str, &str)> {
        let resource = self.resource.iter().map(|resource| ("resource", resource.as_str()));
        resource.chain(self.params.iter().map(|(key, value)| (key.as_str(), value.as_str()))).collect()
    }

    /// Those of a request that begins something, with the scopes asked for or the usual ones.
    pub(super) fn beginning<'a>(&'a self, scopes: &'a ScopeKey) -> Vec<(&'a str, &'a str)> {
        let scope = if scopes.is_empty() { self.scope.as_str() } else { scopes.as_str() };
        let scope = Some(("scope", scope)).filter(|(_, scope)| !scope.is_empty());
        let audience = self.audience.as_deref().map(|audience| ("audience", audience));
        [scope, audience].into_iter().flatten().chain(self.always()).collect()
    }

    /// Those of a refresh. Without a scope it gives what the login was asked for with (RFC 6749 section 6), which is not
    /// known of one from elsewhere.
    fn renewing<'a>(&'a self, record: &Record, scopes: &'a ScopeKey) -> Vec<(&'a str, &'a str)> {
        if self.begun_elsewhere {
            return self.beginning(scopes);
        }
        let login = record.metadata(LOGIN_SCOPE).and_then(Value::as_str);
        let changed = login.is_some_and(|login| login != self.scope) && !self.scope.is_empty();
        let scope = match scopes.as_str() {
            "" => Some(self.scope.as_str()).filter(|_| changed),
            chosen => Some(chosen),
        };
        scope.map(|scope| ("scope", scope)).into_iter().chain(self.always()).collect()
    }
}

impl OAuth2 {
    /// Whether this flow can begin so.
    pub(super) fn check_login(&self, login: &Login) -> Result<()> {
        let flow = self.flow.name();
        match login {
            Login::Usual if self.flow == Flow::RefreshToken => {
                Err(Error::usage("`flow = \"refresh_token\"` begins with a refresh token from elsewhere")
                    .with_hint(format!("run: broker login {} --refresh-token-stdin", self.name)))
            }
            Login::RefreshToken(_) if !self.flow.is_persons() => Err(Error::usage(format!(
                "`flow = \"{flow}\"` has no login: a refresh token has no place in it"
            ))),
            Login::Password(_) if self.flow != Flow::Password => Err(Error::usage(format!(
                "`flow = \"{flow}\"` takes no password: leave out `--password-stdin`"
            ))),
            _ => Ok(()),
        }
    }

    /// A machine's token: by its own credentials, or for another provider's token.
    pub(super) async fn ask(
        &self,
        context: &Context,
        client: &Client,
        endpoints: &Endpoints,
        scopes: &ScopeKey,
    ) -> Result<RecordUpdate> {
        let url = endpoints.need(self, Endpoint::Token)?;
        let endpoint = client.endpoint(self, &url);
        let mut fields = self.asked.beginning(scopes);
        let mut answer = match &self.config.from {
            Some(from) => {
                let subject = context.token_of(from, &TokenRequest::new()).await.map_err(of_other)?;
                let of = self.config.subject_token_type.as_deref().unwrap_or(ACCESS_TOKEN);
                fields.push(("subject_token_type", of));
                fields.extend(
                    self.config.requested_token_type.as_deref().map(|of| ("requested_token_type", of)),
                );
                endpoint.token_exchange(context, subject.secret(), &fields).await?
            }
            None => endpoint.client_credentials(context, &fields).await?,
        };
        // These are had again without a refresh token, which would only be one more thing to lose.
        answer.refresh_token = None;
        // What is no access token has no type (RFC 8693 section 2.2.1): it is presented as one.
        if answer.token.token_type().eq_ignore_ascii_case("N_A") {
            answer.token = answer.token.with_type("Bearer");
        }
        answer.token = self.asked.note(answer.token, scopes);
        Ok(answer.change(scopes))
    }

    pub(super) async fn refresh(
        &self,
        context: &Context,
        client: &Client,
        endpoints: &Endpoints,
        record: &Record,
        refresh_token: &Secret,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        let url = endpoints.need(self, Endpoint::Token)?;
        let fields = self.asked.renewing(record, request.scopes());
        let finish = self.finish();
        let login = UserLogin { token: client.endpoint(self, &url), fields: &fields, finish: &finish };
        let change = login.refresh(context, record, refresh_token, request.scopes()).await?;
        Ok(self.as_named(change, record.account()))
    }

    pub(super) async fn begin_with(
        &self,
        context: &Context,
        client: &Client,
        endpoints: &Endpoints,
        refresh_token: &Secret,
    ) -> Result<RecordUpdate> {
        let url = endpoints.need(self, Endpoint::Token)?;
        let usual = ScopeKey::default();
        let fields =
            if self.asked.begun_elsewhere { self.asked.beginning(&usual) } else { self.asked.always() };
        let finish = self.finish();
        let login = UserLogin { token: client.endpoint(self, &url), fields: &fields, finish: &finish };
        let change = login.begin_with(context, refresh_token).await?;
        Ok(self.as_named(change, self.config.username.as_deref()))
    }

    /// The device authorization grant (RFC 8628).
    pub(super) async fn device(
        &self,
        context: &Context,
        client: &Client,
        endpoints: &Endpoints,
    ) -> Result<RecordUpdate> {
        let (url, token_url) =
            (endpoints.need(self, Endpoint::Device)?, endpoints.need(self, Endpoint::Token)?);
        let usual = ScopeKey::default();
        let (fields, token_fields) = (self.asked.beginning(&usual), self.asked.always());
        let token = client.endpoint(self, &token_url);
        let flow = DeviceFlow { url: &url, token, fields: &fields, token_fields: &token_fields };
        let approved = flow.run(context).await?;
        let finish = self.finish();
        Ok(UserLogin { token, fields: &[], finish: &finish }.approved(context, approved))
    }

    /// The authorization code grant with PKCE (RFC 8252).
    pub(super) async fn authorization_code(
        &self,
        context: &Context,
        client: &Client,
        endpoints: &Endpoints,
    ) -> Result<RecordUpdate> {
        let url = endpoints.need(self, Endpoint::Authorization)?;
        let token_url = endpoints.need(self, Endpoint::Token)?;
        let usual = ScopeKey::default();
        let (fields, token_fields) = (self.asked.beginning(&usual), self.asked.always());
        let token = client.endpoint(self, &token_url);
        let flow = CodeFlow {
            url: &url,
            token,
            issuer: self.config.issuer.as_ref().map(IssuerUrl::as_str),
            sends_issuer: endpoints.sends_issuer(),
            redirect_uri: &self.redirect_uri,
            fields: &fields,
            token_fields: &token_fields,
        };
        let approved = flow.run(context).await?;
        let finish = self.finish();
        Ok(UserLogin { token, fields: &[], finish: &finish }.approved(context, approved))
    }

    /// What a usual token is noted with.
    fn finish(&self) -> impl Fn(Token, &ScopeKey) -> Token + Send + Sync + '_ {
        |token, scopes| self.asked.note(token, scopes)
    }

    /// With a password the account is the user name, by which the configuration and the record are compared.
    fn as_named(&self, change: RecordUpdate, account: Option<&str>) -> RecordUpdate {
        if self.flow == Flow::Password { change.and_account(account.map(str::to_owned)) } else { change }
    }
}

/// The one who asks does not name the other provider: if there is none, that is the configuration's doing.
fn of_other(error: Error) -> Error {
    if error.kind() != ErrorKind::Usage {
        return error;
    }
    Error::configuration(format!("`from`: {}", error.message()))
        .with_hint("name a provider of this configuration (`broker config show`) in `from`")
}
