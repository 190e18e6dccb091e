//! A fake service in the test process. Each test sets the service's responses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use broker_core::{
    Broker, Clock, Context, Entry, Error, FileStore, Http, HttpFault, Login, Provider, Secret, Settings,
    SettingsError, Token, TokenRequest,
};
use broker_oauth2::KIND;
use broker_testkit::World;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

pub(crate) const TOKEN: &str = "https://login.example.org/oauth/token";

/// A request that the fake service received.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) url: String,
    pub(crate) authorization: Option<String>,
    pub(crate) form: Vec<(String, String)>,
}

impl Call {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

type Answer = Box<dyn FnMut(&Call) -> (u16, Value) + Send>;

/// The fake service: a response for each URL.
#[derive(Default)]
pub(crate) struct Service {
    answers: Mutex<BTreeMap<String, Answer>>,
    calls: Mutex<Vec<Call>>,
    date: Mutex<Option<DateTime<Utc>>>,
}

#[async_trait]
impl Http for Service {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        _timeout: Duration,
    ) -> Result<http::Response<Bytes>, HttpFault> {
        let url = request.uri().to_string();
        let form = url::form_urlencoded::parse(request.body()).into_owned().collect();
        let authorization = request.headers().get("authorization");
        let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
        let call = Call { url: url.clone(), authorization, form };
        let (status, body) = match self.answers.lock().unwrap().get_mut(&url) {
            Some(answer) => answer(&call),
            None => (404, Value::Null),
        };
        self.calls.lock().unwrap().push(call);
        let body = if body.is_null() { b"Not Found".to_vec() } else { body.to_string().into_bytes() };
        let mut response = http::Response::builder().status(status);
        if let Some(date) = *self.date.lock().unwrap() {
            response = response.header("date", date.format("%a, %d %b %Y %H:%M:%S GMT").to_string());
        }
        Ok(response.body(body.into()).unwrap())
    }
}

/// The fake environment of a test ([`World`]), and the fake service that answers its HTTP requests.
pub(crate) struct Lab {
    pub(crate) world: World,
    pub(crate) service: Arc<Service>,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self { world: World::new(), service: Arc::default() }
    }

    /// Creates a test environment, logs in with the refresh token `refresh-0`, and clears the recorded requests.
    pub(crate) async fn logged_in(token_url: &str, table: Value) -> Self {
        let lab = Self::new();
        lab.issues_tokens(token_url, "token");
        let login = Login::RefreshToken(Secret::new("refresh-0"));
        lab.broker(table).login(World::NAME, login).await.expect("a login");
        lab.calls();
        lab
    }

    /// Sets the response of the service at this URL.
    pub(crate) fn answers(&self, url: &str, answer: impl FnMut(&Call) -> (u16, Value) + Send + 'static) {
        self.service.answers.lock().unwrap().insert(url.to_owned(), Box::new(answer));
    }

    /// Adds a token endpoint. Its response number N contains the access token `PREFIX-N` and a refresh token.
    pub(crate) fn issues_tokens(&self, url: &str, prefix: &'static str) {
        let mut issued = 0;
        self.answers(url, move |_| {
            issued += 1;
            (200, json!({ "access_token": format!("{prefix}-{issued}"), "expires_in": 3600, "refresh_token": format!("refresh-{prefix}-{issued}") }))
        });
    }

    /// Sets the header `Date` of every response.
    pub(crate) fn dated(&self, date: DateTime<Utc>) {
        *self.service.date.lock().unwrap() = Some(date);
    }

    /// Returns the requests since the last call of this function.
    pub(crate) fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut *self.service.calls.lock().unwrap())
    }

    pub(crate) fn build(&self, table: Value) -> Result<Arc<dyn Provider>, SettingsError> {
        (KIND.build)(&Settings::new(World::NAME, table, &self.world.env))
    }

    /// Returns a new broker for one provider. Like a new process, the broker has no tokens in memory.
    pub(crate) fn broker(&self, table: Value) -> Broker {
        self.broker_of(vec![(World::NAME, table)])
    }

    pub(crate) fn broker_of(&self, tables: Vec<(&str, Value)>) -> Broker {
        let entry = |(name, table): (&str, Value)| {
            let provider = (KIND.build)(&Settings::new(name, table, &self.world.env)).expect("settings");
            (name.to_owned(), Entry::new(provider))
        };
        let providers: BTreeMap<_, _> = tables.into_iter().map(entry).collect();
        let folder = self.world.record_path().parent().unwrap().to_owned();
        let context = Context::new(
            self.service.clone(),
            Arc::new(self.world.clock.clone()),
            Arc::new(self.world.env.clone()),
            Arc::new(self.world.person.clone()),
        );
        Broker::builder(providers, Arc::new(FileStore::new(folder)), context).build()
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.world.clock.now()
    }
}

/// Returns the configuration `table`, with `keys` added or replaced.
pub(crate) fn with(mut table: Value, keys: Value) -> Value {
    let Value::Object(keys) = keys else { panic!("not a table: {keys}") };
    table.as_object_mut().unwrap().extend(keys);
    table
}

/// Requests a token with the default scope.
pub(crate) async fn token(broker: &Broker) -> Result<Token, Error> {
    broker.token(World::NAME, &TokenRequest::new()).await
}

/// Requests a token with the default scope, and returns the token's secret.
pub(crate) async fn secret(broker: &Broker) -> String {
    token(broker).await.expect("a token").secret().expose().to_owned()
}

/// Returns the configuration of a provider with client credentials.
pub(crate) fn client_credentials() -> Value {
    json!({ "flow": "client_credentials", "token_url": TOKEN, "client_id": "me", "client_secret": "s3cret" })
}

/// Returns a service whose device login returns this response, and the provider's configuration.
pub(crate) fn device(answer: Value) -> (Lab, Value) {
    let (lab, url) = (Lab::new(), "https://login.example.org/device");
    lab.answers(url, |_| {
        (200, json!({ "device_code": "d", "user_code": "u", "verification_uri": "https://login.example.org", "expires_in": 600 }))
    });
    lab.answers(TOKEN, move |_| (200, answer.clone()));
    (lab, json!({ "flow": "device", "token_url": TOKEN, "device_url": url, "client_id": "me" }))
}
