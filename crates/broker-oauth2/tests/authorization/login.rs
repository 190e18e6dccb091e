//! A login by the authorization code flow, with a scripted user and a fake service.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use broker_core::{
    Broker, Clock, Context, DeviceCode, Entry, Error, ErrorCode, FileStore, Issuer, Login, LoginMethod,
    Operation, Prompt, Provider, ProviderInfo, Record, RecordUpdate, ReqwestHttp, Result, Secret, ServiceUrl,
    SystemClock, TokenRequest,
};
use broker_oauth2::{ClientAuth, CodeFlow, TokenAnswer, TokenEndpoint};
use broker_testkit::{EarthScope, EarthScopeOptions, Fault, TestEnv, World};
use chrono::TimeDelta;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use url::Url;

pub(crate) const ISSUER: &str = "https://login.example.org";

/// A scripted user, who reads the authorization request and pastes the final address.
type Types = Box<dyn FnMut(&Request) -> String + Send>;

pub(crate) struct Plan {
    pub(crate) redirect_uri: String,
    pub(crate) sends_issuer: bool,
    pub(crate) clock: Arc<dyn Clock>,
    /// Returns the text that the scripted user pastes if no browser opens.
    pub(crate) types: Option<Types>,
}

impl Default for Plan {
    fn default() -> Self {
        let redirect_uri = "http://127.0.0.1/callback".to_owned();
        Self { redirect_uri, sends_issuer: false, clock: Arc::new(SystemClock), types: None }
    }
}

struct User {
    pages: mpsc::UnboundedSender<String>,
    page: Mutex<String>,
    notices: Arc<Mutex<Vec<String>>>,
    types: Option<Mutex<Types>>,
}

#[async_trait]
impl Prompt for User {
    async fn ask(&self, question: &str) -> Result<String> {
        assert_eq!(question, "Address in the browser");
        let request = Request::read(&self.page.lock().unwrap());
        let typed = (self.types.as_ref().expect("a browser, so no question").lock().unwrap())(&request);
        match typed.as_str() {
            "" => std::future::pending().await,
            // A real prompt returns these errors if the user types an empty line or ends the input.
            "ENTER" => Err(Error::new(ErrorCode::Cancelled, "empty line")
                .with_source(std::io::Error::from(std::io::ErrorKind::InvalidInput))),
            "END" => Err(Error::new(ErrorCode::Cancelled, "stopped at the prompt")),
            "NO TERMINAL" => Err(Error::new(ErrorCode::PromptUnavailable, "no terminal")),
            _ => Ok(typed),
        }
    }

    async fn ask_hidden(&self, _question: &str) -> Result<Secret> {
        Err(Error::new(ErrorCode::Internal, "the flow has no hidden questions"))
    }

    fn show_code(&self, _code: &DeviceCode) {}

    fn show_page(&self, url: &str) {
        url.clone_into(&mut self.page.lock().unwrap());
        self.pages.send(url.to_owned()).unwrap();
    }

    fn browses(&self) -> bool {
        self.types.is_none()
    }

    fn waiting(&self, left: Duration) {
        assert!(left <= Duration::from_mins(10));
    }

    fn notify(&self, message: &str) {
        self.notices.lock().unwrap().push(message.to_owned());
    }
}

pub(crate) struct Request {
    pub(crate) url: Url,
    pub(crate) params: BTreeMap<String, String>,
    pub(crate) redirect: Url,
}

impl Request {
    fn read(page: &str) -> Self {
        let url = Url::parse(page).unwrap();
        let params: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!(params.len(), url.query_pairs().count(), "a repeated parameter: {url}");
        let redirect = Url::parse(&params["redirect_uri"]).unwrap();
        Self { url, params, redirect }
    }

    /// Returns the redirect URI with this query, in which `STATE` is replaced by the login's `state`.
    pub(crate) fn redirect_to(&self, query: &str) -> String {
        format!("{}?{}", self.redirect, query.replace("STATE", &self.params["state"]))
    }

    pub(crate) fn host(&self) -> String {
        format!("{}:{}", self.redirect.host_str().unwrap(), self.redirect.port().unwrap())
    }

    /// Follows the redirect with this query, and returns the page.
    pub(crate) async fn follow(&self, query: &str) -> String {
        let url = Url::parse(&self.redirect_to(query)).unwrap();
        let target = format!("{}?{}", url.path(), url.query().unwrap());
        self.send("GET", &target, &self.host()).await
    }

    /// Sends an HTTP request to the listener and returns the response.
    pub(crate) async fn send(&self, method: &str, target: &str, host: &str) -> String {
        self.send_raw(&format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n\r\n"))
            .await
    }

    pub(crate) async fn send_raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.host()).await.expect("a listener");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.expect("a response");
        response
    }
}

