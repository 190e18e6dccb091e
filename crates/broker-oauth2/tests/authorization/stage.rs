//! A login about to happen: the person, the browser, the service.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use broker_core::{
    Clock, Context, DeviceCode, Error, ErrorCode, Prompt, ReqwestHttp, Result, Secret, ServiceUrl,
    SystemClock,
};
use broker_oauth2::{Approved, ClientAuth, CodeFlow, TokenEndpoint};
use broker_testkit::{EarthScope, EarthScopeOptions, Fault, TestEnv};
use chrono::TimeDelta;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use url::Url;

/// Who the service says it is.
pub(crate) const ISSUER: &str = "https://login.example.org";

/// What a person types, told the page that was shown.
type Types = Box<dyn FnMut(&Request) -> String + Send>;

/// How a login is to go.
pub(crate) struct Plan {
    pub(crate) redirect_uri: String,
    pub(crate) sends_issuer: bool,
    pub(crate) clock: Arc<dyn Clock>,
    /// What is typed at the question for the address; `None`: a browser is here.
    pub(crate) types: Option<Types>,
}

impl Default for Plan {
    fn default() -> Self {
        let redirect_uri = "http://127.0.0.1/callback".to_owned();
        Self { redirect_uri, sends_issuer: false, clock: Arc::new(SystemClock), types: None }
    }
}

struct Seat {
    pages: mpsc::UnboundedSender<String>,
    page: Mutex<String>,
    told: Arc<Mutex<Vec<String>>>,
    types: Option<Mutex<Types>>,
}

#[async_trait]
impl Prompt for Seat {
    async fn ask(&self, question: &str) -> Result<String> {
        assert_eq!(question, "Address that the browser ended at");
        let request = Request::read(&self.page.lock().unwrap());
        let typed = (self.types.as_ref().expect("nobody is asked").lock().unwrap())(&request);
        match typed.as_str() {
            // Who never answers.
            "" => std::future::pending().await,
            // As a terminal says it of an empty line, and without one.
            "ENTER" => Err(Error::new(ErrorCode::Cancelled, "nothing was typed")
                .with_source(std::io::Error::from(std::io::ErrorKind::InvalidInput))),
            "END" => Err(Error::new(ErrorCode::Cancelled, "stopped at the prompt")),
            "NOBODY" => Err(Error::login_required("no terminal")),
            _ => Ok(typed),
        }
    }

    async fn ask_hidden(&self, _question: &str) -> Result<Secret> {
        Err(Error::failed("nothing is asked in secret"))
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
        self.told.lock().unwrap().push(message.to_owned());
    }
}

/// The authorization request, as the page that was shown has it.
pub(crate) struct Request {
    pub(crate) url: Url,
    pub(crate) params: BTreeMap<String, String>,
    pub(crate) redirect: Url,
}

impl Request {
    fn read(page: &str) -> Self {
        let url = Url::parse(page).unwrap();
        let params: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!(params.len(), url.query_pairs().count(), "no parameter comes twice: {url}");
        let redirect = Url::parse(&params["redirect_uri"]).unwrap();
        Self { url, params, redirect }
    }

    /// Where a service sends the browser with this in the query; `STATE` stands for the right one.
    pub(crate) fn back(&self, query: &str) -> String {
        format!("{}?{}", self.redirect, query.replace("STATE", &self.params["state"]))
    }

    /// `127.0.0.1:PORT`
    pub(crate) fn host(&self) -> String {
        format!("{}:{}", self.redirect.host_str().unwrap(), self.redirect.port().unwrap())
    }

    /// The browser follows such a redirect.
    pub(crate) async fn come_back(&self, query: &str) -> String {
        let url = Url::parse(&self.back(query)).unwrap();
        let target = format!("{}?{}", url.path(), url.query().unwrap());
        self.send("GET", &target, &self.host()).await
    }

    /// Sends a request to the listener and gives the whole answer.
    pub(crate) async fn send(&self, method: &str, target: &str, host: &str) -> String {
        self.send_raw(&format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n\r\n"))
            .await
    }

    pub(crate) async fn send_raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.host()).await.expect("somebody listens");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }
}

/// A login that is under way.
pub(crate) struct Begun {
    pub(crate) service: EarthScope,
    pub(crate) told: Arc<Mutex<Vec<String>>>,
    pages: mpsc::UnboundedReceiver<String>,
    pub(crate) ended: JoinHandle<Result<Approved>>,
}

impl Begun {
    /// The page that is shown.
    pub(crate) async fn request(&mut self) -> Request {
        let Some(page) = self.pages.recv().await else {
            panic!("no page was shown: {:?}", self.told.lock().unwrap())
        };
        Request::read(&page)
    }

    /// How it ended.
    pub(crate) async fn end(&mut self) -> Result<Approved> {
        (&mut self.ended).await.unwrap()
    }

    /// The fields of the one token request.
    pub(crate) fn form(&self) -> BTreeMap<String, String> {
        let seen = self.service.seen();
        assert_eq!(seen.len(), 1, "one request: {seen:?}");
        seen[0].form()
    }
}

/// A token endpoint that gives an access token and a refresh token.
pub(crate) fn begin(plan: Plan) -> Begun {
    let body = r#"{"access_token":"a","token_type":"Bearer","expires_in":3600,"refresh_token":"r"}"#;
    begin_with(plan, Fault::Answer { status: 200, headers: vec![], body: body.to_owned() })
}

/// A token endpoint that does this.
pub(crate) fn begin_with(plan: Plan, answer: Fault) -> Begun {
    let service = EarthScope::start(EarthScopeOptions::default());
    service.fault_always("token", answer);
    let (sender, pages) = mpsc::unbounded_channel();
    let told = Arc::<Mutex<Vec<String>>>::default();
    let seat =
        Seat { pages: sender, page: Mutex::default(), told: told.clone(), types: plan.types.map(Mutex::new) };
    let http = Arc::new(ReqwestHttp::default());
    let context = Context::new(http, plan.clock, Arc::new(TestEnv::default()), Arc::new(seat));
    let token_url = ServiceUrl::parse(&format!("{}/oauth/token", service.url())).unwrap();
    let (redirect_uri, sends_issuer) = (plan.redirect_uri, plan.sends_issuer);
    let ended = tokio::spawn(async move {
        let flow = CodeFlow {
            url: &ServiceUrl::parse("https://login.example.org/authorize?client_id=old&tenant=t").unwrap(),
            token: TokenEndpoint::new(&token_url, ClientAuth::Public("me"), TimeDelta::hours(1)),
            issuer: Some(ISSUER),
            sends_issuer,
            redirect_uri: &ServiceUrl::parse(&redirect_uri).unwrap(),
            fields: &[("scope", "openid data"), ("audience", "api"), ("state", "chosen by others")],
            token_fields: &[("resource", "https://api.example.org")],
        };
        flow.run(&context).await
    });
    Begun { service, told, pages, ended }
}