pub(crate) struct RunningLogin {
    pub(crate) service: EarthScope,
    pub(crate) notices: Arc<Mutex<Vec<String>>>,
    pages: mpsc::UnboundedReceiver<String>,
    pub(crate) result: JoinHandle<Result<TokenAnswer>>,
    pub(crate) world: World,
}

impl RunningLogin {
    /// Returns the authorization request that the browser opens.
    pub(crate) async fn request(&mut self) -> Request {
        let Some(page) = self.pages.recv().await else {
            panic!("no page was shown: {:?}", self.notices.lock().unwrap())
        };
        Request::read(&page)
    }

    pub(crate) async fn end(&mut self) -> Result<TokenAnswer> {
        (&mut self.result).await.unwrap()
    }

    /// Returns the form fields of the only token request.
    pub(crate) fn form(&self) -> BTreeMap<String, String> {
        let seen = self.service.seen();
        assert_eq!(seen.len(), 1, "one request: {seen:?}");
        seen[0].form()
    }
}

/// Starts a login at a token endpoint that issues an access token and a refresh token.
pub(crate) fn start(plan: Plan) -> RunningLogin {
    let body = r#"{"access_token":"a","token_type":"Bearer","expires_in":3600,"refresh_token":"r"}"#;
    start_with(plan, response(200, body))
}

pub(crate) fn response(status: u16, body: &str) -> Fault {
    Fault::Answer { status, headers: vec![], body: body.to_owned() }
}

/// Starts a login at a token endpoint that responds with `answer`.
pub(crate) fn start_with(plan: Plan, answer: Fault) -> RunningLogin {
    let service = EarthScope::start(EarthScopeOptions::default());
    service.fault_always("token", answer);
    let (sender, pages) = mpsc::unbounded_channel();
    let notices = Arc::<Mutex<Vec<String>>>::default();
    let user = User {
        pages: sender,
        page: Mutex::default(),
        notices: notices.clone(),
        types: plan.types.map(Mutex::new),
    };
    let world = World::new();
    let (http, env) = (Arc::new(ReqwestHttp::default()), Arc::new(TestEnv::default()));
    let context = Context::new(http, plan.clock, env, Arc::new(user));
    let approved = Arc::new(Mutex::new(None));
    let mut info = ProviderInfo::new(Issuer::new("code", "authorization_code", ISSUER));
    info.logins = vec![LoginMethod::Interactive];
    let provider = CodeProvider {
        info,
        token_url: ServiceUrl::parse(&format!("{}/oauth/token", service.url())).unwrap(),
        redirect_uri: ServiceUrl::parse(&plan.redirect_uri).unwrap(),
        sends_issuer: plan.sends_issuer,
        approved: approved.clone(),
    };
    let providers = BTreeMap::from([(World::NAME.to_owned(), Entry::new(Arc::new(provider)))]);
    let folder = world.record_path().parent().unwrap().to_owned();
    let broker = Broker::builder(providers, Arc::new(FileStore::new(folder)), context).build();
    let result = tokio::spawn(async move {
        broker.login(World::NAME, Login::Usual).await?;
        Ok(approved.lock().unwrap().take().unwrap())
    });
    RunningLogin { service, notices, pages, result, world }
}

/// A provider that only supports a login by the authorization code flow.
struct CodeProvider {
    info: ProviderInfo,
    token_url: ServiceUrl,
    redirect_uri: ServiceUrl,
    sends_issuer: bool,
    approved: Arc<Mutex<Option<TokenAnswer>>>,
}

#[async_trait]
impl Provider for CodeProvider {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    async fn exchange(&self, _: &Operation, _: &Record, _: &TokenRequest) -> Result<RecordUpdate> {
        Err(Error::login_required("only the login is tested"))
    }

    async fn login(&self, operation: &Operation, _: &Login) -> Result<RecordUpdate> {
        let flow = CodeFlow {
            url: &ServiceUrl::parse("https://login.example.org/authorize?client_id=old&tenant=t").unwrap(),
            token: &TokenEndpoint::new(
                operation,
                &self.token_url,
                ClientAuth::Public("me".to_owned()),
                TimeDelta::hours(1),
            ),
            issuer: Some(ISSUER),
            sends_issuer: self.sends_issuer,
            redirect_uri: &self.redirect_uri,
            fields: &[("scope", "openid data"), ("audience", "api"), ("state", "of the configuration")],
            token_fields: &[("resource", "https://api.example.org")],
        };
        *self.approved.lock().unwrap() = Some(flow.run().await?);
        Ok(RecordUpdate::default())
    }
}
